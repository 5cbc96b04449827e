"""Functional coverage of the sample-aware tracker: its coverpoints, and a golden model that reports them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import WEIGHT_BITS
from hotline_hw.spec.words import AGE_FIELD
from hotline_sim.model.core import GoldenCore, Place
from hotline_sim.model.sample_aware import SampleAwareTracker

__all__ = ["WatchedCore", "sample_aware_coverpoints"]

_UPDATES = {
    "fill": "a key taken into an empty way",
    "eviction": "a key that drove another out",
    "eviction_tie": "an eviction with the smallest counter in several cold ways",
    "eviction_past_hot": "an eviction with a counter as small or smaller in a hot way",
    "insert_refused": "a key not taken in: all ways in the budget are hot",
    "counted_hot": "a hot row's counter raised",
    "counted_cold": "a cold row's counter raised",
    "counter_saturates": "a counter that stops at the largest value with weight left",
    "weight_zero": "a lookup of weight zero of a key that is not there",
    "weight_zero_counted": "a lookup of weight zero of a key that is there",
    "weight_of_a_miss": "a lookup that missed in a sample with other misses: it does not count itself",
    "weight_of_a_hit": "a lookup that hit in a sample with misses",
    "misses_above_15": "a lookup with more than 15 other misses in its sample",
    "aging_referenced": "aging: a counter of an entry looked up since the last aging shrinks",
    "aging_idle": "aging: a counter of an entry not looked up since shrinks",
    "aging_odd": "aging: an odd counter is halved",
    "aging_hot": "aging: a hot entry's counter shrinks",
    "aging_late": "aging in a set that had as many lookups of new keys before AGE_PERIOD was lowered",
    "aging_never": "an insert with AGE_PERIOD 0",
    "aging_refused": "aging by a key that is not taken in",
    "revival": "an update of a hot entry not looked up since the last aging",
    "return": "an update of a cold entry looked up since the last aging",
    "hazard_distance_1": "two updates of one set, one right behind the other in their bank",
    "hazard_distance_2": "two updates of one set, the first no insert, with one of another set between them",
    "hazard_key_taken_in": "an update of a key that the update right ahead takes in",
    "hazard_key_driven_out": "an update of a key that the update right ahead drives out",
}
_INSERT_SATURATES = {"insert_saturates": "a key that enters with a weight above the largest counter"}
_SELECT = {
    "threshold_above_all": "SELECT: more rows share the largest counter than may be hot",
    "threshold_between": "SELECT: some counters reach a threshold above one, and some do not",
    "threshold_one": "SELECT: no more entries than may be hot",
    "limit_wanting": "SELECT: as many rows become hot as want to",
    "limit_move_limit": "SELECT: MOVE_LIMIT keeps rows cold",
    "limit_max_moves": "SELECT: max_moves keeps rows cold",
    "limit_slots": "SELECT: rows stay cold for want of slots",
    "move_to_free": "SELECT: a row takes a free slot",
    "move_to_vacated": "SELECT: a row takes the slot of one that leaves",
    "move_to_both": "SELECT: free slots and some that were given up are taken",
    "move_none": "SELECT: no row moves in a tracker with entries",
    "hysteresis_keeps": "SELECT: a hot row below the threshold stays, with others wanting its slot",
    "hysteresis_zero": "SELECT: rows want slots that none gives up, with HYSTERESIS 0",
    "fallen_rows_stay": "SELECT: more hot rows have fallen behind than leave",
    "vacated_moves_in": "SELECT: two rows of one set, one that leaves and one that becomes hot",
    "closing_idle": "SELECT: hot rows not looked up since their sets' last aging",
    "closing_recent": "SELECT: cold entries looked up since",
    "walk_wraps": "SELECT: rows become hot in sets before SELECT_START and behind",
    "walk_start_too_large": "SELECT: SELECT_START above the sets in use, rows move",
}


_FRONT = {
    "front_hot": "a lookup of a hot row of the front table that is learned from",
    "front_cold": "a lookup of a cold row of the front table that is learned from",
    "front_missed": "a gain of a row of the front table beside a miss",
    "front_one_bank": "rows of one bank that gain in a mini-batch",
    "front_saturates": "a gain that stops at the largest counter with weight left",
    "front_revival": "a gain that revives a hot row",
    "front_repeated": "FRONT: a row that is named twice",
    "front_emptied": "FRONT: no row, with rows in the table",
    "front_replaced": "FRONT: other rows in place of some",
    "front_moved": "SELECT: a row of the front table becomes hot or cold",
    "front_cleared": "CLEAR, RESTORE or HOT_ROWS with rows in the front table",
}


def sample_aware_coverpoints(geometry: Geometry) -> dict[str, str]:
    """Name and meaning of every coverpoint that `WatchedCore` can meet."""
    saturates = _INSERT_SATURATES if geometry.counter_bits < WEIGHT_BITS else {}
    return {**_UPDATES, **saturates, **_SELECT, **_FRONT}


class _Update(NamedTuple):
    """One update: its bank, set and tag, whether it inserted the key, and the tag that it evicted."""

    bank: int
    gset: int
    tag: int
    took_in: bool
    drove_out: int | None


class _WatchedTracker(SampleAwareTracker):
    """The golden model's tracker, which reports every coverpoint that it meets to `hit`."""

    def watch(self, hit: Callable[..., None]) -> None:
        self.hit = hit
        self.updates: list[_Update] = []  # since the reader last cleared them

    def lookup(self, place: Place) -> int | None:
        slot = super().lookup(place)
        if slot is not None:
            self.hit(f"hit_way_{self.find(place)}")
        return slot

    def learn(self, lookups: Sequence[tuple[Place | None, bool]]) -> None:
        misses = sum(missed for _, missed in lookups)
        for place, missed in lookups:
            if place is not None:
                self.hit("weight_of_a_miss", missed and misses > 1)
                self.hit("weight_of_a_hit", not missed and misses > 0)
                self.hit("misses_above_15", misses - missed > 15)
                weight = self.policy.weights[min(misses - missed, 15)]
                if place in self.front:
                    self.hit("front_cold" if missed else "front_hot")
                    self.hit("front_missed", not missed and misses > 0 and weight > 0)
                    self.hit("front_saturates", not missed and self.front[place] + weight > self._largest)
        super().learn(lookups)

    def end_batch(self) -> None:
        banks = [place.gset & (self.geometry.banks - 1) for place, gained in self.front.items() if gained]
        self.hit("front_one_bank", len(banks) - len(set(banks)))
        revivals = self.counters["revivals"]
        super().end_batch()
        self.hit("front_revival", self.counters["revivals"] - revivals)
        if self.front:  # a gain is no lookup, so what follows what in a bank is not known
            self.updates.clear()

    def set_front(self, places: Sequence[Place]) -> None:
        self.hit("front_emptied", bool(self.front) and not places)
        self.hit("front_replaced", bool(self.front) and bool(places) and {*places} != {*self.front})
        super().set_front(places)

    def _update(self, place: Place, weight: int) -> None:
        entries = self.sets[place.gset][: self.quota(place.gset)]
        largest = (1 << self.geometry.counter_bits) - 1
        way = self.find(place)
        inserts = self.counters["inserts"]
        before = [(entry.valid, entry.hot, entry.referenced, entry.counter, entry.tag) for entry in entries]
        super()._update(place, weight)

        took_in = self.counters["inserts"] > inserts
        drove_out = None
        if weight == 0:
            self.hit("weight_zero" if way is None else "weight_zero_counted")
        elif way is not None:
            _, hot, referenced, counter, _ = before[way]
            self.hit("counted_hot" if hot else "counted_cold")
            self.hit("revival", hot and not referenced)
            self.hit("return", referenced and not hot)
            self.hit("counter_saturates", counter + weight > largest)
        elif not took_in:
            self.hit("insert_refused", len(entries) > 0)
            self.hit("aging_refused", len(entries) > 0 and self.policy.age_period and self.ages[place.gset] == 0)
        else:
            self.hit("aging_never", self.policy.age_period == 0)
            if weight > largest:
                self.hit("insert_saturates")
            filled = self.find(place)
            assert filled is not None
            valid, _, _, smallest, tag = before[filled]
            self.hit("eviction" if valid else "fill")
            if valid:
                drove_out = tag
                self.hit("eviction_tie", sum(not hot and counter == smallest for _, hot, _, counter, _ in before) > 1)
                self.hit("eviction_past_hot", any(hot and counter <= smallest for _, hot, _, counter, _ in before))
        bank = place.gset & (self.geometry.banks - 1)
        self.updates.append(_Update(bank, place.gset, place.tag, took_in, drove_out))

    def _age(self, gset: int) -> None:
        new_keys, period = self.ages[gset] + 1, self.policy.age_period
        before = [(entry.referenced, entry.hot, entry.counter) for entry in self.sets[gset]]
        super()._age(gset)
        if period and new_keys >= period:
            self.hit("aging_late", period < new_keys <= AGE_FIELD.mask)
            for (referenced, hot, counter), entry in zip(before, self.sets[gset], strict=True):
                shrinks = entry.counter < counter
                self.hit("aging_referenced" if referenced else "aging_idle", shrinks)
                self.hit("aging_odd", shrinks and not referenced and counter & 1)
                self.hit("aging_hot", shrinks and hot)

    def select(self) -> np.ndarray:
        hit, policy, geometry = self.hit, self.policy, self.geometry
        before = [(gset, entry, entry.hot, entry.counter) for gset, entry in self._walk() if entry.valid]
        hit("closing_idle", sum(hot and not entry.referenced for _, entry, hot, _ in before))
        hit("closing_recent", sum(entry.referenced and not hot for _, entry, hot, _ in before))
        free = self.hot_rows - self.hot_count
        slots = {place: self.lookup(place) for place in self.front}
        events = super().select()
        now = {place: self.lookup(place) for place in self.front}
        hit("front_moved", sum((slots[place] is None) != (now[place] is None) for place in self.front))

        threshold, moves = self.threshold, len(events) - 1
        lowest = threshold - (threshold >> policy.hysteresis)
        counters = [counter for *_, counter in before]
        wanting = sum(not hot and counter >= threshold for _, _, hot, counter in before)
        fallen = sum(hot and counter < lowest for _, _, hot, counter in before)
        left = [gset for gset, entry, hot, _ in before if hot and not entry.hot]
        came = [gset for gset, entry, hot, _ in before if entry.hot and not hot]
        limit = min(wanting, policy.move_limit, geometry.max_moves)
        short = wanting > 0 and moves < limit

        hit("threshold_above_all", bool(counters) and self.hot_rows > 0 and threshold > max(counters))
        hit("threshold_between", bool(counters) and 1 < threshold <= max(counters) and min(counters) < threshold)
        hit("threshold_one", bool(counters) and threshold == 1)
        hit("limit_wanting", 0 < moves == wanting)
        hit("limit_move_limit", 0 < moves == policy.move_limit < min(wanting, geometry.max_moves))
        hit("limit_max_moves", moves == geometry.max_moves < min(wanting, policy.move_limit))
        hit("limit_slots", short)
        hit("move_to_free", min(moves, free))
        hit("move_to_vacated", len(left))
        hit("move_to_both", bool(left) and moves > len(left))
        hit("move_none", bool(counters) and moves == 0)
        hit("hysteresis_keeps", short and any(hot and lowest <= counter < threshold for _, _, hot, counter in before))
        hit("hysteresis_zero", short and policy.hysteresis == 0)
        hit("fallen_rows_stay", bool(left) and fallen > len(left))
        hit("vacated_moves_in", len({*left} & {*came}))
        sets = 1 << (self.index_bits - geometry.bank_bits)
        start = policy.select_start % sets
        behind = [gset >> geometry.bank_bits >= start for gset in came]
        hit("walk_wraps", any(behind) and not all(behind))
        hit("walk_start_too_large", moves > 0 and policy.select_start >= sets)
        return events


