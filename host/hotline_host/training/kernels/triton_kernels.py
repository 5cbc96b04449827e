"""The kernels in Triton, for CUDA. Each program works on a tile: a few bags, chunks or rows, and all D columns.

    update_rows    gradient [bags, D] --_sum_chunks--> partials [c_max, D] --_update--> rows [P, D], state [P]

Sums are made in an order that depends on the lists alone, without atomic additions, so results are the same every time.
Grids follow the lengths of the tensors; a tile beyond the real sizes, which are read from device memory, does nothing.
So a CUDA graph can replay every kernel here. Call each once before the capture, as the first call compiles it.
"""

# mypy: allow-incomplete-defs

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from hotline_host.training.optim import SGD, RowOptimizer, RowwiseAdagrad

from .kernels import Groups, Kernels
from .torch_kernels import TorchKernels

__all__ = ["TritonKernels"]

_TILE = 2048  # numbers that a program holds at a time: 16 a thread, so that registers leave room for many programs
_AT_ONCE = 8  # lookups of a chunk that are loaded before they are added, so that loads do not wait for each other


@triton.jit
def _segment_sums(
    values, picks, starts, ends, PICK: tl.constexpr, DIMENSION: tl.constexpr,
    SEGMENTS: tl.constexpr, AT_ONCE: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """[SEGMENTS, WIDTH]: sum of rows of `values`, for each segment from `starts` to `ends`. PICK: rows by `picks`."""
    columns = tl.arange(0, WIDTH)
    total = tl.zeros([SEGMENTS, WIDTH], values.dtype.element_ty)
    for k in range(0, tl.max(ends - starts, axis=0), AT_ONCE):
        at = starts[:, None] + k + tl.arange(0, AT_ONCE)[None, :]
        live = at < ends[:, None]
        if PICK:
            at = tl.load(picks + at, mask=live, other=0)
        offsets = at.to(tl.int64)[:, :, None] * DIMENSION + columns[None, None, :]
        part = tl.load(values + offsets, mask=live[:, :, None] & (columns < DIMENSION)[None, None, :], other=0.0)
        total += tl.sum(part, axis=1)
    return total


@triton.jit(do_not_specialize=["bags"])
def _pooled_sum(
    rows, ids, offsets, out, bags, ONE_A_BAG: tl.constexpr, DIMENSION: tl.constexpr,
    BAGS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    bag = tl.program_id(0) * BAGS + tl.arange(0, BAGS)
    live = bag < bags
    if ONE_A_BAG:
        starts = bag
        ends = tl.where(live, bag + 1, bag)
    else:
        starts = tl.load(offsets + bag, mask=live, other=0)
        ends = tl.load(offsets + bag + 1, mask=live, other=0)
    # One lookup at a time: in input order, as the reference adds.
    sums = _segment_sums(rows, ids, starts, ends, True, DIMENSION, BAGS, 1, WIDTH)
    columns = tl.arange(0, WIDTH)
    place = bag.to(tl.int64)[:, None] * DIMENSION + columns[None, :]
    tl.store(out + place, sums, mask=live[:, None] & (columns < DIMENSION)[None, :])


@triton.jit
def _sum_chunks(
    gradient, bags, chunk_starts, sizes, partials, DIMENSION: tl.constexpr,
    CHUNKS: tl.constexpr, AT_ONCE: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    count = tl.load(sizes + 1)
    if tl.program_id(0) * CHUNKS >= count:
        return
    chunk = tl.program_id(0) * CHUNKS + tl.arange(0, CHUNKS)
    live = chunk < count
    starts = tl.load(chunk_starts + chunk, mask=live, other=0)
    ends = tl.load(chunk_starts + chunk + 1, mask=live, other=0)
    sums = _segment_sums(gradient, bags, starts, ends, True, DIMENSION, CHUNKS, AT_ONCE, WIDTH)
    columns = tl.arange(0, WIDTH)
    place = chunk.to(tl.int64)[:, None] * DIMENSION + columns[None, :]
    tl.store(partials + place, sums, mask=live[:, None] & (columns < DIMENSION)[None, :])


@triton.jit
def _update(
    table, state, partials, row_chunks, rows, sizes, rate, ADAGRAD: tl.constexpr, EPS: tl.constexpr,
    DIMENSION: tl.constexpr, ROWS: tl.constexpr, AT_ONCE: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    dtype: tl.constexpr = table.dtype.element_ty
    count = tl.load(sizes)
    if tl.program_id(0) * ROWS >= count:
        return
    place = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    live = place < count
    starts = tl.load(row_chunks + place, mask=live, other=0)
    ends = tl.load(row_chunks + place + 1, mask=live, other=0)
    step = _segment_sums(partials, row_chunks, starts, ends, False, DIMENSION, ROWS, AT_ONCE, WIDTH)
    row = tl.load(rows + place, mask=live, other=0).to(tl.int64)
    if ADAGRAD:
        sums = tl.load(state + row, mask=live, other=0.0) + tl.sum(step * step, axis=1) / DIMENSION
        tl.store(state + row, sums, mask=live)
        # A constant by itself would be float32. float32 has an exact root and quotient beside the quick ones.
        eps = tl.full([ROWS], EPS, dtype)
        if dtype == tl.float32:
            step = tl.div_rn(step, tl.broadcast_to((tl.sqrt_rn(sums) + eps)[:, None], [ROWS, WIDTH]))
        else:
            step = step / (tl.sqrt(sums) + eps)[:, None]
    columns = tl.arange(0, WIDTH)
    mask = live[:, None] & (columns < DIMENSION)[None, :]
    target = table + row[:, None] * DIMENSION + columns[None, :]
    tl.store(target, tl.load(target, mask=mask, other=0.0) - tl.load(rate).to(dtype) * step, mask=mask)


@triton.jit(do_not_specialize=["count"])
def _copy(
    from_rows, from_state, to_rows, to_state, ids, count, PICK: tl.constexpr, DIMENSION: tl.constexpr,
    ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """PICK: row `ids[i]` goes to row i. Otherwise row i goes to row `ids[i]`."""
    place = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    live = place < count
    row = tl.load(ids + place, mask=live, other=0).to(tl.int64)
    place = place.to(tl.int64)
    if PICK:
        source = row
        target = place
    else:
        source = place
        target = row
    columns = tl.arange(0, WIDTH)
    mask = live[:, None] & (columns < DIMENSION)[None, :]
    values = tl.load(from_rows + source[:, None] * DIMENSION + columns[None, :], mask=mask, other=0.0)
    tl.store(to_rows + target[:, None] * DIMENSION + columns[None, :], values, mask=mask)
    tl.store(to_state + target, tl.load(from_state + source, mask=live, other=0.0), mask=live)


class TritonKernels(Kernels):
    """For float32 and float64, and any D; made for D from 16 to 256.

    Lookups with weights, and optimizers with more state than a number a row, go through the kernels in torch. A CUDA
    graph cannot replay these.
    """

    fixed_shapes = True

    def __init__(self) -> None:
        self._torch = TorchKernels()
        self._memory: dict[tuple[object, ...], Tensor] = {}

    def pooled_sum(self, rows: Tensor, ids: Tensor, offsets: Tensor | None, weights: Tensor | None = None) -> Tensor:
        if weights is not None:
            return self._torch.pooled_sum(rows, ids, offsets, weights)
        _check(rows, ids, *(() if offsets is None else (offsets,)))
        bags, dimension = (len(ids) if offsets is None else len(offsets) - 1), rows.shape[1]
        out = rows.new_empty(bags, dimension)
        tile, width = _tile(dimension, 1)
        if bags:
            with torch.cuda.device_of(rows):
                _pooled_sum[(triton.cdiv(bags, tile),)](
                    rows, ids, ids if offsets is None else offsets, out, bags, offsets is None, dimension, tile, width
                )
        return out

    def row_sums(self, gradient: Tensor, groups: Groups, weights: Tensor | None = None) -> Tensor:
        return self._torch.row_sums(gradient, groups, weights)

    def update_rows(
        self,
        optimizer: RowOptimizer,
        rows: Tensor,
        state: Tensor,
        gradient: Tensor,
        groups: Groups,
        weights: Tensor | None = None,
    ) -> None:
        if weights is not None or not isinstance(optimizer, SGD | RowwiseAdagrad):
            return self._torch.update_rows(optimizer, rows, state, gradient, groups, weights)
        _check(rows, groups.bags, groups.chunk_starts, groups.row_chunks, groups.rows, groups.sizes)
        _check(gradient)
        if gradient.dtype != rows.dtype or gradient.shape[1] != rows.shape[1]:
            raise ValueError(
                f"gradient is {gradient.dtype} with {gradient.shape[1]} columns; rows are {rows.dtype} with "
                f"{rows.shape[1]}"
            )
        if optimizer.rate.device != rows.device:
            raise ValueError(f"the learning rate is on {optimizer.rate.device}; it must be on {rows.device}")
        adagrad, eps = _kind(optimizer)
        dimension, chunks, count = rows.shape[1], len(groups.chunk_starts) - 1, len(groups.rows)
        tile, width = _tile(dimension, _AT_ONCE)
        if chunks == 0 or count == 0:
            return
        partials = self._scratch("partials", (chunks, dimension), rows)
        with torch.cuda.device_of(rows):
            _sum_chunks[(triton.cdiv(chunks, tile),)](
                gradient, groups.bags, groups.chunk_starts, groups.sizes, partials, dimension, tile, _AT_ONCE, width
            )
            _update[(triton.cdiv(count, tile),)](
                rows, state, partials, groups.row_chunks, groups.rows, groups.sizes, optimizer.rate, adagrad, eps,
                dimension, tile, _AT_ONCE, width,
            )  # fmt: skip

    def copy_rows(self, rows: Tensor, state: Tensor, source: Tensor, target: Tensor) -> None:
        if state.dim() > 1:
            return self._torch.copy_rows(rows, state, source, target)
        _check(rows, source, target)
        count, dimension = len(source), rows.shape[1]
        if len(target) != count:
            raise ValueError(f"source has {count} rows, target {len(target)}")
        if count == 0:
            return
        tile, width = _tile(dimension, 1)
        # Lists of many lengths share a few pieces of memory.
        room = triton.next_power_of_2(count)
        row_copy, state_copy = self._scratch("rows", (room, dimension), rows), self._scratch("state", (room,), rows)
        grid = (triton.cdiv(count, tile),)
        with torch.cuda.device_of(rows):
            _copy[grid](rows, state, row_copy, state_copy, source, count, True, dimension, tile, width)
            _copy[grid](row_copy, state_copy, rows, state, target, count, False, dimension, tile, width)

    def fetch_rows(self, source: Tensor, source_state: Tensor, keys: Tensor, rows: Tensor, state: Tensor) -> None:
        _check(rows)
        count, dimension = len(keys), rows.shape[1]
        if count == 0:
            return
        if source.is_cpu and not rows.is_cpu and not (source.is_pinned() and source_state.is_pinned()):
            raise ValueError("the rows are in host memory that is not pinned; the device cannot read them")
        tile, width = _tile(dimension, 1)
        with torch.cuda.device_of(rows):
            _copy[(triton.cdiv(count, tile),)](
                source, source_state, rows, state, keys, count, True, dimension, tile, width
            )

    def _scratch(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Memory for intermediate results. It stays where it is, as a captured graph goes on using it."""
        key = (name, shape, like.dtype, like.device)
        if key not in self._memory:
            self._memory[key] = like.new_empty(shape)
        return self._memory[key]


def _tile(dimension: int, at_once: int) -> tuple[int, int]:
    """Bags, chunks or rows that a program works on, and the columns of a tile, which Triton wants as a power of 2."""
    width = triton.next_power_of_2(dimension)
    return max(1, _TILE // (width * at_once)), width


def _kind(optimizer: RowOptimizer) -> tuple[bool, float]:
    """Whether it is Adagrad, and its eps."""
    if isinstance(optimizer, RowwiseAdagrad):
        return True, optimizer.eps
    if isinstance(optimizer, SGD):
        return False, 0.0
    raise TypeError(f"there is no kernel for {type(optimizer).__name__}")


def _check(rows: Tensor, *lists: Tensor) -> None:
    """A kernel takes memory as it is, so what is wrong must be found before."""
    if rows.dtype not in (torch.float32, torch.float64) or rows.dim() != 2 or not rows.is_contiguous():
        raise ValueError(
            f"rows are {rows.dtype} {list(rows.shape)}; they must be float32 or float64 [P, D], contiguous"
        )
    for ids in lists:
        if ids.dtype != torch.int32 or not ids.is_contiguous() or ids.device != rows.device:
            raise ValueError(f"a list is {ids.dtype} on {ids.device}; it must be int32, contiguous, on {rows.device}")
