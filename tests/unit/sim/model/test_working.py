"""The golden model of the lists of unique cold rows, against one with dictionaries that lists lookups one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotline_hw.spec.descriptors import COLD_BANK, COLD_HELD, COLD_LOCAL, NOT_LISTED, SUMMARY_LISTS, VALUE_FIELD
from hotline_hw.spec.feistel import mix
from hotline_hw.spec.params import Geometry, preset
from hotline_hw.spec.words import LAST_FIELD
from hotline_sim.bench.stimulus import crowded_keys, key_words, random_keys
from hotline_sim.model.working import WorkingLists
from tests.support.strategies import seeds


@st.composite
def shells(draw: st.DrawFn) -> Geometry:
    """Geometries with a shell and little room in their lists."""
    banks = 1 << draw(st.integers(1, 7))
    key_bits = 2 * draw(st.integers(4, 20))
    table_bits = draw(st.integers(max(1, key_bits - 32), min(8, key_bits - 1)))
    return Geometry(
        lanes=2, banks=banks, sets=2, ways=2, table_bits=table_bits, row_bits=key_bits - table_bits,
        bank_ports=1, queue_depth=4, beat_depth=4, axi_bits=128,
        working_rows=banks << draw(st.integers(1, 4)), read_tags=2, read_beats=32,
    )  # fmt: skip


class Naive:
    """The lists as dictionaries: a row's word -> (held, bank, number)."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.places: dict[int, tuple[int, int, int]] = {}
        self.full = False

    def list_batch(self, words: list[int]) -> list[int]:
        before, self.places, self.full = self.places, {}, False
        return [self.place(word & ~(1 << LAST_FIELD.low), before) for word in words]

    def place(self, word: int, before: dict) -> int:
        g = self.geometry
        table, row = word >> 32, word & 0xFFFF_FFFF
        bank = mix(table << g.row_bits | row, g.key_bits) % g.banks
        if word not in self.places:
            held = int(word in before)
            in_bank = [place for place in self.places.values() if place[1] == bank]
            if len(in_bank) == g.working_rows // g.banks:
                self.full = True
                return NOT_LISTED
            self.places[word] = (held, bank, sum(place[0] == held for place in in_bank))
        held, bank, number = self.places[word]
        return held << COLD_HELD.low | bank << COLD_BANK.low | number << COLD_LOCAL.low

    def counts(self) -> list[int]:
        lists = [128 * held + bank for held, bank, _ in self.places.values()]
        return [lists.count(index) for index in range(SUMMARY_LISTS)]

    def keys(self, held: bool) -> list[int]:
        return [word for word, place in sorted(self.places.items(), key=lambda item: item[1]) if place[0] == held]


@pytest.mark.long
@settings(max_examples=200, deadline=None)
@given(shells(), seeds, st.integers(1, 8))
def test_lists_are_those_of_the_naive_model(geometry, seed, batches):
    rng = np.random.default_rng(seed)
    pool = random_keys(rng, geometry, int(rng.integers(1, 2 * geometry.working_rows)))
    crowd = crowded_keys(
        rng, geometry, len(pool), shared_bits=geometry.bank_bits, different=2 * geometry.working_rows // geometry.banks
    )
    lists, naive = WorkingLists(geometry), Naive(geometry)
    for _ in range(batches):
        keys = rng.choice(crowd if rng.random() < 0.3 else pool, int(rng.integers(0, 3 * len(pool) + 1)))
        words = key_words(geometry, keys, last=bool(rng.random() < 0.5))  # `last` is not part of a row's name
        assert lists.list_batch(words).tolist() == naive.list_batch(words.tolist())
        assert lists.full == naive.full
        assert lists.counts.tolist() == naive.counts()
        for held in (False, True):
            found = lists.keys(held)
            assert found.dtype == np.uint64 and found.tolist() == naive.keys(held)


def test_clear_forgets_what_would_be_held():
    geometry = preset("tiny")
    lists = WorkingLists(geometry)
    words = key_words(geometry, np.arange(8), last=False)
    first = lists.list_batch(words)
    assert not (first >> COLD_HELD.low).any()
    assert (lists.list_batch(words) == first | 1 << COLD_HELD.low).all(), "the same rows are held"
    assert lists.counts[128:].sum() == 8 and len(lists.keys(True)) == 8
    lists.clear()
    assert not lists.counts.any() and not lists.full and not len(lists.keys(False)) and not len(lists.keys(True))
    assert (lists.list_batch(words) == first).all()


def test_what_found_no_room_is_not_held_later():
    geometry = preset("tiny")
    room = geometry.working_rows // geometry.banks
    keys = crowded_keys(np.random.default_rng(1), geometry, 400, shared_bits=geometry.bank_bits, different=2 * room)
    words = np.unique(key_words(geometry, keys, last=False))
    assert len(words) > room
    lists = WorkingLists(geometry)
    places = lists.list_batch(words)
    assert lists.full and (places[:room] != NOT_LISTED).all() and (places[room:] == NOT_LISTED).all()
    assert (lists.list_batch(words[room:]) >> COLD_HELD.low == 0).all() and not lists.full


def test_no_place_looks_like_not_listed():
    """NOT_LISTED is the last number of the last bank's held list. No geometry has that many."""
    assert NOT_LISTED == VALUE_FIELD.mask
    longest = (1 << COLD_LOCAL.width) - 1
    most = Geometry(lanes=2, banks=128, sets=2, ways=2, bank_ports=1, queue_depth=4, axi_bits=128,
                    working_rows=128 << COLD_LOCAL.width - 1, read_tags=2, read_beats=32)  # fmt: skip
    assert most.working_rows // most.banks - 1 < longest
