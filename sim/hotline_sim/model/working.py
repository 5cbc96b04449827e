"""Golden model of the lists of unique cold rows: what a mini-batch's GATHER reads, and where each lookup finds it."""

from __future__ import annotations

import numpy as np

from hotline_hw.spec.descriptors import COLD_BANK, COLD_HELD, COLD_LOCAL, MAX_BANKS, NOT_LISTED, SUMMARY_LISTS
from hotline_hw.spec.feistel import mix
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import ROW_FIELD, TABLE_FIELD

__all__ = ["WorkingLists"]


class WorkingLists:
    """Lists the unique cold rows of one mini-batch after another.

    A row belongs to the bank of its key. At its first appearance in a mini-batch it is appended to one of the bank's
    two lists: `held` if the mini-batch before listed it too, as that one's update may be in progress; else `free`. The
    two share working_rows / banks places; a row that finds no place is not listed.

    Attributes:
        counts: int64 [SUMMARY_LISTS], rows in list MAX_BANKS * held + bank.
        full: some row of this mini-batch found no place.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.clear()

    def clear(self) -> None:
        """As after reset: nothing is listed, so the next mini-batch holds nothing."""
        self.counts = np.zeros(SUMMARY_LISTS, np.int64)
        self.full = False
        self._listed = np.empty(0, np.uint64)  # sorted
        self._rows = np.empty(0, np.uint64)  # in order of lists
        self._not_held = 0  # how many of them

    def list_batch(self, words: np.ndarray) -> np.ndarray:
        """Builds the lists of a new mini-batch from its cold lookups, in stream order, without those out of range.

        Args:
            words: uint64 [n], table and row of each as in a lookup word; other bits are ignored.

        Returns:
            int64 [n], the place of each lookup's row, as `hotline_hw.spec.descriptors` lays it out, or NOT_LISTED.
        """
        geometry = self.geometry
        names = words & np.uint64(TABLE_FIELD.mask << TABLE_FIELD.low | ROW_FIELD.mask)
        rows, first, of_row = np.unique(names, return_index=True, return_inverse=True)
        tables = rows >> TABLE_FIELD.low
        keys = tables << np.uint64(geometry.row_bits) | rows & np.uint64(ROW_FIELD.mask)
        bank = (mix(keys, geometry.key_bits) & np.uint64(geometry.banks - 1)).astype(np.int64)
        held = np.isin(rows, self._listed, assume_unique=True).astype(np.int64)

        # By bank, then by appearance: which rows find a place.
        order = np.lexsort((first, bank))
        rank = _rank_in_runs(bank[order])
        fits = np.empty(len(rows), bool)
        fits[order] = rank < geometry.working_rows // geometry.banks
        self.full = not fits.all()

        # By list, then by appearance: the numbers of the rows that did.
        list_of = MAX_BANKS * held + bank
        order = np.lexsort((first, list_of))
        order = order[fits[order]]
        place = np.full(len(rows), NOT_LISTED, np.int64)
        number = _rank_in_runs(list_of[order])
        place[order] = held[order] << COLD_HELD.low | bank[order] << COLD_BANK.low | number << COLD_LOCAL.low
        self.counts = np.bincount(list_of[order], minlength=SUMMARY_LISTS)
        self._rows, self._listed = rows[order], rows[fits]
        self._not_held = int((held[order] == 0).sum())
        return place[of_row]

    def keys(self, held: bool) -> np.ndarray:
        """uint64 [m], table and row of the rows in the held lists, or in the free ones, in order of lists."""
        return self._rows[self._not_held :] if held else self._rows[: self._not_held]


def _rank_in_runs(values: np.ndarray) -> np.ndarray:
    """int64 [n]: for each element, how many equal ones are before it. Equal elements must be adjacent."""
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    return np.arange(len(values)) - np.repeat(starts, np.diff(starts, append=len(values)))
