"""The rows of all tables: some in the device's pool, the others in host memory.

    host      cold rows [R, D], by key            state [R]
    device    pool [P, D], by pool id             state [P]       hot | two halves of working rows | a zero row

A row has one owner at a time, and carries its optimizer state. With `check`, storage that owns nothing holds NaN, so
that a row which is read or written where it does not live shows in the loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hotline_device.host_memory import HostMemory, Region
from hotline_host.pool.planner import PoolShape, StepPlan
from hotline_host.pool.rows import TableRows

from .checkpoint import Rows
from .host_rows import HostRows
from .host_table import region_tensor
from .kernels import Kernels
from .link import Link

__all__ = ["EmbeddingPool"]


class EmbeddingPool:
    """All rows of T tables with their optimizer state. At first every row is in host memory.

    Args:
        tables: numbers the rows: a key is that number.
        dimension: D.
        shape: of the pool.
        device: where the pool is.
        link: to that device.
        dtype: of rows and states.
        seed: of the initial rows. Their values do not depend on where they live.
        memory: an accelerator's memory, to keep the cold rows and the gathered rows in. None: the host's own.
        check: poison storage that owns nothing.
        zero_copy: the device itself reads the cold rows that it needs, over the link.
        folder: keep the cold rows and their states in files there. None: in memory.
        lazy: draw the initial values of a row when it is first needed.
        state: shape of the optimizer's state of one row.

    Attributes:
        cold: [R, D] in host memory; `cold_state` [R, *state], always in the host's own memory.
        rows: [P, D] on the device; `state` [P, *state].
        staged: for each half, host memory [W, D] that its rows are gathered into; `staged_state` [W, *state].
        first_id: what the pool ids of a plan are less by in this pool.
        host: has `cold` and `cold_state`.
        region: the region of `memory` with the cold rows, and `staging` that with the gathered rows of both halves.
            None without `memory`.
    """

    first_id = 0

    def __init__(
        self,
        tables: TableRows,
        dimension: int,
        shape: PoolShape,
        *,
        device: torch.device,
        link: Link,
        dtype: torch.dtype,
        seed: int,
        memory: HostMemory | None = None,
        check: bool = False,
        zero_copy: bool = False,
        folder: Path | None = None,
        lazy: bool = False,
        state: tuple[int, ...] = (),
    ) -> None:
        self.tables, self.shape, self.check, self._link = tables, shape, check, link
        self.staging: Region | None = None
        self.host = self._host_rows(
            dimension, state=state, dtype=dtype, seed=seed, memory=memory, folder=folder, lazy=lazy
        )
        self.cold, self.cold_state, self.region = self.host.rows, self.host.state, self.host.region
        self._memory, self._device, self._adopt = memory, device, zero_copy
        self.make_room(shape)

    def make_room(self, shape: PoolShape) -> None:
        """Makes the pool anew, as large as `shape` says. Its rows are lost: all of them must be cold.

        Memory of an accelerator that staged rows before is not given back.
        """
        link, memory, dtype = self._link, self._memory, self.cold.dtype
        dimension, state = self.cold.shape[1], self.cold_state.shape[1:]
        self.shape = shape
        self.rows = torch.zeros(shape.rows, dimension, dtype=dtype, device=self._device)
        self.state = torch.zeros(shape.rows, *state, dtype=dtype, device=self._device)
        if self.check:
            self.rows[: shape.zero].fill_(torch.nan)
            self.state[: shape.zero].fill_(torch.nan)
        halves = (2, shape.working_rows, dimension)
        if memory:
            self.staging = memory.allocate("working", max(1, 2 * shape.working_rows * dimension * dtype.itemsize))
            staged = region_tensor(self.staging, torch.Size(halves), dtype)
            link.adopt(staged)
        else:
            staged = link.host_buffer(*halves, dtype=dtype)
        self.staged = list(staged.unbind())
        self.staged_state = [link.host_buffer(shape.working_rows, *state, dtype=dtype) for _ in range(2)]
        # Rows on their way back: where device memory is host memory, they need none of their own.
        self._returned = [
            (self._half(half) if link.shares_memory else link.host_buffer(*halves[1:], dtype=dtype))
            for half in range(2)
        ]
        self._returned_state = [
            (self._half_state(half) if link.shares_memory else link.host_buffer(halves[1], *state, dtype=dtype))
            for half in range(2)
        ]

        # Of the rows to be read, for each half: on the host, on the device.
        self._keys: list[tuple[Tensor, Tensor]] = []
        if self._adopt:
            link.adopt(self.cold)
            link.adopt(self.cold_state)
            for _ in range(2):
                keys = link.host_buffer(shape.working_rows, dtype=torch.int64)
                self._keys.append((keys, link.device_buffer(keys)))

    def _host_rows(self, dimension: int, **options: Any) -> HostRows:
        return HostRows(self.tables.rows, dimension, **options)

    @property
    def count(self) -> int:
        """Rows of its tables."""
        return int(self.tables.bases[-1])

    @property
    def row_bytes(self) -> int:
        """Bytes from one cold row to the next."""
        return self.cold.shape[1] * self.cold.itemsize

    @property
    def device_bytes(self) -> int:
        """Bytes of the pool."""
        return self.rows.nbytes + self.state.nbytes

    # Host side, beside the steps

    def touch(self, keys: np.ndarray) -> None:
        """These rows are about to be read in host memory, by whom ever."""
        self.host.touch(keys)

    def fetch(self, half: int, place: int, keys: np.ndarray) -> None:
        """The host gathers rows with their states into places `place`, `place + 1`, ... of a half's staging memory."""
        if len(keys):
            self.touch(keys)
            names = torch.from_numpy(keys)
            torch.index_select(self.cold, 0, names, out=self.staged[half][place : place + len(keys)])
            self.fetch_state(half, place, keys)

    def name(self, half: int, keys: np.ndarray) -> None:
        """With zero copy, in place of `fetch`: names the rows that the device is to read into the first places."""
        self.touch(keys)
        self._keys[half][0][: len(keys)].copy_(torch.from_numpy(keys))

    def fetch_state(self, half: int, place: int, keys: np.ndarray) -> None:
        """As `fetch`, but the states alone."""
        if len(keys):
            torch.index_select(
                self.cold_state, 0, torch.from_numpy(keys), out=self.staged_state[half][place : place + len(keys)]
            )

    def write_back(self, half: int, places: np.ndarray, keys: np.ndarray) -> None:
        """Rows that were copied out of a half, and have arrived, go to host memory: from `places`, to `keys`."""
        if len(keys):
            self.host.changing(keys)
            names, at = torch.from_numpy(keys), torch.from_numpy(places)
            self.cold.index_copy_(0, names, self._returned[half].index_select(0, at))
            self.cold_state.index_copy_(0, names, self._returned_state[half].index_select(0, at))

    # Device side: each inside the block of `Link` that it is named after

    def copy_in(self, kernels: Kernels, plan: StepPlan) -> None:
        """The rows that were gathered for a mini-batch go to its half, or the device reads them by itself."""
        half, count = plan.half, plan.copied_in
        staged, state = self.staged[half][:count], self.staged_state[half][:count]
        if self.check:
            self._half(half).fill_(torch.nan)
            self._half_state(half).fill_(torch.nan)
        if self._keys:
            names, on_device = (keys[:count] for keys in self._keys[half])
            self._link.copy_in(on_device, names)
            kernels.fetch_rows(
                self.cold, self.cold_state, on_device, self._half(half)[:count], self._half_state(half)[:count]
            )
            self._link.bytes_in += count * (self.row_bytes + self.cold_state.nbytes // max(1, len(self.cold)))
        else:
            self._link.copy_in(self._half(half)[:count], staged)
            self._link.copy_in(self._half_state(half)[:count], state)
        if self.check:
            self._link.synchronize()
            keys = np.concatenate([plan.keys[: plan.free], plan.fetched])
            self.poison(keys)
            staged.fill_(torch.nan)
            state.fill_(torch.nan)

    def poison(self, keys: np.ndarray) -> None:
        """Rows that have left host memory show if they are read there."""
        self.host.changing(keys)
        self.cold.index_fill_(0, torch.from_numpy(keys), torch.nan)
        self.cold_state.index_fill_(0, torch.from_numpy(keys), torch.nan)

    def move(self, kernels: Kernels, source: Tensor, target: Tensor) -> None:
        """Rows move inside the pool. All are read before any is written."""
        if len(source):
            kernels.copy_rows(self.rows, self.state, source, target)

    def copy_out(self, plan: StepPlan) -> None:
        """The rows of a mini-batch's half go to host buffers; `write_back` brings them home."""
        half, count = plan.half, len(plan.keys)
        self._link.copy_out(self._returned[half][:count], self._half(half)[:count])
        self._link.copy_out(self._returned_state[half][:count], self._half_state(half)[:count])

    # Everything at rest: no mini-batch is in flight, no row is in a half

    def place(self, keys: np.ndarray, slots: np.ndarray) -> None:
        """Copies cold rows into slots of the pool."""
        self.host.touch(keys)
        self.host.changing(keys)
        here, there = torch.from_numpy(keys), torch.from_numpy(slots).to(self.rows.device)
        for cold, hot in ((self.cold, self.rows), (self.cold_state, self.state)):
            hot.index_copy_(0, there, cold.index_select(0, here).to(hot.device))
            if self.check:
                cold.index_fill_(0, here, torch.nan)

    def unplace(self, keys: np.ndarray, slots: np.ndarray) -> None:
        """Copies rows of the pool back to host memory. They stay in their slots too, unless `check` poisons these."""
        self.host.changing(keys)
        here, there = torch.from_numpy(keys), torch.from_numpy(slots).to(self.rows.device)
        for cold, hot in ((self.cold, self.rows), (self.cold_state, self.state)):
            cold.index_copy_(0, here, hot.index_select(0, there).cpu())
            if self.check:
                hot.index_fill_(0, there, torch.nan)

    def read(self, keys: np.ndarray, hot: np.ndarray, slots: np.ndarray) -> Tensor:
        """[n, D] on the device: the present values of rows.

        Args:
            keys: int64 [n].
            hot, slots: the keys of all hot rows, ascending, and their slots.
        """
        device = self.rows.device
        rows = self._read_cold(keys).to(device)
        if len(hot):
            at = np.minimum(np.searchsorted(hot, keys), len(hot) - 1)
            there = np.flatnonzero(hot[at] == keys)
            from_pool = self.rows.index_select(0, torch.from_numpy(slots[at[there]]).to(device))
            rows.index_copy_(0, torch.from_numpy(there).to(device), from_pool)
        return rows

    def _read_cold(self, keys: np.ndarray) -> Tensor:
        """[n, D] on the host: rows of host memory. That of a hot row is stale, or NaN."""
        self.host.touch(keys)
        return self.cold.index_select(0, torch.from_numpy(keys))

    def export(self, key_of: np.ndarray) -> tuple[list[Tensor], list[Tensor]]:
        """Copies on the host: T full tables [rows[t], D], and T states [rows[t]].

        Args:
            key_of: int64 [H], the key of the row in each slot, -1 where there is none.
        """
        self.host.touch_all()
        used = key_of >= 0
        here, there = torch.from_numpy(key_of[used]), torch.from_numpy(used.nonzero()[0]).to(self.rows.device)
        sizes = self.tables.rows.tolist()
        full, states = (
            cold.index_copy(0, here, hot.index_select(0, there).cpu())
            for cold, hot in ((self.cold, self.rows), (self.cold_state, self.state))
        )
        return list(full.split(sizes)), list(states.split(sizes))

    def shards(self, key_of: np.ndarray, size: int) -> Iterator[Rows]:
        """As `HostRows.shards`: all rows with their states, as they are now. Keys are those of the pool's tables.

        Args:
            key_of: int64 [H], the key of the row in each slot, -1 where there is none.
        """
        slots = np.flatnonzero(key_of >= 0)
        slots = slots[np.argsort(key_of[slots])]
        there = torch.from_numpy(slots).to(self.rows.device)
        hot = (each.index_select(0, there).cpu() for each in (self.rows, self.state))
        return self.host.shards(size, key_of[slots], *hot)

    def load(self, shard: Rows) -> None:
        """As `HostRows.load`."""
        self.host.load(shard)

    def _half(self, half: int) -> Tensor:
        begin = self.shape.begin(half)
        return self.rows[begin : begin + self.shape.working_rows]

    def _half_state(self, half: int) -> Tensor:
        begin = self.shape.begin(half)
        return self.state[begin : begin + self.shape.working_rows]
