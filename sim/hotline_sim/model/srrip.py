"""The golden model's SRRIP tracker: every entry is a hot row."""

from __future__ import annotations

import numpy as np

from hotline_hw.spec.regmap import Error
from hotline_hw.spec.words import ENTRY_RRPV, ENTRY_TAG, ENTRY_VALID

from .sets import Place, Tracker, get

__all__ = ["SrripTracker"]


class SrripTracker(Tracker):
    """SRRIP with hit promotion (Jaleel et al., ISCA 2010). "Distant" is 2^M - 1, "long" 2^M - 2 (0 where M = 1)."""

    def slot(self, gset: int, way: int) -> int:
        """Slot of an entry. Entries within quota have exactly the slots 0 to N - 1: the hot table is dense."""
        return way << self.index_bits | gset

    def lookup(self, place: Place, learn: bool) -> int | None:
        """Slot of the key as found before the lookup's own update, None where it is cold; then the update."""
        way = self.find(place)
        if learn:
            self._learn(place, way)
        return None if way is None else self.slot(place.gset, way)

    def _learn(self, place: Place, way: int | None) -> None:
        """Trains with one lookup that hit in `way`, or missed (None)."""
        entries = self.sets[place.gset][: self.quota(place.gset)]  # the ways in quota
        distant = (1 << self.geometry.rrpv_bits) - 1
        if way is not None:  # a hit: promoted, it will be referenced soon
            entries[way].rrpv = 0
            return
        if not entries:  # no way in the budget: nothing to learn
            return

        self.counters["inserts"] += 1
        free = [way for way, entry in enumerate(entries) if not entry.valid]
        if free:
            victim = free[0]
        else:
            # The lowest way of the largest RRPV goes. SRRIP's search ages all ways by one until one is distant;
            # that is the same as to age all at once by what the largest lacks.
            self.counters["evictions"] += 1
            largest = max(entry.rrpv for entry in entries)
            victim = [entry.rrpv for entry in entries].index(largest)
            for entry in entries:
                entry.rrpv += distant - largest
        entry = entries[victim]
        entry.valid, entry.tag, entry.rrpv = True, place.tag, distant - 1

    def dump(self) -> np.ndarray:
        words = np.zeros((1 << self.index_bits, self.geometry.ways), np.uint64)
        for gset, entries in self.sets.items():
            for way, entry in enumerate(entries):
                if entry.valid:
                    words[gset, way] = 1 << ENTRY_VALID.low | entry.rrpv << ENTRY_RRPV.low | entry.tag << ENTRY_TAG.low
        return words

    def restore(self, rows: np.ndarray) -> Error:
        errors = Error(0)
        for gset, row in enumerate(rows[: 1 << self.index_bits]):
            entries, error = self._restored(gset, row)
            errors |= error
            for _, word, entry in entries:
                entry.rrpv = get(word, ENTRY_RRPV) & ((1 << self.geometry.rrpv_bits) - 1)
        return errors
