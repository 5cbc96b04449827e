"""The rows that one rank keeps. Their initial values are those that `draw_rows` gives the whole tables."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hotline_device.host_memory import HostMemory
from hotline_host.errors import SettingsError
from hotline_host.pool.shards import Shards
from hotline_host.training.host_rows import HostRows
from hotline_host.training.host_table import host_zeros
from hotline_host.training.initial_rows import draw_range

__all__ = ["ShareOfRows", "draw_share"]

_CHUNK = 1 << 20
"""Values that a thread draws at a time, before it keeps a rank's share of them."""


class ShareOfRows(HostRows):
    """A rank's share of all rows. Arguments as `HostRows`, and `draw_share`.

    Raises:
        SettingsError: the rows are to be drawn when they are needed.
    """

    def __init__(
        self, counts: np.ndarray, dimension: int, shards: Shards, rank: int, *, state: tuple[int, ...],
        dtype: torch.dtype, seed: int, memory: HostMemory | None = None, folder: Path | None = None, lazy: bool = False,
    ) -> None:  # fmt: skip
        if lazy:
            raise SettingsError("lazy rows are for one process, and there are several; leave --lazy, or lazy=, out")
        self.region, self._lazy, self._snapshot = None, None, None
        count = shards.count(rank)
        self.rows = host_zeros(count * dimension, dtype=dtype, folder=folder).view(count, dimension)
        draw_share(self.rows, counts, shards, rank, seed=seed)
        self.state = host_zeros(count * int(np.prod(state)), dtype=dtype, folder=folder).view(count, *state)


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
