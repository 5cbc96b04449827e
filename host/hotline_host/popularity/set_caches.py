"""Set-associative caches as trackers: a row is hot while it is in the cache, which holds N rows."""

from __future__ import annotations

import numpy as np

from hotline_device.compiled import compiled
from hotline_hw.spec.feistel import mix
from hotline_hw.spec.words import PAYLOAD_FIELD

from .judging import Counts, tally
from .stream import Chunk, Stream

__all__ = ["SetLfu", "SetLru", "spread"]


def spread(stream: Stream, hot_rows: int, ways: int) -> tuple[np.ndarray, np.ndarray]:
    """Where rows belong: sets are found by the accelerator's key hash, and N rows are spread over them by its budget
    rule, with one entry a row. There is a power of two of sets, and their ways in sum are exactly N.

    Returns:
        sets: int32 [distinct rows], the set of each row.
        quota: int64 [sets], the ways of each set.
    """
    bits = 1
    while ways << bits < hot_rows:
        bits += 1
    sets = (mix(stream.keys, PAYLOAD_FIELD.width) & np.uint64((1 << bits) - 1)).astype(np.int32)
    return sets, (hot_rows >> bits) + (np.arange(1 << bits) < hot_rows & (1 << bits) - 1)


class _SetCache:
    """Sets and ways of a cache of N rows, and what both policies share."""

    by_count: bool

    def __init__(self, stream: Stream, hot_rows: int, ways: int) -> None:
        self._sets, self._quota = spread(stream, hot_rows, ways)
        self._rows = np.full((len(self._quota), ways), -1, np.int32)
        self._used = np.zeros((len(self._quota), ways), np.int64)  # moment of the latest lookup
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


@compiled()
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
