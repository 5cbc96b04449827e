"""Choices of hot rows, and the share of samples that each makes all-hot: with hindsight, and as trackers learn.

Everywhere `keys` is int64 [S, L], a number from 0 for each lookup's row, no two rows of any tables the same; a sample
is all-hot where all its L lookups are of hot rows.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .synthetic_random import STEP, U, mix

__all__ = ["all_hot", "by_frequency", "by_sample", "running_top", "srrip"]


def by_frequency(counts: np.ndarray, size: int) -> np.ndarray:
    """bool [R]: the `size` rows of most `counts` int64 [R], of equals those of smaller number, none of count 0."""
    hot = np.zeros(len(counts), bool)
    hot[np.argsort(-counts, kind="stable")[:size]] = True
    return hot & (counts > 0)


def all_hot(keys: np.ndarray, hot: np.ndarray) -> float:
    """Share of samples all-hot with the rows `hot` bool [R]."""
    return float(hot[keys].all(axis=1).mean())


def by_sample(keys: np.ndarray, sizes: tuple[int, ...]) -> tuple[float, ...]:
    """Shares of samples all-hot when that many rows are left by peeling.

    Peeling removes, again and again, the row that the fewest still complete samples need; of equals, the one whose
    need fell last. All rows are there at first and all samples complete.
    """
    order = np.argsort(sizes)[::-1]
    shares = np.empty(len(sizes))
    shares[order] = _peel(np.ascontiguousarray(keys), int(keys.max()) + 1, np.array(sizes)[order])
    return tuple(shares.tolist())


@njit(cache=True, nogil=True)
def _peel(keys, rows, sizes):
    """For `sizes` in descending order."""
    samples = keys.shape[0]
    need = np.zeros(rows, np.int64)  # lookups that complete samples have of a row
    for key in keys.ravel():
        need[key] += 1
    starts = np.concatenate((np.zeros(1, np.int64), np.cumsum(need)))
    fill = starts[:-1].copy()
    users = np.empty(keys.size, np.int32)  # samples of row r: users[starts[r] : starts[r + 1]]
    for sample in range(samples):
        for key in keys[sample]:
            users[fill[key]] = sample
            fill[key] += 1

    # Rows of equal need are a doubly linked list; -1 ends it.
    first = np.full(need.max() + 1, -1, np.int64)
    after, before = np.full(rows, -1, np.int64), np.full(rows, -1, np.int64)
    present = need > 0
    for row in range(rows):
        if present[row]:
            _link(first, after, before, row, need[row])

    left, complete, least = present.sum(), samples, 0
    is_complete = np.ones(samples, np.bool_)
    shares = np.empty(sizes.size)
    for at in range(sizes.size):
        while left > sizes[at]:
            while first[least] < 0:
                least += 1
            row = first[least]
            _unlink(first, after, before, row, least)
            present[row] = False
            left -= 1
            for sample in users[starts[row] : starts[row + 1]]:
                if not is_complete[sample]:
                    continue
                is_complete[sample] = False
                complete -= 1
                for key in keys[sample]:
                    if present[key]:
                        _unlink(first, after, before, key, need[key])
                        need[key] -= 1
                        _link(first, after, before, key, need[key])
                        least = min(least, need[key])
        shares[at] = complete / samples
    return shares


@njit(cache=True, nogil=True, inline="always")
def _link(first, after, before, row, need):
    after[row], before[row] = first[need], -1
    if first[need] >= 0:
        before[first[need]] = row
    first[need] = row


@njit(cache=True, nogil=True, inline="always")
def _unlink(first, after, before, row, need):
    if before[row] >= 0:
        after[before[row]] = after[row]
    else:
        first[need] = after[row]
    if after[row] >= 0:
        before[after[row]] = before[row]


def running_top(keys: np.ndarray, size: int, *, start: int, every: int = 1000) -> float:
    """Share of samples from `start` on all-hot with the `size` most frequent rows so far, chosen every so often."""
    counts = np.zeros(int(keys.max()) + 1, np.int64)
    counts += np.bincount(keys[:start].ravel(), minlength=len(counts))
    share = 0.0
    for at in range(start, len(keys), every):
        some = keys[at : at + every]
        share += all_hot(some, by_frequency(counts, size)) * len(some)
        counts += np.bincount(some.ravel(), minlength=len(counts))
    return share / (len(keys) - start)


def srrip(keys: np.ndarray, entries: int, *, start: int, ways: int = 16, bits: int = 2) -> float:
    """Share of samples from `start` on whose rows are all in an SRRIP tracker, which learns from the first one on.

    Static re-reference interval prediction (Jaleel and others, "High performance cache replacement using re-reference
    interval prediction", ISCA 2010), hit priority: a hit sets a row's interval to 0, a new row's is the longest but
    one, and of a full set the first row with the longest interval is replaced. A sample is judged before it is learned.
    """
    return float(_srrip(keys, entries // ways, start, ways, (1 << bits) - 1))


@njit(cache=True, nogil=True)
def _srrip(keys, sets, start, ways, distant):
    tags = np.full((sets, ways), -1, np.int64)
    intervals = np.full((sets, ways), distant, np.int64)
    complete = 0
    for sample in range(keys.shape[0]):
        hits = 0
        for key in keys[sample]:
            place = int(mix(U(key) + STEP) % U(sets))
            for way in range(ways):
                if tags[place, way] == key:
                    hits += 1
                    break
        if sample >= start and hits == keys.shape[1]:
            complete += 1
        for key in keys[sample]:
            place = int(mix(U(key) + STEP) % U(sets))
            found = False
            for way in range(ways):
                if tags[place, way] == key:
                    intervals[place, way] = 0
                    found = True
                    break
            if not found:
                aging = distant - intervals[place].max()
                intervals[place] += aging
                victim = np.argmax(intervals[place])
                tags[place, victim] = key
                intervals[place, victim] = distant - 1
    return complete / (keys.shape[0] - start)
