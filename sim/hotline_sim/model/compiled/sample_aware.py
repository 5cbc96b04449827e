"""The sample-aware tracker of the golden model, compiled: see `hotline_sim.model.sample_aware`.

The two rows of a set in a DUMP are two arrays here, and ages are a third: 12 bytes an entry, and one a set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hotline_device.compiled import compiled
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.policy import Policy
from hotline_hw.spec.regmap import Error
from hotline_hw.spec.words import (
    AGE_FIELD,
    CLOSE_HIGH,
    COUNTER_FIELD,
    ENTRY_HOT,
    ENTRY_REFERENCED,
    ENTRY_TAG,
    ENTRY_VALID,
    EVENT_VALID,
    HIT_FIELD,
    LAST_FIELD,
    ROW_FIELD,
    SLOT_FIELD,
    SLOT_WORD_SLOT,
)
from hotline_sim.model.sets import Place

from .sets import OUT_OF_RANGE, FastSets, ones

__all__ = ["FastSampleAware"]

U = np.uint64  # Numba turns a sum of signed and unsigned into a float, so everything here is unsigned
_ZERO, _ONE, _THREE = U(0), U(1), U(3)
_VALID, _HOT, _REFERENCED = U(ones(ENTRY_VALID)), U(ones(ENTRY_HOT)), U(ones(ENTRY_REFERENCED))
_COUNTER, _COUNTER_LOW, _COUNTER_MASK = U(ones(COUNTER_FIELD)), U(COUNTER_FIELD.low), U(COUNTER_FIELD.mask)
_TAG = U(ones(ENTRY_TAG))
_KEY = _VALID | _TAG  # an entry's key
_RANK = _VALID | _HOT | _COUNTER  # orders a set's entries: the free ways, then the cold ones by counter, the hot ones
_NOT_HOT, _NOT_COUNTED = ~_HOT, ~(_COUNTER | _REFERENCED)
_HIT, _LAST, _NOT_ROW = U(ones(HIT_FIELD)), U(ones(LAST_FIELD)), ~U(ones(ROW_FIELD))
_LARGEST_WEIGHT, _LARGEST_AGE = U(15), U(AGE_FIELD.mask)
_SLOT_LOW, _EVENT_VALID = U(SLOT_FIELD.low), U(ones(EVENT_VALID))
_NOWHERE, _NO_WAY = OUT_OF_RANGE, U(255)
_MAYBE = U(255)


class _Front(NamedTuple):
    """The front table.

    Attributes:
        keys: uint64 [n], mixed keys of its rows, in order.
        maybe: bool [256], by the low bits of a mixed key: whether it can be one of them.
    """

    keys: np.ndarray
    maybe: np.ndarray


@compiled(inline="always")
def _age(entries, ages, gset, ways, period):
    """Counts a lookup of a key without an entry. Invalid entries are zero and stay zero."""
    age = U(ages[gset]) + _ONE
    if period == _ZERO or age < period:
        ages[gset] = age & _LARGEST_AGE
        return
    ages[gset] = 0
    for way in range(ways):
        entry = entries[gset, way]
        counter = (entry >> _COUNTER_LOW) & _COUNTER_MASK
        counter = counter >> _ONE if entry & _REFERENCED == _ZERO else counter - (counter >> _THREE)
        entries[gset, way] = (entry & _NOT_COUNTED) | counter << _COUNTER_LOW


@compiled()
def _run(mixed, results, learn, quota, weights, largest, period, front, entries, slots, ages, found):
    """For each sample: all its lookups, then, with `learn`, all its updates. Returns the increments of four counters.

    `found`, uint8 [max_lookups], is scratch memory: the way in which each lookup of a sample found its key.
    """
    gained = np.zeros(front.keys.size, np.uint64)
    inserts = evictions = revivals = returns = _ZERO
    set_mask = (_ONE << quota.index_bits) - _ONE
    start = 0
    while start < mixed.size:
        misses = _ZERO
        end = start
        while True:
            i = end
            end += 1
            last = results[i] & _LAST
            misses += _ONE
            key = mixed[i]
            if key != _NOWHERE:
                gset = key & set_mask  # the tag's low bits stand just above the bank
                ways = quota.each + _ONE if gset < quota.extra else quota.each
                wanted = _VALID | key >> quota.bank_bits
                at = _NO_WAY
                for way in range(ways):
                    entry = entries[gset, way]
                    if entry & _KEY == wanted:
                        if entry & _HOT != _ZERO:
                            misses -= _ONE
                            results[i] = (results[i] & _NOT_ROW) | _HIT | U(slots[gset, way])
                        at = U(way)
                        break
                if learn:
                    found[i - start] = at
            if last != _ZERO:
                break

        if learn:
            for i in range(start, end):
                key = mixed[i]
                others = misses if results[i] & _HIT != _ZERO else misses - _ONE
                weight = weights[min(others, _LARGEST_WEIGHT)]
                if key == _NOWHERE or weight == _ZERO:
                    continue
                if front.maybe[key & _MAYBE] and results[i] & _HIT != _ZERO:
                    place = 0
                    while place < front.keys.size and front.keys[place] != key:
                        place += 1
                    if place < front.keys.size:
                        gained[place] = min(gained[place] + weight, largest)
                        continue
                gset = key & set_mask
                ways = quota.each + _ONE if gset < quota.extra else quota.each
                wanted = _VALID | key >> quota.bank_bits
                at = U(found[i - start])
                least = _NOWHERE
                if at == _NO_WAY or entries[gset, at] & _KEY != wanted:  # or the sample's own updates evicted it
                    at = _NO_WAY
                    for way in range(ways):
                        entry = entries[gset, way]
                        if entry & _KEY == wanted:
                            at = U(way)
                        least = min(least, (entry & _RANK) | way)  # the lowest way of the lowest rank
                if at != _NO_WAY:
                    entry = entries[gset, at]
                    if entry & _HOT == _ZERO:
                        if entry & _REFERENCED != _ZERO:
                            returns += _ONE
                    elif entry & _REFERENCED == _ZERO:
                        revivals += _ONE
                    counter = min(((entry >> _COUNTER_LOW) & _COUNTER_MASK) + weight, largest)
                    entries[gset, at] = (entry & _NOT_COUNTED) | _REFERENCED | counter << _COUNTER_LOW
                    continue
                _age(entries, ages, gset, ways, period)
                if least & _HOT == _ZERO:
                    inserts += _ONE
                    if least & _VALID != _ZERO:
                        evictions += _ONE
                    entries[gset, least & U(63)] = wanted | _REFERENCED | min(weight, largest) << _COUNTER_LOW
        start = end
    # What the rows of the front table gained. They are hot, so they have entries.
    for place in range(gained.size):
        if gained[place] != _ZERO:
            gset = front.keys[place] & set_mask
            wanted = _VALID | front.keys[place] >> quota.bank_bits
            at = _ZERO
            while entries[gset, at] & _KEY != wanted:
                at += _ONE
            entry = entries[gset, at]
            if entry & _REFERENCED == _ZERO:
                revivals += _ONE
            counter = min(((entry >> _COUNTER_LOW) & _COUNTER_MASK) + gained[place], largest)
            entries[gset, at] = (entry & _NOT_COUNTED) | _REFERENCED | counter << _COUNTER_LOW
    return inserts, evictions, revivals, returns


@compiled()
def _threshold(entries, hot_rows, largest):
    """The smallest counter, 1 or more, that at most `hot_rows` valid entries reach or exceed."""
    histogram = np.zeros(largest + 2, np.int64)
    for gset in range(entries.shape[0]):
        for way in range(entries.shape[1]):
            entry = entries[gset, way]
            if entry != _ZERO:
                histogram[(entry >> _COUNTER_LOW) & _COUNTER_MASK] += 1
    threshold, surpassing = largest + 1, 0
    while threshold > 1 and surpassing + histogram[threshold - 1] <= hot_rows:
        threshold -= 1
        surpassing += histogram[threshold]
    return threshold


@compiled()
def _walk(entries, first, threshold, lowest, wanting, falling):
    """Finds candidates to become hot, and hot entries below `lowest`: their positions, gset * ways + way.

    The walk starts at set `first` and wraps around; each list stops when it is full. Returns the lengths of both.
    """
    sets, ways = entries.shape
    wanted = fallen = 0
    for step in range(sets):
        gset = first + step if first + step < sets else first + step - sets
        for way in range(ways):
            entry = entries[gset, way]
            if entry == _ZERO:
                continue
            counter = (entry >> _COUNTER_LOW) & _COUNTER_MASK
            if entry & _HOT == _ZERO:
                if counter >= threshold and wanted < wanting.size:
                    wanting[wanted] = gset * ways + way
                    wanted += 1
            elif counter < lowest and fallen < falling.size:
                falling[fallen] = gset * ways + way
                fallen += 1
    return wanted, fallen


class FastSampleAware(FastSets):
    """`SampleAwareTracker`, compiled.

    Attributes:
        hot_count, threshold: as `SampleAwareTracker` has them.
        slots: uint32 [2^k, ways], slot of each hot entry, 0 of all others.
        ages: uint8 [2^k].
    """

    def __init__(self, geometry: Geometry, hot_rows: int, counters: dict[str, int], policy: Policy) -> None:
        super().__init__(geometry, hot_rows, counters)
        self.policy = policy
        self.hot_count = self.threshold = 0
        self.slots = np.zeros(self.entries.shape, np.uint32)
        self.ages = np.zeros(len(self.entries), np.uint8)
        self._largest = (1 << geometry.counter_bits) - 1
        self.set_front([])
        self._found = np.empty(geometry.max_lookups, np.uint8)

    def set_front(self, places: Sequence[Place]) -> None:
        """As `SampleAwareTracker.set_front`."""
        bank_bits = self.geometry.bank_bits
        keys = [place.tag << bank_bits | place.gset & (self.geometry.banks - 1) for place in places]
        self._front = _Front(np.array(keys, np.uint64), np.zeros(int(_MAYBE) + 1, bool))
        self._front.maybe[self._front.keys & _MAYBE] = True

    def run(self, mixed: np.ndarray, results: np.ndarray, learn: bool) -> None:
        """Looks up, and with `learn` also learns, a mini-batch of n lookups.

        Args:
            mixed: uint64 [n], their mixed keys, OUT_OF_RANGE where there is none.
            results: uint64 [n], the result words as if all missed; those that hit are put right.
        """
        weights, period = np.array(self.policy.weights, np.uint64), U(self.policy.age_period)
        counts = _run(
            mixed, results, learn, self.quota, weights, U(self._largest), period, self._front,
            self.entries, self.slots, self.ages, self._found,
        )  # fmt: skip
        for name, count in zip(("inserts", "evictions", "revivals", "returns"), counts, strict=True):
            self.counters[name] += int(count)

    def select(self) -> np.ndarray:
        """As `SampleAwareTracker.select`."""
        policy, geometry = self.policy, self.geometry
        threshold = int(_threshold(self.entries, self.hot_rows, self._largest))
        lowest = threshold - (threshold >> policy.hysteresis)
        most = min(policy.move_limit, geometry.max_moves)
        wanting, falling = np.empty(most, np.int64), np.empty(most, np.int64)
        first = policy.select_start % (len(self.entries) >> geometry.bank_bits) << geometry.bank_bits
        idle = int(((self.entries & (_HOT | _REFERENCED)) == _HOT).sum())
        recent = int(((self.entries & (_HOT | _REFERENCED)) == _REFERENCED).sum())
        limit, fallen = _walk(self.entries, first, U(threshold), U(lowest), wanting, falling)

        free = self.hot_rows - self.hot_count
        old = falling[: min(fallen, max(0, limit - free))]
        new = wanting[: min(limit, free + len(old))]
        entries, slots = self.entries.reshape(-1), self.slots.reshape(-1)
        given = np.concatenate([slots[old], self.hot_count + np.arange(len(new) - len(old), dtype=np.uint32)])
        entries[old] &= _NOT_HOT
        slots[old] = 0
        entries[new] |= _HOT
        slots[new] = given

        events = np.zeros((len(new) + 1, geometry.ways), np.uint64)
        events[:-1, 0] = _EVENT_VALID | given.astype(np.uint64) << _SLOT_LOW | self._mixed(new)
        events[: len(old), 1] = _EVENT_VALID | self._mixed(old)
        self.counters["promotions"] += len(new)
        self.counters["demotions"] += len(old)
        self.hot_count += len(new) - len(old)
        self.threshold = threshold
        events[-1, :2] = self.hot_count | idle << CLOSE_HIGH.low, threshold | recent << CLOSE_HIGH.low
        return events

    def _mixed(self, positions: np.ndarray) -> np.ndarray:
        """Mixed keys, uint64 [n], of the entries at these positions."""
        banks = (positions // self.geometry.ways & (self.geometry.banks - 1)).astype(np.uint64)
        return (self.entries.reshape(-1)[positions] & _TAG) << self.quota.bank_bits | banks

    def dump(self) -> np.ndarray:
        """As `SampleAwareTracker.dump`."""
        words = np.empty((len(self.entries), 2, self.geometry.ways), np.uint64)
        words[:, 0] = self.entries
        words[:, 1] = self.slots
        words[:, 1, 0] |= self.ages.astype(np.uint64) << U(AGE_FIELD.low)
        return words.reshape(-1, self.geometry.ways)

    def restore(self, rows: np.ndarray) -> Error:
        """As `SampleAwareTracker.restore`."""
        pairs = rows[: min(len(rows) // 2, len(self.entries)) * 2].reshape(-1, 2, self.geometry.ways)
        count = len(pairs)
        counter = ones(COUNTER_FIELD, self.geometry.counter_bits)
        came, error = self._restored(pairs[:, 0], counter | ones(ENTRY_REFERENCED))
        slots = pairs[:, 1] & U(SLOT_WORD_SLOT.mask)
        called_hot = (came & _HOT) != 0
        hot = called_hot & (slots < self.hot_rows)
        if (hot != called_hot).any():
            error |= Error.RESTORE_ENTRY
        self.entries[:count][hot] |= _HOT
        self.slots[:count] = np.where(hot, slots, 0)
        self.ages[:count] = pairs[:, 1, 0] >> U(AGE_FIELD.low)
        self.hot_count = int(hot.sum())
        return error
