"""The initial values of the rows that one rank keeps. They are those that `draw_rows` gives the whole table."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from hotline_host.pool.shards import Shards
from hotline_host.training.initial_rows import draw_range

__all__ = ["draw_share"]

_CHUNK = 1 << 20
"""Values that a thread draws at a time, before it keeps a rank's share of them."""


def draw_share(cold: Tensor, rows: np.ndarray, shards: Shards, rank: int, *, seed: int) -> Tensor:
    """Fills a rank's share of T tables in place.

    Every rank draws all values and keeps its own, in chunks: about 1 ns a value of the whole tables and thread.

    Args:
        cold: [share, D] on the host.
        rows: [T], rows of each table.
        shards: of all rows, end to end.

    Returns:
        `cold`.
    """
    size = 2 * max(1, _CHUNK // (2 * cold.shape[1]))  # rows, an even number

    def draw(table: int, first: int, base: int) -> None:
        count = min(size, int(rows[table]) - first)
        keys = np.arange(base + first, base + first + count)
        own = np.flatnonzero(shards.owner(keys) == rank)
        drawn = draw_range(
            torch.empty(count, cold.shape[1], dtype=cold.dtype), int(rows[table]), table, first, seed=seed
        )
        cold.index_copy_(0, torch.from_numpy(shards.local(keys[own])), drawn.index_select(0, torch.from_numpy(own)))

    bases = np.concatenate([[0], np.cumsum(rows)])
    with ThreadPoolExecutor(max(1, torch.get_num_threads())) as threads:
        drawn = [
            threads.submit(draw, table, first, int(bases[table]))
            for table, count in enumerate(rows)
            for first in range(0, int(count), size)
        ]
        for chunk in drawn:
            chunk.result()
    return cold
