"""The golden model: the specification of the accelerator, one lookup at a time.

The hardware equals this file bit for bit: result words, tracker contents, error bits and all counters that are not
timing. Nothing here depends on clock cycles. It uses NumPy alone and is written to be read;
`hotline_sim.model.compiled.core` is the fast version, and tests compare the two.

Terms. A *lookup word* names a (table, row), as `hotline_hw.spec.words` lays out. Samples are runs of lookup words, a
mini-batch is one AXI4-Stream packet of samples. The *tracker* is a set-associative memory of keys that decides which
rows are hot; a hot row's *slot* is its index in the GPU's hot table. `sets` says where a key belongs,
`sample_aware` what the tracker makes of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from hotline_hw.spec.feistel import mix
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.policy import Policy
from hotline_hw.spec.regmap import COUNTERS, Error, Phase
from hotline_hw.spec.words import (
    HIT_FIELD,
    LAST_FIELD,
    PAYLOAD_FIELD,
    RESERVED_FIELD,
    ROW_FIELD,
    SAMPLE_FIELD,
    TABLE_FIELD,
)

from .sample_aware import SampleAwareTracker
from .sets import Entry, Place, get

__all__ = ["GoldenCore", "Entry", "Place"]


class Lookup(NamedTuple):
    """A lookup word, the index of its sample in the mini-batch, and whether it ends that sample."""

    word: int
    sample: int
    last: bool


class GoldenCore:
    """The accelerator at the level of CSRs and packets.

    Attributes:
        geometry: what it is built with.
        tracker: the tracker with its contents, made anew by CLEAR.
        policy: run-time settings of the tracker.
        hot_rows: N, the budget: the most rows that may be hot. Resets to as many as can be.
        errors: sticky ERROR bits; whoever reads them clears them.
        counters: every counter of `regmap.COUNTERS` that is not timing, by name. 64 bits in hardware.
        answers: uint64 [n], a result word for each lookup of the last mini-batch, in stream order; also after LEARN.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.policy = Policy()
        self.errors = Error(0)
        self.counters: dict[str, int] = {counter.name: 0 for counter in COUNTERS if not counter.timing}
        self.answers = np.empty(0, np.uint64)
        self.set_hot_rows(geometry.hot_capacity)

    # Budget

    def set_hot_rows(self, hot_rows: int) -> bool:
        """Sets the budget N and clears the tracker. A budget above `hot_capacity` is ignored, with HOT_ROWS_RANGE.

        Returns whether it was accepted.
        """
        if not 0 <= hot_rows <= self.geometry.hot_capacity:
            self.errors |= Error.HOT_ROWS_RANGE
            return False
        self.hot_rows = hot_rows
        self.clear()
        return True

    @property
    def index_bits(self) -> int:
        """k, log2 of the sets in use, all banks together."""
        return self.geometry.index_bits_in_use(self.hot_rows)

    @property
    def hot_count(self) -> int:
        """HOT_COUNT: rows that are hot."""
        return self.tracker.hot_count

    @property
    def threshold(self) -> int:
        """THRESHOLD: counter from which the last SELECT thought a row popular."""
        return self.tracker.threshold

    # Commands

    def clear(self) -> None:
        """CLEAR: every entry of the tracker becomes invalid, and the front table empty."""
        self.tracker = SampleAwareTracker(self.geometry, self.hot_rows, self.counters, self.policy)

    def reset_counters(self) -> None:
        """RESET_COUNTERS: every live counter becomes zero."""
        self.counters.update(dict.fromkeys(self.counters, 0))

    def dump(self) -> np.ndarray:
        """DUMP: the sets in use, uint64 [2^k * state_rows_per_set, ways]; gset 0 first, way 0 first."""
        return self.tracker.dump()

    def restore(self, rows: np.ndarray) -> None:
        """RESTORE: the tracker becomes what `rows` (uint64 [any, ways], a packet of s_axis_state) says.

        Every set that the packet tells of wholly is judged as it comes (see `SampleAwareTracker.restore`), whatever the
        length of the packet; one that is not as long as DUMP's then leaves the tracker cleared, with RESTORE_LENGTH.
        """
        self.clear()
        self.errors |= self.tracker.restore(rows)
        if len(rows) != self.geometry.state_rows_per_set << self.index_bits:
            self.errors |= Error.RESTORE_LENGTH
            self.clear()

    def select(self) -> np.ndarray:
        """SELECT: see `SampleAwareTracker.select`."""
        return self.tracker.select()

    # Mini-batches

    def run_batch(self, words: np.ndarray, phase: int) -> tuple[np.ndarray, np.ndarray]:
        """One mini-batch: uint64 [n] lookup words in, (popular, nonpopular) uint64 result words out.

        LEARN trains the tracker and returns two empty packets. CLASSIFY only reads the tracker; a sample all of whose
        lookups hit leaves in the popular packet, any other in the nonpopular one, both in input order. RELEARN does
        both: each sample is classified before it is learned from. FRONT names the rows of the front table, see
        `_set_front`, and returns two empty packets.
        """
        counters = self.counters
        counters["batches"] += 1
        if phase == Phase.FRONT:
            return self._set_front(words)
        if len(words) == 0:
            self.errors |= Error.EMPTY_BATCH
        learn = phase != Phase.CLASSIFY

        popular: list[int] = []
        nonpopular: list[int] = []
        answers: list[int] = []
        results: list[int] = []  # of the current sample
        sample: list[tuple[Place | None, bool]] = []  # its lookups: place, missed
        for lookup in self._frame(words):
            counters["lookups"] += 1
            place = self.place(lookup.word)
            slot = None
            if place is None:  # out of range: a miss, not learned
                self.errors |= Error.INDEX_RANGE
                counters["index_errors"] += 1
            else:
                slot = self.tracker.lookup(place)
            counters["lookup_hits"] += slot is not None
            results.append(self._result_word(lookup, slot))
            sample.append((place, slot is None))

            if lookup.last:
                all_hit = not any(missed for _, missed in sample)
                counters["samples"] += 1
                counters["popular_samples"] += all_hit
                answers += results
                if phase != Phase.LEARN:
                    (popular if all_hit else nonpopular).extend(results)
                if learn:
                    self.tracker.learn(sample)
                results, sample = [], []
        self.tracker.end_batch()
        self.answers = np.array(answers, np.uint64)
        return np.array(popular, np.uint64), np.array(nonpopular, np.uint64)

    def _set_front(self, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A mini-batch in phase FRONT: the rows that it names take the place of those in the front table.

        It is cut into samples like any other, with the same errors, but nothing else comes of that. Words out of range
        are left out, and so are rows that were named before. Of more than `front_rows` rows the first ones count, with
        FRONT_LENGTH. No row at all empties the table.
        """
        front: list[Place] = []
        for lookup in self._frame(words):
            place = self.place(lookup.word)
            if place is None:
                self.errors |= Error.INDEX_RANGE
            elif place in front:
                pass
            elif len(front) == self.geometry.front_rows:
                self.errors |= Error.FRONT_LENGTH
            else:
                front.append(place)
        self.tracker.set_front(front)
        self.answers = np.empty(0, np.uint64)
        return np.empty(0, np.uint64), np.empty(0, np.uint64)

    def _frame(self, words: np.ndarray) -> Iterator[Lookup]:
        """Cuts a mini-batch into samples.

        A sample ends with the word whose `last` bit is set. The core also ends it
        - at its lookup number max_lookups if that has no `last`, with SAMPLE_TOO_LONG (the next word starts a sample);
        - at the final word of the mini-batch if that has no `last`, with SAMPLE_OPEN.
        If both apply, only SAMPLE_TOO_LONG is raised.

        Samples are numbered from 0. The first lookup of sample number max_samples raises BATCH_TOO_LONG; numbers go on,
        and result words carry them modulo 2^22.
        """
        sample = length = 0
        for position, word in enumerate(words.tolist()):
            if sample == self.geometry.max_samples:
                self.errors |= Error.BATCH_TOO_LONG
            length += 1
            last = bool(get(word, LAST_FIELD))
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

    def _result_word(self, lookup: Lookup, slot: int | None) -> int:
        """The result word. A miss carries the lookup's 40-bit payload unchanged, even if it is out of range."""
        word = lookup.last << LAST_FIELD.low | (lookup.sample & SAMPLE_FIELD.mask) << SAMPLE_FIELD.low
        if slot is None:
            return word | get(lookup.word, PAYLOAD_FIELD)
        return word | 1 << HIT_FIELD.low | get(lookup.word, TABLE_FIELD) << TABLE_FIELD.low | slot

    def place(self, word: int) -> Place | None:
        """Set and tag of a lookup word; None if its table or row is too large or a reserved bit is set."""
        geometry = self.geometry
        table, row = get(word, TABLE_FIELD), get(word, ROW_FIELD)
        if get(word, RESERVED_FIELD) or table >> geometry.table_bits or row >> geometry.row_bits:
            return None
        mixed = mix(table << geometry.row_bits | row, geometry.key_bits)
        bank = mixed & (geometry.banks - 1)
        tag = mixed >> geometry.bank_bits
        sets = 1 << (self.index_bits - geometry.bank_bits)  # in use in each bank
        return Place((tag & (sets - 1)) << geometry.bank_bits | bank, tag)
