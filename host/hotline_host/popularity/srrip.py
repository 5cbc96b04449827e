"""SRRIP as a tracker: static re-reference interval prediction with hit promotion.

Jaleel et al., "High Performance Cache Replacement Using Re-Reference Interval Prediction (RRIP)", ISCA 2010.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .judging import Counts, tally
from .set_caches import spread
from .stream import Chunk, Stream

__all__ = ["Srrip"]

_DISTANT = 3  # 2-bit re-reference prediction values
_LONG = _DISTANT - 1


class Srrip:
    """Every row in the cache is hot. A row enters the cache at its first miss.

    A hit makes a row's value 0. A miss takes the lowest empty way. In a full set all values first grow until the
    largest is distant (3), and the lowest way of that value is replaced. The new row's value is long (2).

    Each lookup is judged just before its own update, so lookups of a sample may evict rows of the same sample.

    Args:
        ways: the ways of a set.
        held: a chunk is a mini-batch, and no row moves within it. All of it is judged, then all of it is learned from.
            Training with rows in two memories can use a cache only in this way.
    """

    def __init__(self, stream: Stream, hot_rows: int, ways: int, *, held: bool = False) -> None:
        self._held = held
        self._sets, self._quota = spread(stream, hot_rows, ways)
        self._rows = np.full((len(self._quota), ways), -1, np.int32)
        self._values = np.zeros((len(self._quota), ways), np.uint8)
        self._cached = np.zeros(stream.distinct, bool)

    def run(self, chunk: Chunk, learn: bool) -> Counts:
        hit = self._cached[chunk.rows]
        if learn:
            found = np.empty(0, bool) if self._held else hit
            _learn(chunk.rows, self._sets, self._quota, self._rows, self._values, self._cached, found)
        return tally(hit, chunk)


@njit(cache=True, nogil=True)
def _learn(rows, sets, quota, ways, values, cached, hit):
    """`ways[set, way]` is a row or -1. If `hit` is not empty, it receives whether each lookup hit."""
    for i in range(rows.size):
        row = rows[i]
        at = sets[row]
        if hit.size:
            hit[i] = cached[row]
        if cached[row]:
            way = 0
            while ways[at, way] != row:
                way += 1
            values[at, way] = 0
            continue
        victim = -1
        for way in range(quota[at]):
            if ways[at, way] < 0:
                victim = way
                break
            if victim < 0 or values[at, way] > values[at, victim]:
                victim = way
        if victim < 0:
            continue  # a set without ways
        if ways[at, victim] >= 0:
            cached[ways[at, victim]] = False
            age = _DISTANT - values[at, victim]
            for way in range(quota[at]):
                values[at, way] += age
        ways[at, victim] = row
        values[at, victim] = _LONG
        cached[row] = True
