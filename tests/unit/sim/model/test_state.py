"""DUMP and RESTORE of the golden model with SRRIP."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotline_hw.spec.params import PRESETS
from hotline_hw.spec.regmap import Error, Phase
from hotline_sim.bench.stimulus import key_words, keys_of_set, lookup_words, random_batches
from hotline_sim.model.core import GoldenCore
from tests.support.strategies import seeds, srrip_geometries

TINY = PRESETS["tiny"].override({"entries_per_hot_row": 1})
LAST = 1 << 63
U = np.uint64


@settings(max_examples=40, deadline=None)
@given(srrip_geometries, seeds, st.data())
def test_dump_and_restore_carry_the_tracker(geometry, seed, data):
    """A core restored from another's dump goes on exactly as the other does."""
    hot_rows = data.draw(st.integers(0, geometry.entries))
    batches = random_batches(np.random.default_rng(seed), geometry, 8, index_errors=0.05)
    first, second = GoldenCore(geometry), GoldenCore(geometry)
    for core in (first, second):
        core.set_hot_rows(hot_rows)
    for batch in batches[:4]:
        first.run_batch(batch, Phase.LEARN)
    second.restore(first.dump())
    assert second.errors == 0
    assert np.array_equal(first.dump(), second.dump())
    for phase in (Phase.LEARN, Phase.CLASSIFY):
        for batch in batches[4:]:
            for one, two in zip(first.run_batch(batch, phase), second.run_batch(batch, phase), strict=True):
                assert np.array_equal(one, two)
    assert np.array_equal(first.dump(), second.dump())


@pytest.mark.parametrize("rows", [1, 15, 17, 40])
def test_restore_of_another_length_clears(rows):
    core = GoldenCore(TINY)
    core.run_batch(lookup_words(np.zeros(8), np.arange(8), np.ones(8)), Phase.LEARN)
    assert core.dump().any()
    core.restore(np.full((rows, TINY.ways), LAST | 1, U))
    assert core.errors == Error.RESTORE_LENGTH
    assert not core.dump().any()


def test_restore_judges_rows_in_use_whatever_the_length():
    core = GoldenCore(TINY)
    core.set_hot_rows(20)  # 8 sets; 3 ways in sets 0 to 3, 2 ways in the others
    assert core.dump().shape == (8, 4)
    rows = np.zeros((9, 4), U)
    rows[8] = LAST  # beyond the sets in use: nobody looks
    core.restore(rows)
    assert core.errors == Error.RESTORE_LENGTH
    rows[4, 2] = LAST
    core.restore(rows)
    assert core.errors == Error.RESTORE_LENGTH | Error.RESTORE_ENTRY


def test_restore_drops_what_is_outside_the_budget():
    core = GoldenCore(TINY)
    core.set_hot_rows(20)
    valid = np.arange(32, dtype=U).reshape(8, 4) | U(LAST)
    core.restore(valid)
    assert core.errors == Error.RESTORE_ENTRY
    kept = core.dump() != 0
    assert kept.sum(axis=1).tolist() == [3, 3, 3, 3, 2, 2, 2, 2]
    assert np.array_equal(core.dump(), np.where(kept, valid, U(0)))
    core.errors = Error(0)
    core.restore(core.dump())
    assert core.errors == 0


def test_restore_keeps_known_bits_of_valid_entries_alone():
    core = GoldenCore(TINY)  # M = 2, 39 tag bits
    rows = np.zeros((16, 4), U)
    rows[2, 1] = 2**64 - 1
    rows[3, 2] = 2**63 - 1  # all but valid
    core.restore(rows)
    expected = np.zeros((16, 4), U)
    expected[2, 1] = LAST | 3 << 48 | (1 << 39) - 1
    assert np.array_equal(core.dump(), expected)
    assert core.errors == 0


def test_holes_are_filled_from_the_lowest_way():
    core = GoldenCore(TINY)
    rows = np.zeros((16, 4), U)
    rows[5, [0, 2]] = core.place(int(key_words(TINY, keys_of_set(TINY, 5, 9)[8:])[0])).tag + LAST, LAST
    core.restore(rows)
    core.run_batch(key_words(TINY, keys_of_set(TINY, 5, 2)), Phase.LEARN)
    assert (core.dump()[5] != 0).all() and core.counters["evictions"] == 0
    new = [core.place(word).tag for word in key_words(TINY, keys_of_set(TINY, 5, 2)).tolist()]
    assert (core.dump()[5, [1, 3]] & U((1 << 40) - 1)).tolist() == new
