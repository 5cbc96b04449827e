"""A row cache in software: what TorchRec's prefetch pipeline over cached tables does, on FBGEMM's 32-way cache.

    mini-batch i          trains; its rows are locked
    mini-batch i + 1      its rows that are not cached yet are moved in, before its turn; they are locked too

So nearly every lookup is a hit in its turn, and the misses show as moves.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from hotline_device.compiled import compiled
from hotline_host.data.log import Batch
from hotline_host.errors import SettingsError
from hotline_host.plan import Followed, Moves
from hotline_host.pool.rows import keys_of

from .row_places import COLD, HELD, RowPlaces
from .splitter import Splitter

__all__ = ["POLICIES", "WAYS", "SetCache", "set_of"]

WAYS = 32
"""Slots of a set, as many as FBGEMM gives it."""

POLICIES = ("lru", "lfu")

_FREE = -2
"""`used` of a free slot: less than that of any slot that is locked or was ever used."""

_SEEN = -2
"""Added to `where` of a cold row that this mini-batch has looked up."""


class SetCache(Splitter):
    """A cache of 32 ways. Slot s is way s % 32 of set s // 32.

    Before each mini-batch, its unique rows that are not cached are moved in, in order of first appearance. Each takes a
    free way of its set, or the way of a victim. Rows of this mini-batch and of the one before are locked: they are no
    victims. A row is cold for a mini-batch if all ways of its set are locked.

    Args:
        rows: int64 [T], the rows of each table.
        hot_rows: most rows in the cache; rounded down to a multiple of 32.
        policy: whom a new row replaces. "lru": the row that has not been looked up for the most mini-batches, the
            lowest way among equals. "lfu": the row with the fewest lookups so far, the least recently used one among
            equals. With it a new row that has had even fewer lookups stays cold, as in FBGEMM.

    Raises:
        SettingsError: an unknown policy, or not one set fits.
        DataError: there are more rows than int32 can number.
    """

    def __init__(self, rows: np.ndarray, hot_rows: int, policy: str = "lru") -> None:
        if policy not in POLICIES:
            raise SettingsError(f"cache policy is {policy!r}; it must be {' or '.join(POLICIES)}")
        if hot_rows < WAYS:
            raise SettingsError(f"hot rows is {hot_rows}; a cache of {WAYS} ways needs at least {WAYS}")
        self.hot_rows = self.most_moves = hot_rows // WAYS * WAYS
        self._places = RowPlaces(rows)
        self._key_of = np.full(self.hot_rows, -1, np.int32)  # by slot
        self._used = np.full(self.hot_rows, _FREE, np.int32)  # mini-batch of the latest lookup, by slot
        self._counts = np.zeros(self._places.bases[-1] if policy == "lfu" else 0, np.int32)  # lookups, by key
        self._batches = self._lookups = self._cached = self._misses = self._conflicts = 0

    def learn(self, batches: Iterable[Batch]) -> None:
        """Fills the cache with the rows of mini-batches that are not trained on, before the first one that is.

        Raises:
            DataError: a mini-batch looks up a row that is not there.
        """
        for batch in batches:
            self._insert(keys_of(batch, self._places.bases))
        self._batches += 1  # none of these rows is in training, so none is locked

    def placed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What `learn` has left in the cache."""
        slots = np.flatnonzero(self._key_of >= 0)
        return *self._places.names(self._key_of[slots].astype(np.int64)), slots

    def split(self, batch: Batch) -> Followed:
        places = self._places
        keys = keys_of(batch, places.bases)
        misses, slots, came, left = self._insert(keys)
        self._lookups += len(keys)
        self._misses += misses
        self._conflicts += misses - len(slots)
        tables, rows = places.names(came)
        evicted_tables, evicted_rows = (np.where(left < 0, -1, part) for part in places.names(np.maximum(left, 0)))
        moves = Moves(slots, tables, rows, evicted_tables, evicted_rows, self._cached, threshold=0, idle=0, recent=0)
        return Followed(batch, places.split_keys(batch, keys), moves, 0)

    def counters(self) -> dict[str, int | None]:
        """Since the first mini-batch. Misses are unique rows of a mini-batch; conflicts are those that stayed cold."""
        return {"lookups": self._lookups, "misses": self._misses, "conflicts": self._conflicts}

    def _insert(self, keys: np.ndarray) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
        """Moves the rows of the next mini-batch in. Returns the number of unique misses, and of each move the slot,
        the key that came and the key that left, -1 if the slot was free: int64 [m]."""
        slots, came, left = (np.empty(len(keys), np.int64) for _ in range(3))
        misses, moved = _insert(
            keys, self._batches, self._places.where, self._key_of, self._used, self._counts, slots, came, left
        )
        self._batches += 1
        self._cached += int((left[:moved] < 0).sum())
        return misses, slots[:moved].copy(), came[:moved], left[:moved]


@compiled()
def set_of(key, sets):
    """The set of a row: multiply-shift, and the product's upper part scaled to any number of sets."""
    return ((np.uint64(key) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)) * np.uint64(sets)) >> np.uint64(32)


@compiled()
def _least_used(used, keys, counts, now):
    """The way of a full set with the fewest lookups, among those that are not locked."""
    best = -1
    for way in range(WAYS):
        if used[way] >= now - 1:
            continue
        if best < 0:
            best = way
            continue
        more = counts[keys[way]] - counts[keys[best]]
        if more < 0 or (more == 0 and used[way] < used[best]):
            best = way
    return best


@compiled()
def _insert(keys, now, where, key_of, used, counts, slots, came, left):
    """Moves rows of mini-batch `now` in. `left` is -1 where the slot was free.

    Returns the numbers of unique misses and of moves.
    """
    by_count = counts.size > 0
    missing = np.empty(keys.size, np.int32)
    misses = 0
    for key in keys:  # all are locked and counted before the first looks for a victim
        if by_count:
            counts[key] += 1
        slot = where[key]
        if slot >= 0:
            used[slot] = now
        elif slot >= HELD:
            where[key] = slot + _SEEN
            missing[misses] = key
            misses += 1
    moved = 0
    for key in missing[:misses]:
        where[key] -= _SEEN
        first = WAYS * int(set_of(key, used.size // WAYS))
        oldest = used[first]
        for slot in range(first + 1, first + WAYS):
            oldest = min(oldest, used[slot])  # without a branch: eight ways at once
        if oldest >= now - 1:
            continue
        victim = first
        if by_count and oldest != _FREE:
            victim = _least_used(used[first : first + WAYS], key_of[first : first + WAYS], counts, now) + first
        else:
            while used[victim] != oldest:
                victim += 1
        evicted = key_of[victim]
        if evicted >= 0:
            if by_count and counts[evicted] > counts[key]:
                continue
            where[evicted] = COLD
        where[key] = victim
        key_of[victim] = key
        used[victim] = now
        slots[moved] = victim
        came[moved] = key
        left[moved] = evicted
        moved += 1
    return misses, moved
