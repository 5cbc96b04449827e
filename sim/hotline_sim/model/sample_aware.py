"""The golden model's sample-aware tracker: more entries than hot rows, and counters that consider whole samples.

    lookup --> hot? ----------------------> verdict of the sample: how many of its lookups missed
                                                      |
    counter += weight[other misses of the sample] <---'          SELECT: the N largest counters become the hot rows

A sample is popular if all of its lookups hit. So a row counts more if fewer other lookups of its sample missed: if it
is the only one that missed, making it hot makes the sample popular. Counting by frequency alone (all weights 1) favours
rows whose samples miss elsewhere anyway.

Only SELECT, between mini-batches, changes which rows are hot. Within a mini-batch a hot row cannot be evicted, so
verdicts do not depend on the mini-batch's own updates, and hardware may update at any later time.

The *front table* names rows that are in almost every sample. What a lookup finds does not depend on it. But what such a
row's counter gains while the row is hot is added up, and counts when the mini-batch ends, as one update. So hardware
need not ask a bank for each of these lookups.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence

import numpy as np

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
    SLOT_FIELD,
    SLOT_WORD_SLOT,
)

from .sets import Entry, Place, Sets, get

__all__ = ["SampleAwareTracker"]


class SampleAwareTracker(Sets):
    """See the head of this file.

    Attributes:
        hot_count: rows that are hot; they have exactly the slots 0 to hot_count - 1.
        threshold: the last SELECT's threshold, 0 before the first SELECT.
        ages: lookups of keys without an entry, since a set's last aging.
        front: rows of the front table, in order, with what each has gained in this mini-batch.
    """

    def __init__(self, geometry: Geometry, hot_rows: int, counters: dict[str, int], policy: Policy) -> None:
        super().__init__(geometry, hot_rows, counters)
        self.policy = policy
        self.hot_count = self.threshold = 0
        self.ages: dict[int, int] = defaultdict(int)
        self.front: dict[Place, int] = {}

    def set_front(self, places: Sequence[Place]) -> None:
        """These rows, all different, take the place of those in the front table."""
        self.front = dict.fromkeys(places, 0)

    def lookup(self, place: Place) -> int | None:
        """Slot of the key's row; None if it is cold. Changes nothing."""
        way = self.find(place)
        entry = None if way is None else self.sets[place.gset][way]
        return entry.slot if entry is not None and entry.hot else None

    def learn(self, lookups: Sequence[tuple[Place | None, bool]]) -> None:
        """Trains with one sample: (place, missed) of its lookups, in order. The place is None if it is out of range."""
        misses = sum(missed for _, missed in lookups)
        for place, missed in lookups:
            if place is None:
                continue
            weight = self.policy.weights[min(misses - missed, 15)]
            if place in self.front and not missed:
                self.front[place] = min(self.front[place] + weight, self._largest)
            else:
                self._update(place, weight)

    def end_batch(self) -> None:
        """A mini-batch has ended: what the rows of the front table gained counts now, in their order."""
        for place, gained in self.front.items():
            self._update(place, gained)
        self.set_front(list(self.front))

    @property
    def _largest(self) -> int:
        """The largest counter."""
        return (1 << self.geometry.counter_bits) - 1

    def _update(self, place: Place, weight: int) -> None:
        """Adds to the key's counter. A key without an entry takes a free way, or else that of the cold entry with the
        smallest counter (the lowest way of several). If all entries are hot, the key is not learned."""
        entries = self.sets[place.gset][: self.quota(place.gset)]
        way = self.find(place)
        if weight == 0:
            return
        if way is not None:
            entry = entries[way]
            self.counters["revivals"] += entry.hot and not entry.referenced
            self.counters["returns"] += entry.referenced and not entry.hot
            entry.counter, entry.referenced = min(entry.counter + weight, self._largest), True
            return

        free = [way for way, entry in enumerate(entries) if not entry.valid]
        cold = [way for way, entry in enumerate(entries) if not entry.hot]
        victim = free[0] if free else min(cold, key=lambda way: entries[way].counter, default=None)
        self._age(place.gset)
        if victim is None:
            return
        self.counters["inserts"] += 1
        self.counters["evictions"] += not free
        entries[victim].__dict__.update(
            vars(Entry(True, place.tag, counter=min(weight, self._largest), referenced=True))
        )

    def _age(self, gset: int) -> None:
        """Counts a lookup of a key without an entry. After every age_period of them, the set's counters shrink: by an
        eighth, rounded down, if the entry was looked up since the last aging, else by half, rounded up. So rows that
        are no longer looked up make room, at the rate at which new ones come."""
        self.ages[gset] += 1
        if self.policy.age_period == 0 or self.ages[gset] < self.policy.age_period:
            self.ages[gset] &= AGE_FIELD.mask
            return
        self.ages[gset] = 0
        for entry in self.sets[gset]:
            entry.counter = entry.counter - (entry.counter >> 3) if entry.referenced else entry.counter >> 1
            entry.referenced = False

    def select(self) -> np.ndarray:
        """SELECT: uint64 [moves + 1, ways], an event for each row that becomes hot (`words`), and the closing beat.

        1. The threshold is the smallest counter, 1 or more, that at most N entries have or surpass.
        2. Cold entries at or above the threshold are candidates; at most move_limit and max_moves of them become hot.
        3. If there are too few free slots, hot entries whose counter is below threshold - (threshold >> hysteresis)
           become cold, in the order of the walk, and no more of them than needed.
        4. Candidates become hot in the order of the walk: the first ones take over the slots that were given up, in
           that order, the others the free slots hot_count, hot_count + 1, ...

        The closing beat also counts the entries that were, before SELECT, hot but not looked up since their set's last
        aging (idle), and cold but looked up since (recent). Together with the counters `revivals` and `returns` this
        tells the driver whether to age faster.

        The walk visits the sets from select_start on, wrapping around; for each all banks, in each bank all ways.
        """
        idle = sum(e.hot and not e.referenced for _, e in self._walk())
        recent = sum(e.valid and not e.hot and e.referenced for _, e in self._walk())
        counters = np.array([entry.counter for _, entry in self._walk() if entry.valid])
        threshold = 1
        while (counters >= threshold).sum() > self.hot_rows:
            threshold += 1
        wanting = [(gset, e) for gset, e in self._walk() if e.valid and not e.hot and e.counter >= threshold]
        limit = min(len(wanting), self.policy.move_limit, self.geometry.max_moves)

        lowest = threshold - (threshold >> self.policy.hysteresis)
        falling = [(gset, e) for gset, e in self._walk() if e.hot and e.counter < lowest]
        free = self.hot_rows - self.hot_count
        vacated = deque(falling[: max(0, limit - free)])
        for _, entry in vacated:
            entry.hot = False

        events = np.zeros((min(limit, free + len(vacated)) + 1, self.geometry.ways), np.uint64)
        self.counters["promotions"] += len(events) - 1
        self.counters["demotions"] += len(vacated)
        for event, (gset, entry) in zip(events[:-1], wanting, strict=False):
            if vacated:
                old_gset, old = vacated.popleft()
                entry.slot = old.slot
                old.slot = 0
                event[1] = 1 << EVENT_VALID.low | self._mixed(old_gset, old)
            else:
                entry.slot = self.hot_count
                self.hot_count += 1
            entry.hot = True
            event[0] = 1 << EVENT_VALID.low | entry.slot << SLOT_FIELD.low | self._mixed(gset, entry)
        self.threshold = threshold
        events[-1, :2] = self.hot_count | idle << CLOSE_HIGH.low, threshold | recent << CLOSE_HIGH.low
        return events

    def _mixed(self, gset: int, entry: Entry) -> int:
        """The mixed key of an entry; inverting the hash gives its row."""
        return entry.tag << self.geometry.bank_bits | gset & (self.geometry.banks - 1)

    def _walk(self) -> Iterator[tuple[int, Entry]]:
        sets = 1 << (self.index_bits - self.geometry.bank_bits)  # in use in each bank
        for step in range(sets):
            set_ = (self.policy.select_start + step) % sets
            for bank in range(self.geometry.banks):
                gset = set_ << self.geometry.bank_bits | bank
                if gset in self.sets:
                    for entry in self.sets[gset][: self.quota(gset)]:
                        yield gset, entry

    def dump(self) -> np.ndarray:
        """DUMP: uint64 [2^k * state_rows_per_set, ways], gset 0 first, way 0 first."""
        words = np.zeros((2 << self.index_bits, self.geometry.ways), np.uint64)
        for gset, entries in self.sets.items():
            for way, entry in enumerate(entries):
                if entry.valid:
                    words[2 * gset, way] = (
                        1 << ENTRY_VALID.low
                        | entry.hot << ENTRY_HOT.low
                        | entry.referenced << ENTRY_REFERENCED.low
                        | entry.counter << COUNTER_FIELD.low
                        | entry.tag << ENTRY_TAG.low
                    )
                    words[2 * gset + 1, way] = entry.slot << SLOT_WORD_SLOT.low
        for gset, age in self.ages.items():
            words[2 * gset + 1, 0] |= np.uint64(age << AGE_FIELD.low)
        return words

    def restore(self, rows: np.ndarray) -> Error:
        """Fills a fresh tracker with the sets that `rows` (uint64 [any, ways]) tells of, as far as it goes.

        Only `valid` and as many low bits of a field as the hardware has count; an invalid entry is stored as zero. The
        tag is not compared with its set: a tag that belongs elsewhere is stored and never hit. No set may hold one tag
        twice, and no two entries one slot. That is not checked, and what such entries do is not specified. hot_count
        becomes the number of hot entries; their slots must be those below it.

        Returns RESTORE_ENTRY if an entry was valid in a way outside the quota, and so dropped, or had a slot outside
        the budget, and so is not hot.
        """
        errors = Error(0)
        pairs = rows[: min(len(rows) // 2 * 2, 2 << self.index_bits)].reshape(-1, 2, self.geometry.ways)
        for gset, (row, slots) in enumerate(pairs):
            entries, error = self._restored(gset, row)
            self.ages[gset] = get(int(slots[0]), AGE_FIELD)
            for way, word, entry in entries:
                slot = get(int(slots[way]), SLOT_WORD_SLOT)
                entry.counter = get(word, COUNTER_FIELD) & ((1 << self.geometry.counter_bits) - 1)
                entry.referenced = bool(get(word, ENTRY_REFERENCED))
                entry.hot = bool(get(word, ENTRY_HOT)) and slot < self.hot_rows
                entry.slot = slot if entry.hot else 0
                if entry.hot != bool(get(word, ENTRY_HOT)):
                    error = Error.RESTORE_ENTRY
            errors |= error
        self.hot_count = sum(entry.hot for _, entry in self._walk())
        return errors
