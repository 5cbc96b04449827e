"""The kernels in torch against plain NumPy loops, which add in input order: sums agree bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hotline_host.training.kernels import Groups, TorchKernels, kernels_for
from hotline_host.training.optim import SGD, RowOptimizer, RowwiseAdagrad
from tests.support.kernel_cases import POOL, ZERO, Case, group

KERNELS = TorchKernels()


def summed(case: Case) -> tuple[list[int], np.ndarray]:
    """Rows that are looked up, and their gradients."""
    gradient = np.zeros_like(case.rows.numpy())
    for row, bag in zip(case.ids.tolist(), case.bags.tolist(), strict=True):
        gradient[row] += case.gradient[bag].numpy()
    rows = sorted(set(case.ids.tolist()) - {ZERO})
    return rows, gradient[rows]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pooled_sum(dtype: torch.dtype) -> None:
    case = Case(dtype, 24)
    bags = len(case.gradient)
    expected = np.zeros((bags, 24), case.rows.numpy().dtype)
    for row, bag in zip(case.ids.tolist(), case.bags.tolist(), strict=True):
        expected[bag] += case.rows[row].numpy()
    pooled = KERNELS.pooled_sum(case.rows, case.ids, case.offsets)
    assert torch.equal(pooled, torch.from_numpy(expected))
    empty = case.offsets[:-1] == case.offsets[1:]
    assert pooled.dtype == dtype and empty.any() and not pooled[empty].any()
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
    twin, twin_state = case.rows.clone(), case.state.clone()
    optimizer.update(twin, twin_state, torch.tensor(looked_up), torch.from_numpy(gradient))
    assert torch.equal(rows, twin) and torch.equal(state, twin_state)
    assert torch.equal(rows[ZERO], case.rows[ZERO])

    expected, sums = case.rows.double().numpy().copy(), case.state.double().numpy().copy()
    step = gradient.astype(np.float64)
    if isinstance(optimizer, RowwiseAdagrad):
        sums[looked_up] += np.square(step).mean(1)
        step /= (np.sqrt(sums[looked_up]) + optimizer.eps)[:, None]
    expected[looked_up] -= 0.1 * step
    tolerance = 1e-6 if dtype == torch.float32 else 1e-14
    np.testing.assert_allclose(rows, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(state, sums, rtol=tolerance)


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
