"""Triton's kernels against torch's: in Triton's interpreter on the CPU, and on a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

from tests.support.kernel_cases import compare

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton")


@needs_triton
@pytest.mark.long
@pytest.mark.parametrize("bags", [300, pytest.param(2000, marks=pytest.mark.slow)])
def test_interpreted(bags: int) -> None:
    """In a process of its own, as Triton reads the setting when it is imported."""
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(
        [sys.executable, "-m", "tests.support.kernel_cases", str(bags)], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("agrees") == 6


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@needs_triton
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dimension", [16, 40, 64, 128, 256])
def test_on_cuda(dimension: int, dtype: torch.dtype) -> None:
    """Enough bags that the hottest row has tens of thousands of lookups."""
    compare("cuda", dimension, dtype, bags=40_000)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@needs_triton
def test_a_captured_graph_follows_sizes_and_rate() -> None:
    from dataclasses import replace

    from hotline_host.training.kernels import TorchKernels
    from hotline_host.training.kernels.triton_kernels import TritonKernels
    from hotline_host.training.optim import row_optimizer
    from tests.support.kernel_cases import EPS, RATE, Case

    case, kernels = Case(torch.float32, 64, device="cuda"), TritonKernels()
    optimizer = row_optimizer("adagrad", RATE, EPS, device="cuda")
    rows, state, sizes = case.rows.clone(), case.state.clone(), case.groups.sizes.clone()
    groups = replace(case.groups, sizes=sizes)

    def step() -> None:
        kernels.update_rows(optimizer, rows, state, case.gradient, groups)

    step()  # compiles
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    rows.copy_(case.rows)
    state.copy_(case.state)
    optimizer.set_rate(3 * RATE)
    count = case.groups.row_count // 2  # the later rows are left out
    sizes[0] = count
    graph.replay()

    expected, expected_state = case.rows.clone(), case.state.clone()
    TorchKernels().update_rows(optimizer, expected, expected_state, case.gradient, case.groups)
    left_out = case.groups.rows[count : case.groups.row_count].long()
    expected[left_out], expected_state[left_out] = case.rows[left_out], case.state[left_out]
    torch.testing.assert_close(rows, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(state, expected_state, rtol=1e-5, atol=1e-5)
