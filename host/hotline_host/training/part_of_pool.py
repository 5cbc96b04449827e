"""A pool for some of the tables: those of one D, where tables have several.

All pools follow one plan, which names rows of all tables by key. A pool leaves out the rows that are not its own: their
slots and places are empty in it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from hotline_host.pool.planner import PoolShape
from hotline_host.pool.rows import TableRows

from .pool import EmbeddingPool

__all__ = ["PartOfPool"]


class PartOfPool(EmbeddingPool):
    """Arguments as `EmbeddingPool`.

    Args:
        tables: its own.
        first_key: the key of their first row.
    """

    def __init__(self, tables: TableRows, dimension: int, shape: PoolShape, *, first_key: int, **options: Any) -> None:
        self._first, self._end = first_key, first_key + int(tables.bases[-1])
        super().__init__(tables, dimension, shape, **options)

    def fetch(self, half: int, place: int, keys: np.ndarray) -> None:
        own = self._own(keys)
        names = self._local(keys[own])
        super().touch(names)
        self._copy(self.cold, names, self.staged[half], own + place)
        self._copy(self.cold_state, names, self.staged_state[half], own + place)

    def touch(self, keys: np.ndarray) -> None:
        super().touch(self._local(keys[self._own(keys)]))

    def fetch_state(self, half: int, place: int, keys: np.ndarray) -> None:
        own = self._own(keys)
        self._copy(self.cold_state, self._local(keys[own]), self.staged_state[half], own + place)

    def _copy(self, cold: Tensor, names: np.ndarray, staged: Tensor, places: np.ndarray) -> None:
        if len(names):
            staged.index_copy_(0, torch.from_numpy(places), cold.index_select(0, torch.from_numpy(names)))

    def write_back(self, half: int, places: np.ndarray, keys: np.ndarray) -> None:
        own = self._own(keys)
        super().write_back(half, places[own], self._local(keys[own]))

    def poison(self, keys: np.ndarray) -> None:
        super().poison(self._local(keys[self._own(keys)]))

    def place(self, keys: np.ndarray, slots: np.ndarray) -> None:
        own = self._own(keys)
        super().place(self._local(keys[own]), slots[own])

    def unplace(self, keys: np.ndarray, slots: np.ndarray) -> None:
        own = self._own(keys)
        super().unplace(self._local(keys[own]), slots[own])

    def _read_cold(self, keys: np.ndarray) -> Tensor:
        return super()._read_cold(keys - self._first)

    def export(self, key_of: np.ndarray) -> tuple[list[Tensor], list[Tensor]]:
        own = (key_of >= self._first) & (key_of < self._end)
        return super().export(np.where(own, key_of - self._first, -1))

    def _local(self, keys: np.ndarray) -> np.ndarray:
        """Where in `cold` some of its own rows are."""
        return keys - self._first

    def _own(self, keys: np.ndarray) -> np.ndarray:
        """Which of the keys are rows of these tables."""
        return np.flatnonzero((keys >= self._first) & (keys < self._end))
