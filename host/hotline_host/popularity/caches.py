"""Fully associative caches as trackers: a row is hot while it is in the cache, which holds N rows.

A lookup is judged just before it updates the cache, so lookups of a sample may evict rows of the same sample.
"""

from __future__ import annotations

import numpy as np

from hotline_device.compiled import compiled

from .judging import Counts, tally
from .stream import Chunk, Stream

__all__ = ["Lfu", "Lru"]

_NONE = -1


class Lru:
    """Evicts the least recently used row. A doubly linked list, constant time a lookup."""

    def __init__(self, stream: Stream, hot_rows: int) -> None:
        self.hot_rows = hot_rows
        self._cached = np.zeros(stream.distinct, bool)
        # newer[row], older[row]. The last element closes the ring: its `older` is the newest row, `newer` the oldest.
        self._newer = np.full(stream.distinct + 1, stream.distinct, np.int32)
        self._older = np.full(stream.distinct + 1, stream.distinct, np.int32)
        self._size = 0

    def run(self, chunk: Chunk, learn: bool) -> Counts:
        if not learn:
            return tally(self._cached[chunk.rows], chunk)
        hit = np.empty(len(chunk.rows), bool)
        self._size = _lru(chunk.rows, self.hot_rows, self._size, self._cached, self._newer, self._older, hit)
        return tally(hit, chunk)


class Lfu:
    """Evicts the row with the fewest lookups since it was cached; among equals, the least recently used one.

    Counts are exact and are lost on eviction. A linked list for each count, constant time a lookup.
    """

    def __init__(self, stream: Stream, hot_rows: int) -> None:
        self.hot_rows = hot_rows
        self._counts = np.zeros(stream.distinct, np.int32)  # 0: not in the cache
        self._newer = np.full(stream.distinct, _NONE, np.int32)
        self._older = np.full(stream.distinct, _NONE, np.int32)
        self._newest = np.full(stream.largest_count + 1, _NONE, np.int32)  # of each count
        self._oldest = np.full(stream.largest_count + 1, _NONE, np.int32)
        self._state = (0, 0)

    def run(self, chunk: Chunk, learn: bool) -> Counts:
        if not learn:
            return tally(self._counts[chunk.rows] > 0, chunk)
        hit = np.empty(len(chunk.rows), bool)
        self._state = _lfu(
            chunk.rows, self.hot_rows, self._state, self._counts, self._newer, self._older, self._newest, self._oldest,
            hit,
        )  # fmt: skip
        return tally(hit, chunk)


@compiled()
def _lru(rows, hot_rows, size, cached, newer, older, hit):
    """Returns the number of rows in the cache."""
    ring = cached.size
    for i in range(rows.size):
        row = rows[i]
        hit[i] = cached[row]
        if cached[row]:
            newer[older[row]], older[newer[row]] = newer[row], older[row]
        elif size < hot_rows:
            size += 1
        else:
            victim = newer[ring]
            newer[ring] = newer[victim]
            older[newer[victim]] = ring
            cached[victim] = False
        cached[row] = True
        newest = older[ring]
        newer[row], older[row] = ring, newest
        newer[newest] = row
        older[ring] = row
    return size


@compiled(inline="always")
def _unlink(row, count, newer, older, newest, oldest):
    if newer[row] == _NONE:
        newest[count] = older[row]
    else:
        older[newer[row]] = older[row]
    if older[row] == _NONE:
        oldest[count] = newer[row]
    else:
        newer[older[row]] = newer[row]


@compiled()
def _lfu(rows, hot_rows, state, counts, newer, older, newest, oldest, hit):
    """Takes and returns the number of rows in the cache and the smallest count among them."""
    size, least = state
    for i in range(rows.size):
        row = rows[i]
        count = counts[row]
        hit[i] = count > 0
        if count > 0:
            _unlink(row, count, newer, older, newest, oldest)
            if count == least and oldest[count] == _NONE:
                least += 1
        else:
            if size < hot_rows:
                size += 1
            else:
                victim = oldest[least]
                _unlink(victim, least, newer, older, newest, oldest)
                counts[victim] = 0
            least = 1
        count += 1
        counts[row] = count
        newer[row], older[row] = _NONE, newest[count]
        if newest[count] == _NONE:
            oldest[count] = row
        else:
            newer[newest[count]] = row
        newest[count] = row
    return size, least
