"""The initial values of embedding rows: each a function of seed, table, row and column alone.

So the rows may be drawn in any order, by several threads, or by several processes for their own shares.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from hotline_device.compiled import compiled

__all__ = ["InitialRows", "draw_range", "draw_rows"]

_CHUNK = 1 << 20
"""Values that a thread draws at a time: an even number."""
_GOLDEN = 0x9E3779B97F4A7C15


def draw_rows(table: Tensor, rows: np.ndarray, *, seed: int) -> Tensor:
    """Fills a table in place: table t uniform within +-1/sqrt(rows[t]).

    The values are drawn in float32, so every dtype starts from the same ones. All of torch's threads draw. About 1 ns a
    value and thread.

    Args:
        table: [sum(rows), D] on the host, contiguous: all tables end to end.
        rows: [T].

    Returns:
        `table`.
    """
    values, width = table.view(-1), table.shape[1]
    with ThreadPoolExecutor(max(1, torch.get_num_threads())) as threads:
        begin, drawn = 0, []
        for number, count in enumerate(rows):
            size = int(count) * width
            bound, key = _bound(count), _key(seed, number)
            part = values[begin : begin + size]
            begin += size
            drawn += [
                threads.submit(_draw_chunk, part[first : first + _CHUNK], key, first, bound)
                for first in range(0, size, _CHUNK)
            ]
        for chunk in drawn:
            chunk.result()
    return table


def draw_range(out: Tensor, rows: int, number: int, first: int, *, seed: int) -> Tensor:
    """Fills `out`, [m, D] on the host, with rows `first` and following of table `number`, which has `rows` of them.

    `first` is even. Returns `out`.
    """
    bound, begin = _bound(rows), first * out.shape[1]
    values, key = out.view(-1), _key(seed, number)
    for at in range(0, len(values), _CHUNK):
        _draw_chunk(values[at : at + _CHUNK], key, begin + at, bound)
    return out


class InitialRows:
    """The initial values of any rows: those that `draw_rows` gives them.

    Args:
        rows: [T], rows of each table.
    """

    def __init__(self, rows: np.ndarray, *, seed: int) -> None:
        self._bases = np.concatenate([[0], np.cumsum(rows)]).astype(np.int64)
        self._keys = np.array([_key(seed, number) for number in range(len(rows))], np.uint64)
        self._bounds = np.array([_bound(count) for count in rows], np.float32)

    def draw(self, table: Tensor, first: np.ndarray, count: int) -> None:
        """Fills rows `first[i]` to `first[i] + count` (exclusive, clipped), for all i, of a table.

        Args:
            table: [sum(rows), D] of float32 or float64 on the host, contiguous.
        """
        _draw_some(table.numpy(), first, count, self._bases, self._keys, self._bounds)


def _draw_chunk(values: Tensor, key: np.uint64, first: int, bound: np.float32) -> None:
    out = values.numpy() if values.dtype == torch.float32 else np.empty(len(values), np.float32)
    _draw(out, key, np.uint64(first), bound)
    if values.dtype != torch.float32:
        values.copy_(torch.from_numpy(out))


def _key(seed: int, table: int) -> np.uint64:
    return np.random.SeedSequence([seed, table]).generate_state(1, np.uint64)[0]


def _bound(count: int) -> np.float32:
    return np.float32(max(1, int(count)) ** -0.5)


@compiled()
def _draw_some(table, first, count, bases, keys, bounds):
    width = table.shape[1]
    for begin in first:
        number = np.searchsorted(bases, begin, side="right") - 1
        for row in range(begin, min(begin + count, table.shape[0])):
            while row >= bases[number + 1]:
                number += 1
            scale = bounds[number] * np.float32(2.0**-23)
            at = (row - bases[number]) * width  # the row's first value in its table
            mixed = np.uint64(0)
            for column in range(width):
                if column == 0 or not (at + column) & 1:
                    mixed = _mixed(keys[number], np.uint64(at + column) >> np.uint64(1))
                bits = mixed >> np.uint64(8) & np.uint64(0xFFFFFF) if (at + column) & 1 else mixed >> np.uint64(40)
                table[row, column] = np.float32(np.int32(bits) - np.int32(1 << 23)) * scale


@compiled(inline="always")
def _mixed(key, pair):
    """The number of which a pair of values is made."""
    mixed = key + pair * np.uint64(_GOLDEN)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


@compiled()
def _draw(out, key, first, bound):
    """Values `first` and following of a table; `first` is even. SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) gives
    two values of 24 bits for each number of a pair."""
    scale = bound * np.float32(2.0**-23)
    for pair in range((len(out) + 1) // 2):
        mixed = _mixed(key, (first >> np.uint64(1)) + np.uint64(pair))
        out[2 * pair] = np.float32(np.int32(mixed >> np.uint64(40)) - np.int32(1 << 23)) * scale
        if 2 * pair + 1 < len(out):
            low = (mixed >> np.uint64(8)) & np.uint64(0xFFFFFF)
            out[2 * pair + 1] = np.float32(np.int32(low) - np.int32(1 << 23)) * scale
