"""Set-associative caches as trackers: a row is hot while it is in the cache, which holds N rows.

The accelerator's key hash finds the set, and its budget rule (`Geometry`) spreads N rows over the sets: their number
is a power of two, and their ways add up to exactly N.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from hotline_hw.spec.feistel import mix
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import SAMPLE_FIELD

from .judging import Counts, tally
from .stream import Chunk, Stream

__all__ = ["MAX_LOOKUPS", "SetLfu", "SetLru", "geometry"]

MAX_LOOKUPS = 4096
"""Most lookups of a sample in any geometry."""


def geometry(ways: int, hot_rows: int) -> Geometry:
    """A geometry with at least as many entries as N needs, and the largest samples that any geometry takes."""
    sets = 2
    while 2 * sets * ways < hot_rows:
        sets *= 2
    return Geometry(
        name=f"{ways}-way", lanes=2, banks=2, sets=sets, ways=ways, rrpv_bits=2, bank_ports=2,
        max_lookups=MAX_LOOKUPS, max_samples=1 << SAMPLE_FIELD.width,
    )  # fmt: skip


class _SetCache:
    """Sets and ways of a cache of N rows, and what both policies share."""

    by_count: bool

    def __init__(self, stream: Stream, hot_rows: int, ways: int) -> None:
        shape = geometry(ways, hot_rows)
        bits = shape.index_bits_in_use(hot_rows)
        self._sets = (mix(stream.keys, shape.key_bits) & np.uint64((1 << bits) - 1)).astype(np.int32)
        self._quota = (hot_rows >> bits) + (np.arange(1 << bits) < hot_rows & (1 << bits) - 1)
        self._rows = np.full((1 << bits, ways), -1, np.int32)
        self._used = np.zeros((1 << bits, ways), np.int64)  # number of the latest lookup
        self._cached = np.zeros(stream.distinct, bool)
        self._counts = np.zeros(stream.distinct if self.by_count else 1, np.int32)
        self._lookups = 0

    def run(self, chunk: Chunk, learn: bool) -> Counts:
        if not learn:
            return tally(self._cached[chunk.rows], chunk)
        hit = np.empty(len(chunk.rows), bool)
        _learn(
            chunk.rows, self._lookups, self.by_count, self._sets, self._quota, self._rows, self._used, self._cached,
            self._counts, hit,
        )  # fmt: skip
        self._lookups += len(chunk.rows)
        return tally(hit, chunk)


class SetLru(_SetCache):
    """Evicts the least recently used row of the set."""

    by_count = False


class SetLfu(_SetCache):
    """Counts every row's lookups, cached or not, as FBGEMM's LFU cache does. This takes a counter for every row.

    Evicts the row of the set with the fewest lookups; among equals, the least recently used one. If the new row has
    had even fewer lookups, nothing is evicted and the new row is not cached.
    """

    by_count = True


@njit(cache=True, nogil=True)
def _learn(rows, lookups, by_count, sets, quota, ways, used, cached, counts, hit):
    """`ways[set, way]` is a row or -1; `lookups` came before these."""
    for i in range(rows.size):
        row = rows[i]
        at = sets[row]
        moment = lookups + i + 1
        hit[i] = cached[row]
        if by_count:
            counts[row] += 1
        if cached[row]:
            way = 0
            while ways[at, way] != row:
                way += 1
            used[at, way] = moment
            continue
        victim = -1
        for way in range(quota[at]):
            if ways[at, way] < 0:
                victim = way
                break
            if victim < 0:
                victim = way
                continue
            if by_count and counts[ways[at, way]] != counts[ways[at, victim]]:
                if counts[ways[at, way]] < counts[ways[at, victim]]:
                    victim = way
            elif used[at, way] < used[at, victim]:
                victim = way
        if victim < 0:
            continue  # a set without ways
        evicted = ways[at, victim]
        if evicted >= 0:
            if by_count and counts[evicted] > counts[row]:
                continue
            cached[evicted] = False
        ways[at, victim] = row
        used[at, victim] = moment
        cached[row] = True
