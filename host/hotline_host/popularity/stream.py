"""A click log as popularity trackers read it: an array of row numbers, cut into chunks of whole samples.

log       sample 0: table 0 row 7, table 1 row 7     sample 1: table 0 row 7, table 1 row 2
stream    rows = [0, 1, 0, 2]    offsets = [0, 2, 4]    keys = [(0, 7), (1, 7), (1, 2)]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from hotline_device.compiled import compiled
from hotline_host.data.log import ClickLog
from hotline_hw.spec.words import TABLE_FIELD

__all__ = ["Chunk", "Stream", "frequencies"]

_CHUNK_LOOKUPS = 1 << 19
"""Approximate lookups of a chunk: so many that Python's overhead is negligible, so few that Ctrl-C works."""

_CHUNK_SAMPLES = 1 << 16
"""Most samples of a chunk."""

_DIRECT_ROWS = 1 << 31
"""Most rows of all tables together that are numbered through an array; only the rows that occur use memory."""


class Chunk(NamedTuple):
    """B samples of T tables.

    Attributes:
        rows: int32 [n], row number of each lookup; a view of the stream.
        offsets: int64 [B + 1], sample s holds lookups `offsets[s]` to `offsets[s + 1]` of this chunk.
        lengths: int64 [B, T], lookups in each bag.
    """

    rows: np.ndarray
    offsets: np.ndarray
    lengths: np.ndarray


@dataclass(frozen=True, eq=False)
class Stream:
    """The lookups of S samples of T tables, in order.

    The rows of all tables are numbered together, without gaps, in order of first appearance. So a tie that is broken
    "by first appearance" goes to the lower number.

    Attributes:
        rows: int32 [n], row number of each lookup.
        offsets: int64 [S + 1], sample s holds lookups `offsets[s]` to `offsets[s + 1]`.
        lengths: integers [S, T], lookups in each bag; the log's own, which may be a broadcast 1.
        keys: uint64 [distinct], table and row of each row number, as the payload of a lookup word.
    """

    rows: np.ndarray
    offsets: np.ndarray
    lengths: np.ndarray
    keys: np.ndarray

    @classmethod
    def of(cls, log: ClickLog) -> Stream:
        """Numbers the rows of a log. Takes 4 bytes a lookup, 8 bytes a sample and 12 bytes a row.

        A log with more than 2^31 rows is sorted first, which temporarily takes about 30 bytes a lookup.
        """
        counts = log.lengths.sum(axis=1)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        rows = np.empty(len(log.indices), np.int32)
        keys = np.empty(min(int(log.rows.sum()), len(rows)), np.uint64)
        bases = np.concatenate([[0], np.cumsum(log.rows)[:-1]]).astype(np.int64)
        if log.rows.sum() <= _DIRECT_ROWS:
            numbers, places = np.zeros(int(log.rows.sum()), np.int32), None
        else:
            tables = np.concatenate([_tables(lengths) for _, lengths in _lengths(log.lengths, offsets, 0, log.size)])
            known, places = np.unique(bases[tables] + log.indices, return_inverse=True)
            numbers = np.zeros(len(known), np.int32)
        distinct = 0
        for start, lengths in _lengths(log.lengths, offsets, 0, log.size):
            part = slice(offsets[start], offsets[start + len(lengths)])
            tables = _tables(lengths)
            at = bases[tables] + log.indices[part] if places is None else places[part]
            distinct = _number(log.indices[part], tables, at, numbers, rows[part], keys, distinct)
        return cls(rows, offsets, log.lengths, keys[:distinct].copy())

    @property
    def size(self) -> int:
        """Samples."""
        return len(self.offsets) - 1

    @property
    def distinct(self) -> int:
        """Rows that occur."""
        return len(self.keys)

    @cached_property
    def longest(self) -> int:
        """Lookups of the longest sample."""
        return int(np.diff(self.offsets).max(initial=0))

    @cached_property
    def largest_count(self) -> int:
        """Lookups of the row that is looked up most."""
        return int(frequencies(self.rows, self.distinct).max(initial=0))

    def bags(self, start: int, stop: int) -> int:
        """Number of bags with at least one lookup in samples `start` to `stop` (exclusive)."""
        return sum(int(np.count_nonzero(part)) for _, part in _lengths(self.lengths, self.offsets, start, stop))

    def chunks(self, start: int, stop: int, step: int | None = None) -> Iterator[Chunk]:
        """Samples `start` to `stop` (exclusive) in chunks of `step` samples; the last may be smaller.

        By default, a chunk has about half a million lookups.
        """
        for first, lengths in _lengths(self.lengths, self.offsets, start, stop, step):
            offsets = self.offsets[first : first + len(lengths) + 1]
            yield Chunk(self.rows[offsets[0] : offsets[-1]], offsets - offsets[0], lengths)


def frequencies(rows: np.ndarray, distinct: int) -> np.ndarray:
    """Lookups of each row: int32 [distinct], of row numbers int32 [n]."""
    counts = np.zeros(distinct, np.int32)
    _count(rows, counts)
    return counts


def _lengths(
    lengths: np.ndarray, offsets: np.ndarray, start: int, stop: int, step: int | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """The first sample of each chunk, and its lengths, int64 [B, T] and contiguous."""
    if step is None:
        mean = int(offsets[-1]) / max(len(offsets) - 1, 1)
        step = max(1, min(_CHUNK_SAMPLES, int(_CHUNK_LOOKUPS / max(mean, 1))))
    for first in range(start, stop, step):
        yield first, np.ascontiguousarray(lengths[first : min(first + step, stop)], np.int64)


def _tables(lengths: np.ndarray) -> np.ndarray:
    """int64 [n]: table of each lookup."""
    samples, tables = lengths.shape
    return np.repeat(np.tile(np.arange(tables), samples), lengths.ravel())


@compiled()
def _number(indices, tables, places, numbers, rows, keys, distinct):
    """Numbers the rows of a chunk. `numbers` holds a row's number plus one, or 0 before it appears."""
    for i in range(indices.size):
        number = numbers[places[i]]
        if number == 0:
            keys[distinct] = np.uint64(tables[i]) << np.uint64(TABLE_FIELD.low) | np.uint64(indices[i])
            distinct += 1
            number = numbers[places[i]] = distinct
        rows[i] = number - 1
    return distinct


@compiled()
def _count(rows, counts):
    for row in rows:
        counts[row] += 1
