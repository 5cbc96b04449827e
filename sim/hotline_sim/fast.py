"""The golden model at speed: the same rules as `hotline_sim.model`, compiled over a whole mini-batch.

The tracker is one uint64 array of entry words, in the very layout and order of a DUMP. That costs 8 bytes an entry,
for the sets in use alone, and turns comparing a tag into comparing a word.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from hotline_hw.feistel import ROUNDS, rotations, round_constant
from hotline_hw.params import Geometry
from hotline_hw.regmap import Error, Phase
from hotline_hw.words import (
    ENTRY_RRPV,
    ENTRY_TAG,
    ENTRY_VALID,
    HIT_FIELD,
    LAST_FIELD,
    PAYLOAD_FIELD,
    ROW_FIELD,
    SAMPLE_FIELD,
    TABLE_FIELD,
    Field,
)

from .model import Accelerator

__all__ = ["FastAccelerator"]

U = np.uint64  # Numba turns a sum of signed and unsigned into a float, so everything here is unsigned
_ZERO, _ONE = U(0), U(1)
_VALID = U(1 << ENTRY_VALID.low)
_RRPV_LOW, _RRPV_MASK = U(ENTRY_RRPV.low), U(ENTRY_RRPV.mask)
_RRPV_STEP = U(1 << ENTRY_RRPV.low)
_NOT_RRPV = U(~(ENTRY_RRPV.mask << ENTRY_RRPV.low) & 0xFFFF_FFFF_FFFF_FFFF)
_LAST, _HIT = U(1 << LAST_FIELD.low), U(1 << HIT_FIELD.low)
_SAMPLE_LOW, _SAMPLE_MASK = U(SAMPLE_FIELD.low), U(SAMPLE_FIELD.mask)
_TABLE_LOW, _TABLE_MASK = U(TABLE_FIELD.low), U(TABLE_FIELD.mask)
_TABLE_PLACE = U(TABLE_FIELD.mask << TABLE_FIELD.low)
_PAYLOAD_MASK, _ROW_MASK = U(PAYLOAD_FIELD.mask), U(ROW_FIELD.mask)

_TOO_LONG, _OPEN = U(Error.SAMPLE_TOO_LONG), U(Error.SAMPLE_OPEN)
_BATCH_TOO_LONG, _INDEX_RANGE = U(Error.BATCH_TOO_LONG), U(Error.INDEX_RANGE)


class _Network(NamedTuple):
    """The key hash, all uint64: see `hotline_hw.feistel`."""

    row_bits: np.uint64
    half_bits: np.uint64
    mask: np.uint64  # of one half
    first: np.uint64
    shift: np.uint64
    second: np.uint64
    fold: np.uint64


class _Shape(NamedTuple):
    """What the kernel needs of geometry and budget, all uint64."""

    illegal: np.uint64  # bits that no lookup word in range has
    bank_bits: np.uint64
    index_bits: np.uint64
    each: np.uint64  # ways in quota in every set
    extra: np.uint64  # sets, from 0 up, that have one more
    distant: np.uint64  # largest RRPV
    max_lookups: np.uint64
    max_samples: np.uint64


class _Tally(NamedTuple):
    """What a mini-batch did: counters, error bits, and the words in each result packet, all uint64."""

    samples: np.uint64
    popular_samples: np.uint64
    lookup_hits: np.uint64
    inserts: np.uint64
    evictions: np.uint64
    index_errors: np.uint64
    errors: np.uint64
    popular: np.uint64
    nonpopular: np.uint64


@njit(cache=True, nogil=True)
def _mix(words, network, constants, mixed):
    """Mixed key of every lookup word (of no meaning where the word is out of range). Apart, so that it vectorises."""
    n = network
    first_back, second_back = n.half_bits - n.first, n.half_bits - n.second
    for i in range(words.size):
        word = words[i]
        key = ((word >> _TABLE_LOW) & _TABLE_MASK) << n.row_bits | (word & _ROW_MASK)
        left, right = (key >> n.half_bits) & n.mask, key & n.mask
        for constant in constants:
            x = (right + ((right << n.first) | (right >> first_back)) & n.mask) + constant & n.mask
            x ^= x >> n.shift
            x = (x + ((x << n.second) | (x >> second_back)) & n.mask) & n.mask
            x ^= x >> n.fold
            left, right = right, left ^ x
        mixed[i] = left << n.half_bits | right


@njit(cache=True, nogil=True, inline="always")
def _insert(entries, gset, quota, wanted, distant):
    """Puts the key of entry word `wanted` (RRPV 0) into a set with ways in quota. Returns 1 if it evicted another."""
    victim = quota
    largest = _ZERO
    for way in range(quota):
        entry = entries[gset, way]
        if entry == _ZERO:
            entries[gset, way] = wanted | (distant - _ONE) << _RRPV_LOW
            return _ZERO
        rrpv = (entry >> _RRPV_LOW) & _RRPV_MASK
        if victim == quota or rrpv > largest:
            victim, largest = way, rrpv
    aging = (distant - largest) * _RRPV_STEP
    if aging != _ZERO:
        for way in range(quota):
            entries[gset, way] += aging
    entries[gset, victim] = wanted | (distant - _ONE) << _RRPV_LOW
    return _ONE


@njit(cache=True, nogil=True)
def _run(words, mixed, learn, shape, entries, popular, nonpopular):
    """One mini-batch. `popular` and `nonpopular` are room for all words where `learn` is false, else not touched."""
    samples = popular_samples = hits = inserts = evictions = index_errors = errors = _ZERO
    popular_end = nonpopular_end = length = _ZERO
    all_hit = True
    set_mask = (_ONE << shape.index_bits) - _ONE
    final = words.size - 1
    for i in range(words.size):
        word = words[i]
        last = word & _LAST
        length += _ONE
        if samples >= shape.max_samples:
            errors |= _BATCH_TOO_LONG
        if last == _ZERO:
            if length == shape.max_lookups:
                errors |= _TOO_LONG
                last = _LAST
            elif i == final:
                errors |= _OPEN
                last = _LAST

        result = last | (samples & _SAMPLE_MASK) << _SAMPLE_LOW
        hit = False
        if word & shape.illegal != _ZERO:
            errors |= _INDEX_RANGE
            index_errors += _ONE
        else:
            gset = mixed[i] & set_mask  # the tag's low bits stand just above the bank
            quota = shape.each + _ONE if gset < shape.extra else shape.each
            wanted = _VALID | mixed[i] >> shape.bank_bits
            for way in range(quota):
                if entries[gset, way] & _NOT_RRPV == wanted:
                    hit = True
                    hits += _ONE
                    if learn:
                        entries[gset, way] = wanted
                    else:
                        result |= _HIT | (word & _TABLE_PLACE) | way << shape.index_bits | gset
                    break
            if learn and not hit and quota != _ZERO:
                inserts += _ONE
                evictions += _insert(entries, gset, quota, wanted, shape.distant)
        if not hit:
            all_hit = False
            result |= word & _PAYLOAD_MASK

        if not learn:  # written to both packets; the end of the sample says which of them keeps it
            popular[popular_end + length - _ONE] = result
            nonpopular[nonpopular_end + length - _ONE] = result
        if last != _ZERO:
            samples += _ONE
            if all_hit:
                popular_samples += _ONE
                popular_end += length
            else:
                nonpopular_end += length
            length = _ZERO
            all_hit = True
    return _Tally(samples, popular_samples, hits, inserts, evictions, index_errors, errors, popular_end, nonpopular_end)


def _ones(field: Field, width: int) -> int:
    """The low `width` bits of a field, in place."""
    return ((1 << width) - 1) << field.low


class FastAccelerator(Accelerator):
    """Drop-in for `Accelerator`: equal bit for bit, about four orders of magnitude faster. Kernels release the GIL."""

    def __init__(self, geometry: Geometry) -> None:
        half_bits = geometry.key_bits // 2
        amounts = rotations(half_bits)
        self._constants = np.array([round_constant(i, half_bits) for i in range(ROUNDS)], np.uint64)
        self._network = _Network(*map(U, (geometry.row_bits, half_bits, (1 << half_bits) - 1, *amounts)))
        self._kept = U(  # bits of an entry word that RESTORE keeps
            _ones(ENTRY_VALID, 1) | _ones(ENTRY_RRPV, geometry.rrpv_bits) | _ones(ENTRY_TAG, geometry.tag_bits)
        )
        super().__init__(geometry)

    def clear(self) -> None:
        geometry = self.geometry
        legal = _ones(LAST_FIELD, 1) | _ones(TABLE_FIELD, geometry.table_bits) | _ones(ROW_FIELD, geometry.row_bits)
        sets = 1 << self.index_bits
        shape = (
            ~legal & 0xFFFF_FFFF_FFFF_FFFF,
            geometry.bank_bits,
            self.index_bits,
            self.hot_rows >> self.index_bits,
            self.hot_rows & (sets - 1),
            (1 << geometry.rrpv_bits) - 1,
            geometry.max_lookups,
            geometry.max_samples,
        )
        self._shape = _Shape(*map(U, shape))
        self._entries = np.zeros((sets, geometry.ways), np.uint64)

    def dump(self) -> np.ndarray:
        return self._entries.copy()

    def restore(self, rows: np.ndarray) -> None:
        self.clear()
        sets, ways = self._entries.shape
        taken = rows[:sets]
        each, extra = int(self._shape.each), int(self._shape.extra)
        quota = each + (np.arange(len(taken)) < extra)
        valid = (taken & _VALID) != 0
        within = np.arange(ways) < quota[:, None]
        if (valid & ~within).any():
            self.errors |= Error.RESTORE_ENTRY
        if len(rows) == sets:
            self._entries = np.where(valid & within, taken & self._kept, U(0))
        else:
            self.errors |= Error.RESTORE_LENGTH

    def run_batch(self, words: np.ndarray, phase: int) -> tuple[np.ndarray, np.ndarray]:
        learn = phase == Phase.LEARN
        room = 0 if learn else len(words)
        popular, nonpopular = np.empty(room, np.uint64), np.empty(room, np.uint64)
        mixed = np.empty(len(words), np.uint64)
        _mix(words, self._network, self._constants, mixed)
        tally = _run(words, mixed, learn, self._shape, self._entries, popular, nonpopular)

        counters = self.counters
        counters["batches"] += 1
        counters["lookups"] += len(words)
        for name in ("samples", "popular_samples", "lookup_hits", "inserts", "evictions", "index_errors"):
            counters[name] += int(getattr(tally, name))
        self.errors |= Error(int(tally.errors))
        if len(words) == 0:
            self.errors |= Error.EMPTY_BATCH
        if learn:
            return popular, nonpopular
        return popular[: int(tally.popular)], nonpopular[: int(tally.nonpopular)]
