"""Splitters whose hot rows never change: the most frequent ones of a part of the log, none, or all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hotline_host.data.log import Batch
from hotline_host.errors import SettingsError
from hotline_host.plan import Followed, Split, WorkingSet
from hotline_host.pool.rows import key_bases, keys_of

from .row_places import RowPlaces
from .splitter import Splitter

__all__ = ["AllHot", "StaticHot"]


class StaticHot(Splitter):
    """The N rows with the most lookups are hot, and stay so. Among equals, the row with the smaller key is hot.

    Without hot rows every lookup reads a row of host memory.

    Args:
        rows: int64 [T], the rows of each table.
        hot_rows: N. Slots stay free if fewer rows are looked up.
        learned: the mini-batches in which lookups are counted.

    Raises:
        SettingsError: N is negative.
        DataError: a mini-batch looks up a row that is not there.
    """

    most_moves = 0

    def __init__(self, rows: np.ndarray, hot_rows: int, learned: Sequence[Batch]) -> None:
        if hot_rows < 0:
            raise SettingsError(f"hot rows is {hot_rows}; it must be 0 or more")
        self.hot_rows = hot_rows
        self._places = RowPlaces(rows)
        self._hot = _most_frequent(self._places.bases, learned, hot_rows) if hot_rows else np.empty(0, np.int64)
        self._places.where[self._hot] = np.arange(len(self._hot))

    def placed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return *self._places.names(self._hot), np.arange(len(self._hot))

    def split(self, batch: Batch) -> Followed:
        return Followed(batch, self._places.split(batch), None, 0)


class AllHot(Splitter):
    """Every row is hot, in the slot of its key: the tables end to end.

    Args:
        rows: int64 [T], the rows of each table.
    """

    most_moves = 0

    def __init__(self, rows: np.ndarray) -> None:
        self._bases = key_bases(rows)
        self.hot_rows = int(self._bases[-1])

    def placed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        counts = np.diff(self._bases)
        tables = np.repeat(np.arange(len(counts)), counts)
        slots = np.arange(self.hot_rows)
        return tables, slots - self._bases[tables], slots

    def split(self, batch: Batch) -> Followed:
        slots = keys_of(batch, self._bases)
        nothing = np.empty(0, np.int64)
        working = WorkingSet(np.full(len(slots), -1, np.int32), nothing, nothing, 0)
        return Followed(batch, Split(np.ones(batch.size, bool), slots, working), None, 0)


def _most_frequent(bases: np.ndarray, learned: Sequence[Batch], most: int) -> np.ndarray:
    """Keys, int64, of the rows with the most lookups, the most frequent first."""
    counts = np.zeros(bases[-1], np.int32)
    for batch in learned:
        np.add.at(counts, keys_of(batch, bases), 1)
    seen = np.flatnonzero(counts)
    return seen[np.argsort(-counts[seen], kind="stable")[:most]]
