"""A pool whose cold rows are spread over the ranks. The pool itself, with the hot rows, is on every rank.

Every method from `place` on is called by all ranks together, by the thread of the training loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hotline_host.pool.planner import PoolShape
from hotline_host.pool.rows import TableRows
from hotline_host.pool.shards import Shards
from hotline_host.training.checkpoint import Rows
from hotline_host.training.host_rows import HostRows
from hotline_host.training.part_of_pool import PartOfPool

from .sharded_rows import ShareOfRows
from .together import Together

__all__ = ["ShardedPool"]

_AT_ONCE = 1 << 18
"""Rows that ranks send each other at a time, where they send all there are."""


class ShardedPool(PartOfPool):
    """Arguments as `PartOfPool`.

    Attributes:
        cold, cold_state: of the rows that this rank owns, by their place in `share_of`.
        share_of: which those are. Keys count from the first key of the pool's tables.
    """

    def __init__(
        self, ranks: Together, tables: TableRows, dimension: int, shape: PoolShape, *, first_key: int, **options: Any
    ) -> None:
        self._ranks, self.share_of = ranks, Shards(int(tables.bases[-1]), ranks.count)
        super().__init__(tables, dimension, shape, first_key=first_key, **options)

    def _host_rows(self, dimension: int, **options: Any) -> HostRows:
        return ShareOfRows(self.tables.rows, dimension, self.share_of, self._ranks.number, **options)

    def _own(self, keys: np.ndarray) -> np.ndarray:
        there = super()._own(keys)
        return there[self.share_of.owner(keys[there] - self._first) == self._ranks.number]

    def _local(self, keys: np.ndarray) -> np.ndarray:
        return self.share_of.local(keys - self._first)

    def copies(self, table: Tensor, keys: np.ndarray) -> Tensor:
        """Copies of cold rows that this rank owns (`table` is `cold`), or of their states (`cold_state`)."""
        return table.index_select(0, torch.from_numpy(self._local(keys)))

    def place(self, keys: np.ndarray, slots: np.ndarray) -> None:
        """The owners of rows send them to the slots of all ranks."""
        mine = np.flatnonzero((keys >= self._first) & (keys < self._end))
        for begin in range(0, len(mine), _AT_ONCE):
            at = mine[begin : begin + _AT_ONCE]
            self._place(keys[at], slots[at])

    def _place(self, keys: np.ndarray, slots: np.ndarray) -> None:
        rows, state = self._from_owners(keys - self._first, self._ranks.count)
        there = torch.from_numpy(slots).to(self.rows.device)
        self.rows.index_copy_(0, there, rows.to(self.rows.device))
        self.state.index_copy_(0, there, state.to(self.rows.device))
        if self.check:
            self.poison(keys)

    def read(self, keys: np.ndarray, hot: np.ndarray, slots: np.ndarray) -> Tensor:
        """As `EmbeddingPool.read`. Each rank may ask for rows of its own."""
        device = self.rows.device
        at = np.minimum(np.searchsorted(hot, keys), max(0, len(hot) - 1))
        is_hot = hot[at] == keys if len(hot) else np.zeros(len(keys), bool)
        wanted, places = np.unique(keys[~is_hot], return_inverse=True)
        rows = self.rows.new_empty(len(keys), self.rows.shape[1])
        cold = self._ask(wanted).index_select(0, torch.from_numpy(places)).to(device)
        rows.index_copy_(0, torch.from_numpy(np.flatnonzero(~is_hot)).to(device), cold)
        from_pool = self.rows.index_select(0, torch.from_numpy(slots[at[is_hot]]).to(device))
        return rows.index_copy_(0, torch.from_numpy(np.flatnonzero(is_hot)).to(device), from_pool)

    def _ask(self, keys: np.ndarray) -> Tensor:
        """[n, D] on the host: cold rows, wherever they are."""
        owners = self.share_of.owner(keys - self._first)
        order = np.argsort(owners, kind="stable")
        asked = np.bincount(owners, minlength=self._ranks.count)
        asking = self._ranks.agree(asked.tolist())[:, self._ranks.number].tolist()
        names = torch.from_numpy(keys[order])
        theirs = self._ranks.exchange("loop", "names of rows", names, asked.tolist(), asking)
        rows = self.copies(self.cold, theirs.numpy())
        received = self._ranks.exchange("loop", "rows to read", rows, asking, asked.tolist())
        return torch.empty_like(received).index_copy_(0, torch.from_numpy(order), received)

    def export(self, key_of: np.ndarray) -> tuple[list[Tensor], list[Tensor]]:
        """Every rank gets full tables."""
        sizes = self.tables.rows.tolist()
        own = (key_of >= self._first) & (key_of < self._end)
        parts = [*self._all(np.where(own, key_of - self._first, -1), _AT_ONCE, self._ranks.count)]
        rows, state = (torch.cat([part[number] for part in parts]) for number in range(2))
        return list(rows.split(sizes)), list(state.split(sizes))

    def shards(self, key_of: np.ndarray, size: int) -> Iterator[Rows]:
        """As `EmbeddingPool.shards`, for rank 0. The others get empty ones."""
        for number, (rows, state) in enumerate(self._all(key_of, min(size, _AT_ONCE), 1)):
            yield Rows(number * min(size, _AT_ONCE), {"rows": rows, "state": state})

    def load(self, shard: Rows) -> None:
        """Takes this rank's rows of a shard that every rank has."""
        names = shard.tensors.get("keys")
        keys = np.arange(shard.first, shard.first + len(shard.tensors["rows"])) if names is None else names.numpy()
        mine = self._own(keys + self._first)
        here, there = torch.from_numpy(mine), torch.from_numpy(self.share_of.local(keys[mine]))
        self.cold.index_copy_(0, there, shard.tensors["rows"].index_select(0, here))
        self.cold_state.index_copy_(0, there, shard.tensors["state"].index_select(0, here))

    def _all(self, key_of: np.ndarray, size: int, receivers: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All rows with their states on the first `receivers` ranks, `size` rows at a time."""
        slots = np.flatnonzero(key_of >= 0)
        slots = slots[np.argsort(key_of[slots])]
        keys = key_of[slots]
        for first in range(0, self.count, size):
            parts = self._from_owners(np.arange(first, min(first + size, self.count)), receivers)
            if self._ranks.number < receivers:
                begin, end = np.searchsorted(keys, (first, first + size))
                here = torch.from_numpy(keys[begin:end] - first)
                there = torch.from_numpy(slots[begin:end]).to(self.rows.device)
                for part, hot in zip(parts, (self.rows, self.state), strict=True):
                    part.index_copy_(0, here, hot.index_select(0, there).cpu())
            yield parts

    def _from_owners(self, keys: np.ndarray, receivers: int) -> tuple[Tensor, Tensor]:
        """Rows with their states, on the host, from their owners to the first `receivers` ranks. Others get none.

        Args:
            keys: int64 [n], from the first key of the pool's tables on; the same on all ranks.
        """
        ranks, owners = self._ranks, self.share_of.owner(keys)
        order = np.argsort(owners, kind="stable")
        mine = keys[owners == ranks.number] + self._first
        send = [len(mine) if rank < receivers else 0 for rank in range(ranks.count)]
        receive = np.bincount(owners, minlength=ranks.count) * (ranks.number < receivers)
        there = torch.from_numpy(order if ranks.number < receivers else order[:0])
        done = []
        for table in (self.cold, self.cold_state):
            part = self.copies(table, mine)
            copies = part.repeat(receivers, *[1] * (part.dim() - 1))
            received = ranks.exchange("loop", "all rows", copies, send, receive.tolist())
            done.append(torch.empty_like(received).index_copy_(0, there, received))
        return done[0], done[1]
