"""Numbers the rows of a generated log from 0, in order of first appearance, while it is drawn."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from hotline_device.compiled import compiled

from .random import U, mix

__all__ = ["Numbering", "merge_rare"]

_EMPTY = U(0xFFFF_FFFF_FFFF_FFFF)
_TABLE_LOW = U(40)


class Numbering:
    """The number of each raw row: a hash table with open addressing, at most half full.

    Takes 24 to 48 bytes a distinct row.

    Attributes:
        rows: int64 [T], distinct rows of each table so far.
    """

    def __init__(self, tables: int) -> None:
        self.rows = np.zeros(tables, np.int64)
        self._make(1 << 16)

    def number(self, indices: np.ndarray, tables: np.ndarray) -> None:
        """Replaces raw rows by numbers, in place.

        Args:
            indices: int64 [n, L], raw rows below 2^40 of n samples of L lookups.
            tables: int64 [L], the table of each lookup.
        """
        done = 0
        while (done := _number(indices, tables, done, self._keys, self._numbers, self.rows)) < len(indices):
            keys, numbers = self._keys, self._numbers
            self._make(2 * len(keys))
            _move(keys, numbers, self._keys, self._numbers)

    def _make(self, size: int) -> None:
        self._keys = np.full(size, _EMPTY, np.uint64)
        self._numbers = np.empty(size, np.int32)


@compiled()
def _number(indices, tables, start, keys, numbers, rows):
    """Numbers samples from `start` on. Returns the sample before which it stopped, as the hash table may be full."""
    mask = U(keys.size - 1)
    room = keys.size // 2 - rows.sum()
    for sample in range(start, indices.shape[0]):
        if room < tables.size:
            return sample
        for lookup in range(tables.size):
            table = tables[lookup]
            key = U(table) << _TABLE_LOW | U(indices[sample, lookup])
            at = mix(key) & mask
            while keys[at] != key and keys[at] != _EMPTY:
                at = (at + U(1)) & mask
            if keys[at] == _EMPTY:
                keys[at] = key
                numbers[at] = rows[table]
                rows[table] += 1
                room -= 1
            indices[sample, lookup] = numbers[at]
    return indices.shape[0]


@compiled()
def _move(keys, numbers, new_keys, new_numbers):
    mask = U(new_keys.size - 1)
    for old in range(keys.size):
        if keys[old] != _EMPTY:
            at = mix(keys[old]) & mask
            while new_keys[at] != _EMPTY:
                at = (at + U(1)) & mask
            new_keys[at] = keys[old]
            new_numbers[at] = numbers[old]


def merge_rare(indices: np.ndarray, tables: np.ndarray, rows: np.ndarray, rare: int) -> np.ndarray:
    """Merges the rows of each table that occur fewer than `rare` times, and numbers the rows anew, in place.

    Rows keep their order of first appearance; the merged row takes its place by its first lookup.

    Args:
        indices: int64 [S, L], numbered rows.
        tables: int64 [L], table of each lookup.
        rows: int64 [T], rows of each table.

    Returns:
        int64 [T], rows of each table after merging.
    """
    offsets = np.concatenate([[0], np.cumsum(rows)]).astype(np.int64)
    counts = _count(indices, tables, offsets)
    numbers = np.empty(len(counts), np.int64)
    left = np.empty_like(rows)
    for table, (start, stop) in enumerate(pairwise(offsets)):
        few = counts[start:stop] < rare
        own = ~few
        if few.any():
            own[np.argmax(few)] = True  # the first of the rare ones stands for all
        numbers[start:stop] = np.cumsum(own) - 1
        if few.any():
            numbers[start:stop][few] = numbers[start + np.argmax(few)]
        left[table] = own.sum()
    _replace(indices, tables, offsets, numbers)
    return left


@compiled()
def _count(indices, tables, offsets):
    counts = np.zeros(offsets[-1], np.int64)
    for sample in range(indices.shape[0]):
        for lookup in range(tables.size):
            counts[offsets[tables[lookup]] + indices[sample, lookup]] += 1
    return counts


@compiled()
def _replace(indices, tables, offsets, numbers):
    for sample in range(indices.shape[0]):
        for lookup in range(tables.size):
            indices[sample, lookup] = numbers[offsets[tables[lookup]] + indices[sample, lookup]]
