"""The golden model: the specification of the accelerator, one lookup at a time.

The hardware equals this file bit for bit: result words, tracker contents, error bits and all counters that are not
timing. Nothing here knows of cycles, because none of it may depend on them. NumPy alone; readable first
(`hotline_sim.fast` is the same at speed, and tests hold the two equal).

Terms. A *lookup word* names a (table, row); `hotline_hw.words` has the layouts. Samples are runs of lookup words, a
mini-batch is one AXI4-Stream packet of samples. The *tracker* is a set-associative memory of keys that decides which
rows are hot; a hot row's *slot* is its index in the GPU's hot table.

    lookup word --> key --> mixed key = | ....... tag ....... | bank |      (tag: full, the set bits are part of it)
                                        | ...... | set | bank |             gset = set << bank_bits | bank, k bits
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hotline_hw.feistel import mix
from hotline_hw.params import Geometry
from hotline_hw.regmap import COUNTERS, Error, Phase
from hotline_hw.words import (
    ENTRY_RRPV,
    ENTRY_TAG,
    ENTRY_VALID,
    HIT_FIELD,
    LAST_FIELD,
    PAYLOAD_FIELD,
    RESERVED_FIELD,
    ROW_FIELD,
    SAMPLE_FIELD,
    TABLE_FIELD,
    Field,
)

__all__ = ["Accelerator", "Entry", "Place"]


@dataclass
class Entry:
    """One way of one set. An invalid entry is all zero."""

    valid: bool = False
    rrpv: int = 0  # re-reference prediction value, 0 (soon) to 2^M - 1 (distant)
    tag: int = 0


class Place(NamedTuple):
    """Where a key belongs: its global set index, and the tag that it must have there."""

    gset: int
    tag: int


class Lookup(NamedTuple):
    """A lookup word with its place in the mini-batch: sample index, and whether its sample ends with it."""

    word: int
    sample: int
    last: bool


def _get(word: int, field: Field) -> int:
    return word >> field.low & field.mask


class Accelerator:
    """The accelerator at the level of CSRs and packets.

    Attributes:
        geometry: what it is built with.
        hot_rows: N, the budget: the most rows that may be hot. Resets to every entry.
        index_bits: k, log2 of the sets in use, all banks together.
        errors: sticky ERROR bits; whoever reads them clears them.
        counters: every counter of `regmap.COUNTERS` that is not timing, by name. 64 bits in hardware.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.errors = Error(0)
        self.counters: dict[str, int] = {}
        self.reset_counters()
        self.set_hot_rows(geometry.entries)

    # Budget

    def set_hot_rows(self, hot_rows: int) -> bool:
        """Sets the budget N and clears the tracker; above `entries` it is ignored, with HOT_ROWS_RANGE.

        Returns whether it was accepted.
        """
        if not 0 <= hot_rows <= self.geometry.entries:
            self.errors |= Error.HOT_ROWS_RANGE
            return False
        self.hot_rows = hot_rows
        self.index_bits = self.geometry.index_bits_in_use(hot_rows)
        self.clear()
        return True

    def quota(self, gset: int) -> int:
        """Ways in use in a set. Over all 2^k sets that sums to exactly N, evenly to within one way."""
        each, extra = self.hot_rows >> self.index_bits, self.hot_rows & ((1 << self.index_bits) - 1)
        return each + (1 if gset < extra else 0)

    def slot(self, gset: int, way: int) -> int:
        """Slot of an entry. Entries within quota have exactly the slots 0 to N - 1: the hot table is dense."""
        return way << self.index_bits | gset

    # Commands

    def clear(self) -> None:
        """CLEAR: every entry of the tracker becomes invalid."""
        self._sets: dict[int, list[Entry]] = defaultdict(lambda: [Entry() for _ in range(self.geometry.ways)])

    def reset_counters(self) -> None:
        """RESET_COUNTERS: every live counter becomes zero."""
        self.counters = {counter.name: 0 for counter in COUNTERS if not counter.timing}

    def dump(self) -> np.ndarray:
        """DUMP: the sets in use as entry words, uint64 [2^k, ways]; row i is gset i, way 0 first."""
        words = np.zeros((1 << self.index_bits, self.geometry.ways), np.uint64)
        for gset, entries in self._sets.items():
            for way, entry in enumerate(entries):
                if entry.valid:
                    words[gset, way] = 1 << ENTRY_VALID.low | entry.rrpv << ENTRY_RRPV.low | entry.tag << ENTRY_TAG.low
        return words

    def restore(self, rows: np.ndarray) -> None:
        """RESTORE: the tracker becomes what `rows` (uint64 [any, ways], a packet of s_axis_state) says.

        - Every row that stands for a set in use is judged as it comes, whatever the length of the packet: an entry
          that is valid in a way outside the quota is dropped, with RESTORE_ENTRY.
        - A packet of more or fewer than 2^k rows leaves the tracker cleared, with RESTORE_LENGTH.
        - Only `valid`, the low M bits of the RRPV and the low tag_bits bits of the tag count; an invalid entry is
          stored as zero. The tag is not compared with its set: a tag that belongs elsewhere is stored and never hit.
        - No set may hold one tag twice. That is not checked, and what such a tag's lookups do is not specified.
        """
        geometry = self.geometry
        self.clear()
        for gset, row in enumerate(rows[: 1 << self.index_bits].tolist()):
            for way, word in enumerate(row):
                if not _get(word, ENTRY_VALID):
                    continue
                if way >= self.quota(gset):
                    self.errors |= Error.RESTORE_ENTRY
                    continue
                rrpv = _get(word, ENTRY_RRPV) & ((1 << geometry.rrpv_bits) - 1)
                tag = _get(word, ENTRY_TAG) & ((1 << geometry.tag_bits) - 1)
                self._sets[gset][way] = Entry(True, rrpv, tag)
        if len(rows) != 1 << self.index_bits:
            self.errors |= Error.RESTORE_LENGTH
            self.clear()

    # Mini-batches

    def run_batch(self, words: np.ndarray, phase: int) -> tuple[np.ndarray, np.ndarray]:
        """One mini-batch: uint64 [n] lookup words in, (popular, nonpopular) uint64 result words out.

        LEARN trains the tracker lookup by lookup and returns two empty packets. CLASSIFY only reads the tracker; a
        sample all of whose lookups hit leaves in the popular packet, any other in the nonpopular one, both in input
        order. Hit and miss are those found just before the lookup's own update, in either phase.
        """
        counters = self.counters
        counters["batches"] += 1
        if len(words) == 0:
            self.errors |= Error.EMPTY_BATCH

        popular: list[int] = []
        nonpopular: list[int] = []
        results: list[int] = []  # of the sample that is open
        all_hit = True
        for lookup in self._frame(words):
            counters["lookups"] += 1
            place = self.place(lookup.word)
            way = None
            if place is None:  # out of range: a miss, not learned
                self.errors |= Error.INDEX_RANGE
                counters["index_errors"] += 1
            else:
                way = self.find(place)
                if phase == Phase.LEARN:
                    self._learn(place, way)
            if way is None:
                all_hit = False
            else:
                counters["lookup_hits"] += 1
            results.append(self._result_word(lookup, place, way))

            if lookup.last:
                counters["samples"] += 1
                counters["popular_samples"] += all_hit
                if phase == Phase.CLASSIFY:
                    (popular if all_hit else nonpopular).extend(results)
                results, all_hit = [], True
        return np.array(popular, np.uint64), np.array(nonpopular, np.uint64)

    def _frame(self, words: np.ndarray) -> Iterator[Lookup]:
        """Cuts a mini-batch into samples.

        A sample ends with the word whose `last` bit is set, and is ended by the core
        - at its lookup number max_lookups if that has no `last`, with SAMPLE_TOO_LONG (the next word starts a sample);
        - at the final word of the mini-batch if that has no `last`, with SAMPLE_OPEN.
        Where both apply, the first counts: that sample is too long, and none is open behind it.

        Samples are numbered from 0. The first lookup of sample number max_samples raises BATCH_TOO_LONG; numbers go on,
        and result words carry them modulo 2^22.
        """
        sample = length = 0
        for position, word in enumerate(words.tolist()):
            if sample == self.geometry.max_samples:
                self.errors |= Error.BATCH_TOO_LONG
            length += 1
            last = bool(_get(word, LAST_FIELD))
            too_long = length == self.geometry.max_lookups and not last
            left_open = position == len(words) - 1 and not last and not too_long
            if too_long:
                self.errors |= Error.SAMPLE_TOO_LONG
            if left_open:
                self.errors |= Error.SAMPLE_OPEN
            ends = last or too_long or left_open
            yield Lookup(word, sample, ends)
            if ends:
                sample, length = sample + 1, 0

    def _result_word(self, lookup: Lookup, place: Place | None, way: int | None) -> int:
        """The result word. A miss carries the lookup's 40-bit payload as it came, even where it is out of range."""
        word = lookup.last << LAST_FIELD.low | (lookup.sample & SAMPLE_FIELD.mask) << SAMPLE_FIELD.low
        if place is None or way is None:
            return word | _get(lookup.word, PAYLOAD_FIELD)
        table = _get(lookup.word, TABLE_FIELD)
        return word | 1 << HIT_FIELD.low | table << TABLE_FIELD.low | self.slot(place.gset, way)

    # The tracker

    def place(self, word: int) -> Place | None:
        """Set and tag of a lookup word; None if its table or row is too large or a reserved bit is set."""
        geometry = self.geometry
        table, row = _get(word, TABLE_FIELD), _get(word, ROW_FIELD)
        if _get(word, RESERVED_FIELD) or table >> geometry.table_bits or row >> geometry.row_bits:
            return None
        mixed = mix(table << geometry.row_bits | row, geometry.key_bits)
        bank = mixed & (geometry.banks - 1)
        tag = mixed >> geometry.bank_bits
        sets = 1 << (self.index_bits - geometry.bank_bits)  # in use in each bank
        return Place((tag & (sets - 1)) << geometry.bank_bits | bank, tag)

    def find(self, place: Place) -> int | None:
        """The way that holds the key, or None. Ways outside the quota are never valid."""
        if place.gset in self._sets:
            for way, entry in enumerate(self._sets[place.gset]):
                if entry.valid and entry.tag == place.tag:
                    return way
        return None

    def _learn(self, place: Place, way: int | None) -> None:
        """Trains the tracker with one lookup that hit in `way`, or missed (None): SRRIP with hit promotion.

        Jaleel et al., ISCA 2010. "Distant" is 2^M - 1 and "long" is 2^M - 2 (0 where M = 1).
        """
        entries = self._sets[place.gset][: self.quota(place.gset)]  # the ways in quota
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
