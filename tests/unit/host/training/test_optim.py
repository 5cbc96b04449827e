"""Optimizers of embedding rows, and the coalesced gradients that they take, against loops over rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hotline_host.training.optim import (
    SGD,
    DenseAdagrad,
    DenseSGD,
    RowwiseAdagrad,
    dense_optimizer,
    load_optimizer_state,
    row_optimizer,
)


def adagrad_by_loop(table: list, accumulator: list, rows: list, gradient: list, rate: float, eps: float) -> None:
    for row, g in zip(rows, gradient, strict=True):
        accumulator[row] += sum(x * x for x in g) / len(g)
        for d, x in enumerate(g):
            table[row][d] -= rate * x / (math.sqrt(accumulator[row]) + eps)


def test_rowwise_adagrad_against_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(8, 5, generator=generator, dtype=torch.float64)
    accumulator = torch.rand(8, generator=generator, dtype=torch.float64)
    expected, expected_accumulator = table.tolist(), accumulator.tolist()
    for rows in ([0, 3, 7], [3], [], [2, 3, 0, 5]):
        gradient = torch.randn(len(rows), 5, generator=generator, dtype=torch.float64)
        RowwiseAdagrad(0.1, eps=1e-3).update(table, accumulator, torch.tensor(rows, dtype=torch.int64), gradient)
        adagrad_by_loop(expected, expected_accumulator, rows, gradient.tolist(), 0.1, 1e-3)
    np.testing.assert_allclose(table, expected, rtol=0, atol=1e-15)
    np.testing.assert_allclose(accumulator, expected_accumulator, rtol=1e-15)


def test_dense_adagrad_against_a_loop() -> None:
    """Same formula and eps as for rows, element by element. It also takes small steps for gradients below eps."""
    parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))
    optimizer = dense_optimizer("adagrad", [parameter], 0.1, 1e-3)
    expected, accumulator = [[x] for x in parameter.tolist()], [0.0] * 3
    for gradient in ([1e-9, 0.5, -2.0], [1e-6, 0.0, 0.25], [0.3, -0.1, 0.0]):
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        adagrad_by_loop(expected, accumulator, [0, 1, 2], [[g] for g in gradient], 0.1, 1e-3)
        np.testing.assert_allclose(parameter.detach(), np.ravel(expected), rtol=0, atol=1e-15)
        if gradient[0] < 1e-3:
            assert 0 < 1 - parameter[0] < 2e-4


def test_sgd() -> None:
    table, accumulator = torch.zeros(3, 2, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    SGD(0.5).update(table, accumulator, torch.tensor([2, 0]), torch.tensor([[1.0, 2.0], [3.0, 4.0]]).double())
    assert table.tolist() == [[-1.5, -2.0], [0.0, 0.0], [-0.5, -1.0]]
    assert accumulator.tolist() == [0, 0, 0]


def test_a_zero_gradient_leaves_a_fresh_row_alone() -> None:
    table, accumulator = torch.ones(1, 2), torch.zeros(1)
    RowwiseAdagrad(0.1).update(table, accumulator, torch.tensor([0]), torch.zeros(1, 2))
    assert table.tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize("name", ["sgd", "adagrad"])
def test_rows_in_float32_round_as_with_a_number_for_a_rate(name: str) -> None:
    """On the CPU, product and sum are rounded once, as `index_add_` does with a number."""
    generator = torch.Generator().manual_seed(1)
    table, gradient = (torch.randn(500, 16, generator=generator) for _ in range(2))
    rows, state = torch.randperm(500, generator=generator)[:300], torch.rand(500, generator=generator)
    expected, gradient = table.clone(), gradient[:300]
    sums = state[rows] + gradient.square().mean(1)
    step = gradient if name == "sgd" else gradient / (sums.sqrt() + 1e-3).unsqueeze(1)
    expected.index_add_(0, rows, step, alpha=-0.02)
    for ids in (rows, rows.int()):
        found = table.clone()
        row_optimizer(name, 0.02, 1e-3).update(found, state.clone(), ids, gradient)
        assert torch.equal(found, expected)


def test_another_rate() -> None:
    """In place; and a tensor that is shared is written by either side."""
    shared = torch.tensor(0.5)
    optimizer = SGD(shared)
    optimizer.set_rate(0.25)
    assert shared.item() == 0.25
    table = torch.zeros(1, 2)
    optimizer.update(table, torch.zeros(1), torch.tensor([0]), torch.tensor([[1.0, 2.0]]))
    assert table.tolist() == [[-0.25, -0.5]]


class Dense:
    """Two parameters with gradients that differ from step to step; a third never has one."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(4)
        values = (torch.randn(*shape, generator=generator).double() for shape in ((3, 4), (5,), (2,)))
        self.parameters = [torch.nn.Parameter(value) for value in values]

    def set_gradients(self, step: int) -> None:
        for i, parameter in enumerate(self.parameters[:2]):
            parameter.grad = torch.sin(torch.arange(parameter.numel()).double() + step + i).view_as(parameter)


