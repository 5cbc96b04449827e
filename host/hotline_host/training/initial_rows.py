"""The initial values of embedding rows: each a function of seed, table, row and column alone.

So the rows may be drawn in any order, by several threads, or by several processes for their own shares.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from hotline_device.compiled import compiled

__all__ = ["draw_range", "draw_rows"]

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
            bound, key = np.float32(max(1, int(count)) ** -0.5), _key(seed, number)
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
    bound, begin = np.float32(max(1, rows) ** -0.5), first * out.shape[1]
    values, key = out.view(-1), _key(seed, number)
    for at in range(0, len(values), _CHUNK):
        _draw_chunk(values[at : at + _CHUNK], key, begin + at, bound)
    return out


def _draw_chunk(values: Tensor, key: np.uint64, first: int, bound: np.float32) -> None:
    out = values.numpy() if values.dtype == torch.float32 else np.empty(len(values), np.float32)
    _draw(out, key, np.uint64(first), bound)
    if values.dtype != torch.float32:
        values.copy_(torch.from_numpy(out))


def _key(seed: int, table: int) -> np.uint64:
    return np.random.SeedSequence([seed, table]).generate_state(1, np.uint64)[0]


@compiled()
def _draw(out, key, first, bound):
    """Values `first` and following of a table; `first` is even. SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) gives
    two values of 24 bits for each number of a pair."""
    scale = bound * np.float32(2.0**-23)
    for pair in range((len(out) + 1) // 2):
        mixed = key + ((first >> np.uint64(1)) + np.uint64(pair)) * np.uint64(_GOLDEN)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed = mixed ^ (mixed >> np.uint64(31))
        out[2 * pair] = np.float32(np.int32(mixed >> np.uint64(40)) - np.int32(1 << 23)) * scale
        if 2 * pair + 1 < len(out):
            low = (mixed >> np.uint64(8)) & np.uint64(0xFFFFFF)
            out[2 * pair + 1] = np.float32(np.int32(low) - np.int32(1 << 23)) * scale
