"""The rows of all tables in host memory with their optimizer state: there, drawn when needed, and saved meanwhile."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hotline_device.host_memory import HostMemory, Region

from .checkpoint import Rows
from .host_table import holed_zeros, host_table, host_zeros, region_tensor, shared_table
from .initial_rows import InitialRows
from .lazy_rows import LazyRows
from .snapshot import Snapshot, begun

__all__ = ["HostRows"]

_NONE = np.empty(0, np.int64)


class HostRows:
    """R rows with their states.

    Args:
        counts: int64 [T], rows of each table.
        dimension: D.
        state: shape of the optimizer's state of one row.
        dtype, seed: of the rows, as `host_table`.
        memory: an accelerator's memory, to keep the rows in. None: the host's own.
        folder: keep rows and states in files there. None: in memory.
        lazy: draw a row when `touch` first names it. Rows that nobody named must not be read.

    Attributes:
        rows: [R, D]; `state` [R, *state], always in the host's own memory.
        region: of `memory`, with the rows; None without it.

    Raises:
        OSError: there is no room for the files.
    """

    def __init__(
        self, counts: np.ndarray, dimension: int, *, state: tuple[int, ...], dtype: torch.dtype, seed: int,
        memory: HostMemory | None = None, folder: Path | None = None, lazy: bool = False,
    ) -> None:  # fmt: skip
        self.region: Region | None = None
        self._lazy: LazyRows | None = None
        self._snapshot: Snapshot | None = None
        numbers = int(np.prod(state))
        if lazy:
            self._open_lazily(counts, dimension, numbers, dtype, seed, memory, folder)
        else:
            if memory:
                self.rows, self.region = shared_table(memory, counts, dimension, seed=seed, dtype=dtype, folder=folder)
            else:
                self.rows = host_table(counts, dimension, seed=seed, dtype=dtype, folder=folder)
            self.state = host_zeros(len(self.rows) * numbers, dtype=dtype, folder=folder)
        self.state = self.state.view(-1, *state)

    def touch(self, keys: np.ndarray) -> None:
        """These rows (integers [n]) are about to be read. Raises OSError if there is no room for them."""
        if self._lazy:
            self._lazy.touch(keys)

    def touch_all(self) -> None:
        """All rows are about to be read."""
        if self._lazy:
            self._lazy.touch_all()

    def changing(self, keys: np.ndarray) -> None:
        """These rows (integers [n], each once) are about to be written."""
        snapshot = self._snapshot  # the thread that reads it may end it at any moment
        if snapshot:
            snapshot.keep(keys)

    def shards(
        self, size: int, hot: np.ndarray = _NONE, hot_rows: Tensor | None = None, hot_state: Tensor | None = None
    ) -> Iterator[Rows]:
        """All rows with their states as they are at this call, at most `size` a shard, however long reading takes.

        Rows that were never touched are left out: they have their initial values, and zeros as their state.

        Args:
            hot: int64 [h], rows whose values are elsewhere, ascending; `hot_rows`, `hot_state`: copies of these.

        Raises:
            RuntimeError: the shards of an earlier call were not all read, and its iterator was not closed.
        """
        if self._snapshot:
            raise RuntimeError("the rows are being saved; wait for that before they are saved again")
        values = tuple(
            of[:0] if given is None else given for given, of in ((hot_rows, self.rows), (hot_state, self.state))
        )
        drawn, block = (self._lazy.drawn(), self._lazy.block) if self._lazy else (None, 1)
        snapshot = self._snapshot = Snapshot(self.rows, self.state, hot, values, drawn=drawn, block=block)

        @begun
        def read() -> Generator[Rows]:
            try:
                yield  # type: ignore[misc]
                yield from snapshot.shards(size)
            finally:
                self._snapshot = None

        return read()

    def load(self, shard: Rows) -> None:
        """Overwrites rows and states by those of a shard. Its keys are those of this object."""
        rows, state = shard.tensors["rows"], shard.tensors["state"]
        names = shard.tensors.get("keys")
        names = torch.arange(shard.first, shard.first + len(rows)) if names is None else names
        self.touch(names.numpy())
        self.changing(names.numpy())
        self.rows.index_copy_(0, names, rows)
        self.state.index_copy_(0, names, state)

    def _open_lazily(
        self, counts: np.ndarray, dimension: int, numbers: int, dtype: torch.dtype, seed: int,
        memory: HostMemory | None, folder: Path | None,
    ) -> None:  # fmt: skip
        count, files = int(np.sum(counts)), []
        if memory:
            self.region = memory.allocate("tables", max(1, count * dimension * dtype.itemsize), folder, holes=True)
            self.rows = region_tensor(self.region, torch.Size((count, dimension)), dtype)
            files.append((self.region.holes, dimension * dtype.itemsize))
        else:
            table, file = holed_zeros(count * dimension, dtype=dtype, folder=folder)
            self.rows = table.view(count, dimension)
            files.append((file, dimension * dtype.itemsize))
        self.state, file = holed_zeros(count * numbers, dtype=dtype, folder=folder)
        files.append((file, numbers * dtype.itemsize))

        def reserve(first: np.ndarray, block: int) -> None:
            for file, each in files:
                if file:
                    file.reserve(first * each, block * each)

        self._lazy = LazyRows(self.rows, InitialRows(counts, seed=seed), reserve)
