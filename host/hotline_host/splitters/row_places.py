"""Where every row of a log is, and the split of a mini-batch by that, in one pass over its lookups.

Every row has one int32, at its key. Rows that were looked up together lie far apart, so a lookup costs one access to
memory, and accesses of different lookups overlap. For the 34 million rows of Criteo Kaggle these are 136 MB beside
tables of gigabytes. A hash table of the hot rows and one of the cold rows of a mini-batch would be smaller, but take
two searches a lookup, and must grow with the mini-batch.
"""

from __future__ import annotations

import numpy as np

from hotline_device.compiled import compiled
from hotline_host.data.log import Batch
from hotline_host.plan import Split, WorkingSet
from hotline_host.pool.rows import key_bases, keys_of

__all__ = ["COLD", "HELD", "RowPlaces"]

COLD = -1
"""The row is cold, and the mini-batch before had no cold lookup of it."""
HELD = -2
"""The row is cold, and was a cold row of the mini-batch before."""
_PLACED = -3
"""From here down, the row has a place among the cold rows: free ones at -3, -5, ..., held ones at -4, -6, ..."""

_BLANK = np.empty(0, np.int64)


class RowPlaces:
    """The places of all rows of T tables. At first every row is cold.

    Args:
        rows: int64 [T], the rows of each table.

    Attributes:
        bases: int64 [T + 1], the key of the first row of each table; the last one is the number of all rows.
        where: int32 [all rows], by key: the slot of a hot row, else COLD or HELD.

    Raises:
        DataError: there are more rows than int32 can number.
    """

    def __init__(self, rows: np.ndarray) -> None:
        self.bases = key_bases(rows)
        self.where = np.full(self.bases[-1], COLD, np.int32)
        self._cold = _BLANK  # keys of the cold rows of the mini-batch before

    def names(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tables and rows, int64 [n]."""
        tables = np.searchsorted(self.bases, keys, side="right") - 1
        return tables, keys - self.bases[tables]

    def split(self, batch: Batch) -> Split:
        """The split of the next mini-batch. Cold rows are listed in order of first appearance, the held ones last.

        Raises:
            DataError: it looks up a row that is not there. Nothing has changed then.
        """
        return self.split_keys(batch, keys_of(batch, self.bases))

    def split_keys(self, batch: Batch, keys: np.ndarray) -> Split:
        """As `split`, with the mini-batch's keys at hand."""
        popular = np.empty(batch.size, bool)
        slots, places = np.empty(len(keys), np.int32), np.empty(len(keys), np.int32)
        lists = np.empty((2, len(keys)), np.int64)  # keys of the cold rows: free, held
        free, held = _split(keys, batch.sample_offsets, self.where, self._cold, popular, slots, places, lists)
        self._cold = np.concatenate([lists[0, :free], lists[1, :held]])
        return Split(popular, slots, WorkingSet(places, *self.names(self._cold), held))


@compiled()
def _split(keys, offsets, where, before, popular, slots, places, lists):
    """Returns the numbers of free and held rows. `before` holds the keys of the mini-batch before."""
    for at in range(keys.size):  # without a branch, so that many accesses to memory are under way at once
        slots[at] = where[keys[at]]
    free = held = 0
    for sample in range(offsets.size - 1):
        all_hit = True
        for at in range(offsets[sample], offsets[sample + 1]):
            if slots[at] >= 0:
                places[at] = -1
                continue
            all_hit = False
            slots[at] = -1
            key = keys[at]
            place = where[key]  # again: a lookup before may have given the row its place
            if place == COLD:
                place = np.int32(_PLACED - 2 * free)
                where[key] = place
                lists[0, free] = key
                free += 1
            elif place == HELD:
                place = np.int32(_PLACED - 1 - 2 * held)
                where[key] = place
                lists[1, held] = key
                held += 1
            places[at] = place
        popular[sample] = all_hit
    for at in range(keys.size):  # the number of free rows is known only now
        if places[at] <= _PLACED:
            number = _PLACED - places[at]
            places[at] = (number >> 1) + free * (number & 1)
    for key in before:
        if where[key] == HELD:
            where[key] = COLD
    for number in range(free):
        where[lists[0, number]] = HELD
    for number in range(held):
        where[lists[1, number]] = HELD
    return free, held
