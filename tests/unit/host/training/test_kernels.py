"""The kernels in torch against plain NumPy loops, and against the coalescing of `bags.py`, bit for bit."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from hotline_host.training.bags import Bags
from hotline_host.training.bags import group as group_by_sort
from hotline_host.training.kernels import Groups, TorchKernels, kernels_for
from hotline_host.training.optim import SGD, RowOptimizer, RowwiseAdagrad
from tests.support.kernel_cases import POOL, ZERO, Case, group

KERNELS = TorchKernels()


def summed(case: Case) -> tuple[list[int], np.ndarray]:
    """Rows that are looked up, and their gradients in float64, by a loop."""
    gradient = np.zeros(case.rows.shape)
    for row, bag in zip(case.ids.tolist(), case.bags.tolist(), strict=True):
        gradient[row] += case.gradient[bag].double().numpy()
    rows = sorted(set(case.ids.tolist()) - {ZERO})
    return rows, gradient[rows]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pooled_sum(dtype: torch.dtype) -> None:
    case = Case(dtype, 24)
    table, ids, offsets = case.rows.double().numpy(), case.ids.numpy(), case.offsets.tolist()
    expected = [table[ids[start:end]].sum(0) for start, end in pairwise(offsets)]
    pooled = KERNELS.pooled_sum(case.rows, case.ids, case.offsets)
    np.testing.assert_allclose(pooled, expected, atol=1e-5 if dtype == torch.float32 else 1e-14)
    empty = case.offsets[:-1] == case.offsets[1:]
    assert pooled.dtype == dtype and empty.any() and not pooled[empty].any()
    assert torch.equal(pooled, Bags(case.ids.long(), case.bags.long(), len(expected)).pool(case.rows))
    assert not KERNELS.pooled_sum(case.rows, case.ids[:0], torch.zeros_like(case.offsets)).any()


def test_one_lookup_a_bag() -> None:
    case = Case(torch.float32, 24, one_a_bag=True)
    assert torch.equal(KERNELS.pooled_sum(case.rows, case.ids, None), case.rows[case.ids])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("one_a_bag", [False, True])
@pytest.mark.parametrize("optimizer", [SGD(0.1), RowwiseAdagrad(0.1)], ids=["sgd", "adagrad"])
def test_update_rows(optimizer: RowOptimizer, one_a_bag: bool, dtype: torch.dtype) -> None:
    case = Case(dtype, 24, one_a_bag=one_a_bag)
    rows, state = case.rows.clone(), case.state.clone()
    KERNELS.update_rows(optimizer, rows, state, case.gradient, case.groups)
    looked_up, gradient = summed(case)
    expected, sums = case.rows.double().numpy().copy(), case.state.double().numpy().copy()
    if isinstance(optimizer, RowwiseAdagrad):
        sums[looked_up] += np.square(gradient).mean(1)
        gradient /= (np.sqrt(sums[looked_up]) + optimizer.eps)[:, None]
    expected[looked_up] -= 0.1 * gradient
    tolerance = 1e-5 if dtype == torch.float32 else 1e-13
    np.testing.assert_allclose(rows, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(state, sums, rtol=tolerance)
    assert torch.equal(rows[ZERO], case.rows[ZERO])

    twin, twin_state, kept = case.rows.clone(), case.state.clone(), case.ids != ZERO
    grouped = group_by_sort(case.ids[kept].long())
    optimizer.update(twin, twin_state, grouped.rows, grouped.gradient(case.bags[kept].long(), case.gradient))
    assert torch.equal(rows, twin) and torch.equal(state, twin_state)


def test_nothing_to_update() -> None:
    case = Case(torch.float32, 24)
    lists = group(np.full(3, ZERO, np.int32), None, POOL, ZERO)
    groups = Groups(**{name: torch.from_numpy(array) for name, array in lists.items()}, row_count=0, lookup_count=0)
    rows = case.rows.clone()
    KERNELS.update_rows(RowwiseAdagrad(0.1), rows, case.state, case.gradient, groups)
    assert torch.equal(rows, case.rows)


def test_copies_read_before_they_write() -> None:
    """A cycle, and a chain."""
    rows, state = torch.arange(12.0).reshape(6, 2), torch.arange(6.0)
    source, target = (torch.tensor(ids, dtype=torch.int32) for ids in ([0, 1, 2, 4], [1, 0, 4, 5]))
    KERNELS.copy_rows(rows, state, source, target)
    assert state.tolist() == [1, 0, 2, 3, 2, 4]
    assert rows.tolist() == [[2 * s, 2 * s + 1] for s in state.tolist()]
    KERNELS.copy_rows(rows, state, source[:0], target[:0])
    assert state.tolist() == [1, 0, 2, 3, 2, 4]


def test_on_the_cpu_they_are_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert isinstance(kernels_for(torch.device("cpu")), TorchKernels)
