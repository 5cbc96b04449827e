"""Optimizers of embedding rows, and the coalesced gradients that they take, against loops over rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hotline_host.training.bags import Bags, group
from hotline_host.training.optim import SGD, RowwiseAdagrad, dense_optimizer, row_optimizer


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


def test_names() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    assert isinstance(row_optimizer("sgd", 0.1, 1e-8), SGD)
    assert row_optimizer("adagrad", 0.1, 1e-7) == RowwiseAdagrad(0.1, 1e-7)
    assert isinstance(dense_optimizer("sgd", [parameter], 0.1, 1e-8), torch.optim.SGD)
    adagrad = dense_optimizer("adagrad", [parameter], 0.1, 1e-7)
    assert isinstance(adagrad, torch.optim.Adagrad)
    assert (adagrad.param_groups[0]["lr"], adagrad.param_groups[0]["eps"]) == (0.1, 1e-7)
    with pytest.raises(ValueError, match="unknown optimizer 'adam'; the optimizers are sgd, adagrad"):
        row_optimizer("adam", 0.1, 1e-8)


@settings(deadline=None, max_examples=80)
@given(st.lists(st.lists(st.integers(0, 6), max_size=5), max_size=8), st.sampled_from([torch.float32, torch.float64]))
def test_pooling_and_its_transpose_against_loops(contents: list[list[int]], dtype: torch.dtype) -> None:
    """Small integers, so that every sum is exact. Bags are empty, multi-hot, or have the same row twice."""
    ids = torch.tensor([row for bag in contents for row in bag], dtype=torch.int64)
    numbers = torch.tensor([number for number, bag in enumerate(contents) for _ in bag], dtype=torch.int64)
    bags = Bags(ids, numbers, len(contents))
    table = torch.arange(28, dtype=dtype).reshape(7, 4)
    pooled = bags.pool(table)
    assert pooled.dtype == dtype
    assert pooled.tolist() == [[sum(4 * row + d for row in bag) for d in range(4)] for bag in contents]

    gradient = torch.arange(len(contents) * 4, dtype=dtype).reshape(-1, 4)
    expected: dict[int, list[float]] = {}
    for number, bag in enumerate(contents):
        for row in bag:
            expected[row] = [a + b for a, b in zip(expected.get(row, [0] * 4), gradient[number].tolist(), strict=True)]
    grouped = group(ids)
    assert grouped.rows.tolist() == sorted(expected)
    assert grouped.gradient(numbers, gradient).tolist() == [expected[row] for row in sorted(expected)]
    assert torch.equal(grouped.rows[grouped.positions()], ids)
