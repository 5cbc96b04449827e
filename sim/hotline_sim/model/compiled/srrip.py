"""The SRRIP tracker of the golden model, compiled: see `model_srrip`."""

from __future__ import annotations

import numpy as np

from hotline_device.compiled import compiled
from hotline_hw.spec.regmap import Error
from hotline_hw.spec.words import ENTRY_RRPV, ENTRY_VALID, HIT_FIELD, ROW_FIELD

from .sets import OUT_OF_RANGE, FastTracker, ones

__all__ = ["FastSrrip"]

U = np.uint64  # Numba turns a sum of signed and unsigned into a float, so everything here is unsigned
_ZERO, _ONE = U(0), U(1)
_VALID = U(ones(ENTRY_VALID))
_RRPV_LOW, _RRPV_MASK = U(ENTRY_RRPV.low), U(ENTRY_RRPV.mask)
_RRPV_STEP = U(1 << ENTRY_RRPV.low)
_NOT_RRPV = ~U(ones(ENTRY_RRPV))
_HIT, _NOT_ROW = U(ones(HIT_FIELD)), ~U(ones(ROW_FIELD))
_NOWHERE = OUT_OF_RANGE


@compiled(inline="always")
def _insert(entries, gset, ways, wanted, distant):
    """Puts the key of entry word `wanted` (RRPV 0) into a set with ways in quota. Returns 1 if it evicted another."""
    victim = ways
    largest = _ZERO
    for way in range(ways):
        entry = entries[gset, way]
        if entry == _ZERO:
            entries[gset, way] = wanted | (distant - _ONE) << _RRPV_LOW
            return _ZERO
        rrpv = (entry >> _RRPV_LOW) & _RRPV_MASK
        if victim == ways or rrpv > largest:
            victim, largest = way, rrpv
    aging = (distant - largest) * _RRPV_STEP
    if aging != _ZERO:
        for way in range(ways):
            entries[gset, way] += aging
    entries[gset, victim] = wanted | (distant - _ONE) << _RRPV_LOW
    return _ONE


@compiled()
def _run(mixed, results, learn, quota, distant, entries):
    """Returns inserts and evictions."""
    inserts = evictions = _ZERO
    set_mask = (_ONE << quota.index_bits) - _ONE
    for i in range(mixed.size):
        key = mixed[i]
        if key == _NOWHERE:
            continue
        gset = key & set_mask  # the tag's low bits stand just above the bank
        ways = quota.each + _ONE if gset < quota.extra else quota.each
        wanted = _VALID | key >> quota.bank_bits
        hit = False
        for way in range(ways):
            if entries[gset, way] & _NOT_RRPV == wanted:
                hit = True
                if learn:
                    entries[gset, way] = wanted
                results[i] = (results[i] & _NOT_ROW) | _HIT | way << quota.index_bits | gset
                break
        if learn and not hit and ways != _ZERO:
            inserts += _ONE
            evictions += _insert(entries, gset, ways, wanted, distant)
    return inserts, evictions


class FastSrrip(FastTracker):
    """`SrripTracker`, compiled."""

    def run(self, mixed: np.ndarray, results: np.ndarray, learn: bool) -> None:
        distant = U((1 << self.geometry.rrpv_bits) - 1)
        inserts, evictions = _run(mixed, results, learn, self.quota, distant, self.entries)
        self.counters["inserts"] += int(inserts)
        self.counters["evictions"] += int(evictions)

    def dump(self) -> np.ndarray:
        return self.entries.copy()

    def restore(self, rows: np.ndarray) -> Error:
        return self._restored(rows[: len(self.entries)], ones(ENTRY_RRPV, self.geometry.rrpv_bits))[1]