@pytest.mark.parametrize("name", ["sgd", "adagrad"])
def test_dense_optimizers_against_torchs_with_a_schedule(name: str) -> None:
    """The scheduler writes the rate in place, where a captured graph would read it."""
    ours, theirs = Dense(), Dense()
    optimizer = dense_optimizer(name, ours.parameters, 0.1, 1e-3)
    twin: torch.optim.Optimizer = torch.optim.SGD(theirs.parameters, lr=0.1)
    if name == "adagrad":
        twin = torch.optim.Adagrad(theirs.parameters, lr=0.1, eps=1e-3)
    schedules = [torch.optim.lr_scheduler.ExponentialLR(each, 0.7) for each in (optimizer, twin)]
    rate = optimizer.param_groups[0]["lr"]
    for step in range(5):
        for dense, each, schedule in zip((ours, theirs), (optimizer, twin), schedules, strict=True):
            dense.set_gradients(step)
            each.step()
            schedule.step()
        for a, b in zip(ours.parameters, theirs.parameters, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-15)
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == pytest.approx(0.1 * 0.7**5, abs=1e-15)


def test_a_dense_optimizer_goes_on_from_a_checkpoint_in_the_same_tensors() -> None:
    ours, other = Dense(), Dense()
    optimizer, source = (dense_optimizer("adagrad", each.parameters, 0.1, 1e-3) for each in (ours, other))
    other.set_gradients(0)
    source.step()
    source.param_groups[0]["lr"].fill_(0.05)
    tensors = [optimizer.param_groups[0]["lr"], *(optimizer.state[p]["sum"] for p in ours.parameters)]
    optimizer.load_state_dict(source.state_dict())
    held = [optimizer.param_groups[0]["lr"], *(optimizer.state[p]["sum"] for p in ours.parameters)]
    assert all(a is b for a, b in zip(held, tensors, strict=True))
    assert held[0].item() == 0.05 and held[0] is not source.param_groups[0]["lr"]
    for a, b in zip(ours.parameters, other.parameters, strict=True):
        assert torch.equal(optimizer.state[a]["sum"], source.state[b]["sum"])
    assert optimizer.state[ours.parameters[0]]["sum"].any()

    # A checkpoint that torch's Adagrad wrote goes in too.
    torchs = torch.optim.Adagrad(other.parameters, lr=0.2, initial_accumulator_value=3.0)
    optimizer.load_state_dict(torchs.state_dict())
    assert held[0].item() == 0.2 and (held[1] == 3.0).all() and held[1] is optimizer.state[ours.parameters[0]]["sum"]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["sgd", "adagrad"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_captured_step_follows_the_schedule(name: str, dtype: torch.dtype) -> None:
    start = torch.arange(12, device="cuda", dtype=dtype)
    captured, eager = (torch.nn.Parameter(start.clone()) for _ in range(2))
    first, second = (dense_optimizer(name, [each], 0.1, 1e-3) for each in (captured, eager))
    captured.grad, eager.grad = (torch.ones_like(start) for _ in range(2))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        first.step()
    for rate in (0.1, 0.02, 0.5):
        for optimizer in (first, second):
            optimizer.param_groups[0]["lr"].fill_(rate)
        graph.replay()
        second.step()
        assert torch.equal(captured, eager)


def test_names() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    assert isinstance(row_optimizer("sgd", 0.1, 1e-8), SGD)
    rows = row_optimizer("adagrad", 0.1, 1e-7)
    assert isinstance(rows, RowwiseAdagrad) and (rows.rate.item(), rows.eps) == (0.1, 1e-7)
    assert isinstance(dense_optimizer("sgd", [parameter], 0.1, 1e-8), DenseSGD)
    adagrad = dense_optimizer("adagrad", [parameter], 0.1, 1e-7)
    assert isinstance(adagrad, DenseAdagrad)
    assert (adagrad.param_groups[0]["lr"].item(), adagrad.param_groups[0]["eps"]) == (pytest.approx(0.1), 1e-7)
    with pytest.raises(ValueError, match="unknown optimizer 'adam'; the optimizers are sgd, adagrad"):
        row_optimizer("adam", 0.1, 1e-8)


def test_a_learning_rate_that_others_share_stays_that_tensor() -> None:
    """torch's `load_state_dict` would put another one in its place."""
    rate = torch.tensor(0.5)
    first, second = (
        torch.optim.Adam([torch.nn.Parameter(torch.ones(2))], lr=each) for each in (torch.tensor(0.1), rate)
    )
    first.param_groups[0]["params"][0].grad = torch.ones(2)
    first.step()
    load_optimizer_state(second, first.state_dict())
    assert second.param_groups[0]["lr"] is rate and float(rate) == float(torch.tensor(0.1))
    assert second.state_dict()["state"][0]["step"] == 1