class WatchedCore(GoldenCore):
    """The golden model, which tells `hit` (name, times) of every coverpoint that the tracker meets."""

    def __init__(self, geometry: Geometry, hit: Callable[..., None]) -> None:
        self._hit = hit
        super().__init__(geometry)

    def _set_front(self, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        places = [place for word in words.tolist() if (place := self.place(word))]
        self._hit("front_repeated", len(places) - len({*places}))
        return super()._set_front(words)

    def clear(self) -> None:
        if hasattr(self, "tracker"):
            self._hit("front_cleared", bool(self.tracker.front))
        self.tracker = tracker = _WatchedTracker(self.geometry, self.hot_rows, self.counters, self.policy)
        tracker.watch(self._hit)

    def learned(self, words: np.ndarray, beats: np.ndarray) -> None:
        """Tells of hazards among the updates since the last call: those of a mini-batch of `words` in `beats`.

        Updates come to a bank side by side, if nothing pauses, when their lookups are in the same or the next beat.
        """
        if not isinstance(self.tracker, _WatchedTracker) or not self.tracker.updates:
            return
        updates, self.tracker.updates = self.tracker.updates, []
        at = [beat for word, beat in zip(words.tolist(), beats.tolist(), strict=True) if self.place(word)]
        banks: dict[int, list[tuple[_Update, int]]] = {}
        for update, beat in zip(updates, at, strict=True):
            banks.setdefault(update.bank, []).append((update, beat))
        for order in banks.values():
            for (first, beat), (second, then) in itertools.pairwise(order):
                if first.gset == second.gset and then - beat <= 1:
                    self._hit("hazard_distance_1")
                    self._hit("hazard_key_taken_in", first.took_in and first.tag == second.tag)
                    self._hit("hazard_key_driven_out", first.drove_out == second.tag)
            for (first, beat), (between, _), (second, then) in zip(order, order[1:], order[2:], strict=False):
                if first.gset == second.gset != between.gset and then - beat <= 1:
                    self._hit("hazard_distance_2", not first.took_in)
