"""The sets of the compiled tracker: entry words in an array, in the layout and order of a DUMP.

So comparing a tag is comparing a word. An entry takes 8 bytes, and only sets in use are stored.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import Error
from hotline_hw.spec.words import ENTRY_TAG, ENTRY_VALID, Field

__all__ = ["OUT_OF_RANGE", "FastSets", "Quota", "ones"]

OUT_OF_RANGE = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
"""The mixed key of a lookup that is out of range: a miss, not learned. Real mixed keys have at most 40 bits."""


class Quota(NamedTuple):
    """Numbers that give a key's set and the ways in use there; all uint64, as kernels need them."""

    bank_bits: np.uint64
    index_bits: np.uint64
    each: np.uint64  # ways in use in every set
    extra: np.uint64  # sets, from 0 up, that have one more


def ones(field: Field, width: int | None = None) -> int:
    """A mask of a field, or of its low `width` bits, at its position in the word."""
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
        """Stores the `kept` bits and the tag of entry words, uint64 [any, ways], that are valid and within the quota.

        Returns those entry words unchanged, with zeros for all others, and RESTORE_ENTRY if one was dropped.
        """
        quota = int(self.quota.each) + (np.arange(len(rows)) < int(self.quota.extra))
        valid = (rows & np.uint64(ones(ENTRY_VALID))) != 0
        within = np.arange(self.geometry.ways) < quota[:, None]
        rows = np.where(valid & within, rows, np.uint64(0))
        kept |= ones(ENTRY_VALID) | ones(ENTRY_TAG, self.geometry.tag_bits)
        self.entries[: len(rows)] = rows & np.uint64(kept)
        return rows, Error.RESTORE_ENTRY if (valid & ~within).any() else Error(0)
