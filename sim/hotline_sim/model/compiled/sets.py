"""The sets of the compiled tracker: entry words in an array, in the layout and order of a DUMP.

That turns comparing a tag into comparing a word, and costs 8 bytes an entry, for the sets in use alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import Error
from hotline_hw.spec.words import ENTRY_TAG, ENTRY_VALID, Field

__all__ = ["OUT_OF_RANGE", "FastSets", "Quota", "ones"]

OUT_OF_RANGE = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
"""In place of the mixed key of a lookup that has none: a miss, not learned. No mixed key has more than 40 bits."""


class Quota(NamedTuple):
    """Where a key belongs, and the ways in use there; all uint64, as kernels need it."""

    bank_bits: np.uint64
    index_bits: np.uint64
    each: np.uint64  # ways in use in every set
    extra: np.uint64  # sets, from 0 up, that have one more


def ones(field: Field, width: int | None = None) -> int:
    """The low `width` bits of a field, or all of them, in place."""
    return ((1 << (field.width if width is None else width)) - 1) << field.low


class FastSets:
    """The sets in use under a budget, all entries invalid at first: `Sets` of the golden model, compiled.

    Attributes:
        counters: of the accelerator; the tracker counts what it takes in and drives out.
        entries: uint64 [2^k, ways], entry words.
    """

    def __init__(self, geometry: Geometry, hot_rows: int, counters: dict[str, int]) -> None:
        self.geometry, self.hot_rows, self.counters = geometry, hot_rows, counters
        index_bits = geometry.index_bits_in_use(hot_rows)
        in_use = hot_rows * geometry.entries_per_hot_row
        extra = in_use & ((1 << index_bits) - 1)
        self.quota = Quota(*map(np.uint64, (geometry.bank_bits, index_bits, in_use >> index_bits, extra)))
        self.entries = np.zeros((1 << index_bits, geometry.ways), np.uint64)

    def _restored(self, rows: np.ndarray, kept: int) -> tuple[np.ndarray, Error]:
        """Takes the `kept` bits, and the tag's, of uint64 [any, ways] entry words that are valid and in quota.

        Returns a copy of those entry words as they came, all others zero, and RESTORE_ENTRY if one was dropped.
        """
        quota = int(self.quota.each) + (np.arange(len(rows)) < int(self.quota.extra))
        valid = (rows & np.uint64(ones(ENTRY_VALID))) != 0
        within = np.arange(self.geometry.ways) < quota[:, None]
        rows = np.where(valid & within, rows, np.uint64(0))
        kept |= ones(ENTRY_VALID) | ones(ENTRY_TAG, self.geometry.tag_bits)
        self.entries[: len(rows)] = rows & np.uint64(kept)
        return rows, Error.RESTORE_ENTRY if (valid & ~within).any() else Error(0)
