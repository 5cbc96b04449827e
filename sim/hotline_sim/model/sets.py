"""The golden model's set-associative memory: where a key belongs, and what is kept of it.

lookup word --> key --> mixed key = | ....... tag ....... | bank |      (the tag includes the set bits)
                                    | ...... | set | bank |             gset = set << bank_bits | bank, k bits
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import Error
from hotline_hw.spec.words import ENTRY_TAG, ENTRY_VALID, Field

__all__ = ["Entry", "Place", "Sets", "get"]


@dataclass
class Entry:
    """One way of one set. An invalid entry is all zero.

    Attributes:
        valid, tag: the key that it holds.
        hot, slot: the row is in the GPU's hot table, and where.
        counter, referenced: popularity, and whether it was looked up since the set's last aging.
    """

    valid: bool = False
    tag: int = 0
    hot: bool = False
    slot: int = 0
    counter: int = 0
    referenced: bool = False


class Place(NamedTuple):
    """Set and tag of a key. `gset` is the set's number among those of all banks."""

    gset: int
    tag: int


def get(word: int, field: Field) -> int:
    """The field of an integer word."""
    return word >> field.low & field.mask


class Sets:
    """The sets in use under a budget, all entries invalid at first.

    Attributes:
        hot_rows: N, the budget: the most rows that may be hot.
        index_bits: k, log2 of the sets in use, all banks together.
        counters: of the accelerator; the tracker counts what it takes in and drives out.
    """

    def __init__(self, geometry: Geometry, hot_rows: int, counters: dict[str, int]) -> None:
        self.geometry, self.hot_rows, self.counters = geometry, hot_rows, counters
        self.index_bits = geometry.index_bits_in_use(hot_rows)
        self.sets: dict[int, list[Entry]] = defaultdict(lambda: [Entry() for _ in range(geometry.ways)])

    def quota(self, gset: int) -> int:
        """Ways in use in a set. Over all 2^k sets they sum to entries_per_hot_row * N and differ by at most one."""
        entries = self.hot_rows * self.geometry.entries_per_hot_row
        each, extra = entries >> self.index_bits, entries & ((1 << self.index_bits) - 1)
        return each + (1 if gset < extra else 0)

    def find(self, place: Place) -> int | None:
        """The way that holds the key, or None. Ways outside the quota are never valid."""
        if place.gset in self.sets:
            for way, entry in enumerate(self.sets[place.gset]):
                if entry.valid and entry.tag == place.tag:
                    return way
        return None

    def _restored(self, gset: int, row: np.ndarray) -> tuple[list[tuple[int, int, Entry]], Error]:
        """Stores a row of entry words in a set, tags only. Returns (way, word, entry) of each, and the error."""
        entries, error = [], Error(0)
        for way, word in enumerate(row.tolist()):
            if get(word, ENTRY_VALID) and way >= self.quota(gset):
                error = Error.RESTORE_ENTRY
            elif get(word, ENTRY_VALID):
                entry = self.sets[gset][way] = Entry(True, get(word, ENTRY_TAG) & ((1 << self.geometry.tag_bits) - 1))
                entries.append((way, word, entry))
        return entries, error
