"""Mini-batches for tests of kernels, and the comparison of Triton's kernels with torch's.

`python -m tests.support.kernel_cases BAGS`, with TRITON_INTERPRET=1 in the environment, runs the comparison on the CPU.
"""

from __future__ import annotations

import sys

import numpy as np
import torch

from hotline_host.pool.grouping import Grouping
from hotline_host.training.kernels import Groups, Kernels, TorchKernels
from hotline_host.training.optim import RowOptimizer, row_optimizer

POOL = 300
HOTTEST = 7  # a row with most of the lookups
ZERO = POOL - 1  # a row that is not updated
RATE, EPS = 0.02, 1e-3


class Case:
    """A pool and a mini-batch. Some bags are empty, unless there is one lookup a bag.

    Attributes:
        ids, bags, offsets: of the lookups.
        rows, state: the pool.
        gradient: [bags, D].
        groups: the lookups by row, but those of the zero row. The tensors are longer than what is in use.
    """

    def __init__(
        self, dtype: torch.dtype, dimension: int, bags: int = 2000, *, one_a_bag: bool = False, device: str = "cpu"
    ) -> None:
        rng = np.random.default_rng(dimension)
        lengths = np.ones(bags, np.int64) if one_a_bag else rng.integers(0, 4, bags)
        n = int(lengths.sum())
        ids = rng.integers(0, POOL // 2, n).astype(np.int32)
        ids[rng.random(n) < 0.6] = HOTTEST
        ids[rng.random(n) < 0.1] = ZERO
        of = np.repeat(np.arange(bags, dtype=np.int32), lengths)
        grouped = group(ids, None if one_a_bag else of, POOL, ZERO, spare=100)

        def tensor(array: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(array).to(device)

        self.ids, self.bags = tensor(ids), tensor(of)
        self.offsets = tensor(np.append(0, np.cumsum(lengths)).astype(np.int32))
        self.rows = tensor(rng.standard_normal((POOL, dimension))).to(dtype)
        self.state, self.gradient = (tensor(rng.random(shape)).to(dtype) for shape in (POOL, (bags, dimension)))
        self.gradient -= 0.5
        lists = {name: tensor(array) for name, array in grouped.items()}
        self.groups = Groups(**lists, row_count=int(grouped["sizes"][0]), lookup_count=int((ids != ZERO).sum()))


def group(ids: np.ndarray, of: np.ndarray | None, limit: int, skip: int, spare: int = 0) -> dict[str, np.ndarray]:
    """The lists of `Groups`. Beyond what is in use, and `spare` entries more, they hold what must not be used."""
    n = len(ids) + spare
    lengths = {"bags": n, "chunk_starts": n + 1, "row_chunks": n + 1, "rows": n}
    lists = {name: np.full(length, 10**9, np.int32) for name, length in lengths.items()}
    grouping = Grouping(len(ids), limit)
    sizes = grouping.group(ids, of, skip, lists["bags"], lists["rows"], lists["row_chunks"], lists["chunk_starts"])
    return lists | {"sizes": np.array(sizes, np.int32)}


def compare(device: str, dimension: int, dtype: torch.dtype, bags: int = 2000) -> None:
    """Triton's kernels against torch's in float64: 1e-6 in float32, 1e-12 in float64, and the same bits when run again.

    Raises:
        AssertionError: they differ.
    """
    from hotline_host.training.kernels.triton_kernels import TritonKernels

    reference, kernels = TorchKernels(), TritonKernels()
    tolerance = 1e-6 if dtype == torch.float32 else 1e-12

    def check(found: torch.Tensor, expected: torch.Tensor, factor: int = 1) -> None:
        assert found.dtype == dtype
        torch.testing.assert_close(found.double(), expected, rtol=factor * tolerance, atol=factor * tolerance)

    for one_a_bag in (False, True):
        case = Case(dtype, dimension, bags, one_a_bag=one_a_bag, device=device)
        offsets = None if one_a_bag else case.offsets
        expected = reference.pooled_sum(case.rows.double(), case.ids, offsets)
        check(kernels.pooled_sum(case.rows, case.ids, offsets), expected)

        for name in ("sgd", "adagrad"):
            optimizer = row_optimizer(name, RATE, EPS, device=device)
            rows, state = _updated(kernels, optimizer, case, dtype)
            expected, expected_state = _updated(reference, optimizer, case, torch.float64)
            check(rows, expected)
            check(state, expected_state, factor=4)  # it holds squares
            again, again_state = _updated(kernels, optimizer, case, dtype)
            assert torch.equal(rows, again) and torch.equal(state, again_state)
            assert torch.equal(rows[ZERO], case.rows[ZERO])
            assert not torch.equal(rows[HOTTEST], case.rows[HOTTEST])

        # A cycle, a chain, and more rows than a program copies.
        source = torch.cat([torch.tensor([1, 0, 2], dtype=torch.int32), torch.arange(2, 202, dtype=torch.int32)])
        target = torch.cat([torch.tensor([0, 1, 299], dtype=torch.int32), torch.arange(3, 203, dtype=torch.int32)])
        tables = [(case.rows.clone(), case.state.clone()) for _ in range(2)]
        for each, table in zip((reference, kernels), tables, strict=True):
            each.copy_rows(*table, source.to(device), target.to(device))
        assert torch.equal(tables[0][0], tables[1][0]) and torch.equal(tables[0][1], tables[1][1])
        assert not torch.equal(tables[0][0], case.rows)


def _updated(
    kernels: Kernels, optimizer: RowOptimizer, case: Case, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """The rows and states after an update, made in a dtype."""
    rows, state, gradient = (tensor.to(dtype, copy=True) for tensor in (case.rows, case.state, case.gradient))
    kernels.update_rows(optimizer, rows, state, gradient, case.groups)
    return rows, state


if __name__ == "__main__":
    for dimension in (16, 40, 128):
        for dtype in (torch.float32, torch.float64):
            compare("cpu", dimension, dtype, bags=int(sys.argv[1]))
            print(f"D {dimension} {dtype} agrees")
