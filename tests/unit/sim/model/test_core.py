"""The golden model against independent statements of its rules: budget, slots, framing and errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from hotline_hw.spec.feistel import unmix
from hotline_hw.spec.params import PRESETS, Geometry
from hotline_hw.spec.regmap import COUNTERS, Error, Phase
from hotline_sim.bench.stimulus import illegal_bits, lookup_words, random_batches
from hotline_sim.model.core import GoldenCore
from tests.support.strategies import geometries, seeds

TINY = PRESETS["tiny"]
LAST, HIT = 1 << 63, 1 << 62
U = np.uint64


def small(**changes: int) -> Geometry:
    return TINY.override(changes)


def samples_of(*lengths: int, open_end: bool = False) -> np.ndarray:
    """A mini-batch of samples of these lengths; row r is its r-th lookup."""
    last = np.zeros(sum(lengths), bool)
    last[np.cumsum(lengths) - 1] = True
    last[-1] = not open_end
    rows = np.arange(len(last))
    return lookup_words(np.zeros_like(rows), rows, last)


def fields(words: np.ndarray) -> list[tuple[int, int, int, int, int]]:
    """(last, hit, sample, table, row or slot) of each result word."""
    return [
        (word >> 63, word >> 62 & 1, word >> 40 & 0x3FFFFF, word >> 32 & 0xFF, word & 0xFFFFFFFF)
        for word in words.tolist()
    ]


# Budget and slots


@settings(max_examples=40, deadline=None)
@given(geometries(), seeds)
def test_hot_is_never_false_and_classify_only_reads(geometry, seed):
    """A hit's slot leads back, through dump and unmix, to the key that was looked up. A second time gives the same."""
    core = GoldenCore(geometry)
    core.set_hot_rows(geometry.hot_capacity * 2 // 3)
    batches = random_batches(np.random.default_rng(seed), geometry, 6)
    for batch in batches:
        core.run_batch(batch, Phase.LEARN)
        core.select()
    before = core.dump()
    entries, slots = before[::2], before[1::2] & U(0xFFFF_FFFF)
    entry_of = {
        int(slots[gset, way]): (gset, int(entries[gset, way])) for gset, way in np.argwhere(entries >> U(62) == 3)
    }
    for batch in batches:
        first = core.run_batch(batch, Phase.CLASSIFY)
        again = core.run_batch(batch, Phase.CLASSIFY)
        assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))

        samples: dict[int, list] = {}  # lookups by sample, from both packets
        for packet, hot in zip(first, (True, False), strict=True):
            for last, hit, sample, table, row in fields(packet):
                if hit:
                    gset, entry = entry_of[row]
                    bank = int(gset) & (geometry.banks - 1)
                    key = unmix((entry & (1 << 40) - 1) << geometry.bank_bits | bank, geometry.key_bits)
                    assert key >> geometry.row_bits == table
                    row = key & ((1 << geometry.row_bits) - 1)
                samples.setdefault(sample, []).append((last << 63 | table << 32 | row, hit, hot))
        assert [word for index in sorted(samples) for word, _, _ in samples[index]] == batch.tolist()
        assert all(hot == all(hit for _, hit, _ in sample) for sample in samples.values() for _, _, hot in sample)
    assert np.array_equal(core.dump(), before)


def test_budget_beyond_the_capacity_is_refused():
    core = GoldenCore(TINY)
    core.run_batch(samples_of(3), Phase.LEARN)
    before = core.dump()
    assert not core.set_hot_rows(TINY.hot_capacity + 1)
    assert core.errors == Error.HOT_ROWS_RANGE
    assert core.hot_rows == TINY.hot_capacity and np.array_equal(core.dump(), before)
    assert core.set_hot_rows(TINY.hot_capacity) and not core.dump().any()


def test_budget_of_none_learns_nothing():
    core = GoldenCore(TINY)
    core.set_hot_rows(0)
    for _ in range(2):
        assert [len(packet) for packet in core.run_batch(samples_of(3, 2), Phase.LEARN)] == [0, 0]
    assert core.dump().shape == (2 * TINY.banks, TINY.ways) and not core.dump()[::2].any()
    assert core.counters["inserts"] == core.counters["lookup_hits"] == 0


# Framing and errors


@pytest.mark.parametrize(
    ("batch", "lengths", "errors"),
    [
        (samples_of(3, 1, 2), [3, 1, 2], Error(0)),
        (samples_of(4), [4], Error(0)),
        (samples_of(5), [4, 1], Error.SAMPLE_TOO_LONG),
        (samples_of(9, 1), [4, 4, 1, 1], Error.SAMPLE_TOO_LONG),
        (samples_of(2, 2, open_end=True), [2, 2], Error.SAMPLE_OPEN),
        (samples_of(4, open_end=True), [4], Error.SAMPLE_TOO_LONG),
        (samples_of(1, 5, open_end=True), [1, 4, 1], Error.SAMPLE_OPEN | Error.SAMPLE_TOO_LONG),
        (samples_of(1, 1, 1, 1, 1), [1] * 5, Error(0)),
        (samples_of(1, 1, 1, 1, 1, 2), [1] * 5 + [2], Error.BATCH_TOO_LONG),
        (samples_of(4, 4, 4, 4, 5), [4, 4, 4, 4, 4, 1], Error.BATCH_TOO_LONG | Error.SAMPLE_TOO_LONG),
    ],
)
def test_framing(batch, lengths, errors):
    """At most 4 lookups a sample and 5 samples. No row is hot, so everything comes back in the nonpopular packet."""
    core = GoldenCore(small(max_lookups=4, max_samples=5))
    popular, nonpopular = core.run_batch(batch, Phase.CLASSIFY)
    assert len(popular) == 0
    expected, row = [], 0
    for sample, length in enumerate(lengths):
        for position in range(length):
            expected.append((int(position == length - 1), 0, sample, 0, row))
            row += 1
    assert fields(nonpopular) == expected
    assert core.errors == errors
    assert core.counters["samples"] == len(lengths) and core.counters["popular_samples"] == 0


def test_an_empty_mini_batch_is_an_error_and_counts():
    core = GoldenCore(TINY)
    for phase in (Phase.LEARN, Phase.CLASSIFY):
        packets = core.run_batch(np.empty(0, U), phase)
        assert [packet.dtype for packet in packets] == [U, U] and [len(packet) for packet in packets] == [0, 0]
    assert core.errors == Error.EMPTY_BATCH
    assert {name for name, count in core.counters.items() if count} == {"batches"}
    assert core.counters["batches"] == 2


@pytest.mark.parametrize("bit", illegal_bits(small(table_bits=5, row_bits=29)).tolist())
def test_a_word_out_of_range_is_a_miss_and_is_not_learned(bit):
    geometry = small(table_bits=5, row_bits=29)
    core = GoldenCore(geometry)
    good = lookup_words([3, 3], [7, 8], [False, True])
    core.run_batch(good, Phase.LEARN)
    core.select()
    tags = core.dump()[::2] & U((1 << 40) - 1)
    bad = good.copy()
    bad[0] |= U(1 << bit)
    core.run_batch(bad, Phase.LEARN)
    assert np.count_nonzero(core.dump()[::2]) == 2
    assert core.errors == Error.INDEX_RANGE and core.counters["index_errors"] == 1

    popular, nonpopular = core.run_batch(bad, Phase.CLASSIFY)
    assert len(popular) == 0
    assert int(nonpopular[0]) == int(bad[0]) & (1 << 40) - 1, "the payload as it came, and no reserved bit"
    assert fields(nonpopular)[1][:4] == (1, 1, 0, 3), "the other lookup still hits"
    assert core.counters["lookups"] == 6 and core.counters["lookup_hits"] == 2
    assert np.array_equal(core.dump()[::2] & U((1 << 40) - 1), tags)


def test_learn_counts_what_it_finds():
    core = GoldenCore(TINY)
    words = lookup_words([0, 0, 0], [5, 5, 5], [True, False, True])
    expected = {counter.name: 0 for counter in COUNTERS if not counter.timing}
    expected |= {"batches": 1, "samples": 2, "lookups": 3, "inserts": 1, "returns": 2}
    core.run_batch(words, Phase.LEARN)
    assert core.counters == expected, "nothing is hot before a SELECT"
    core.select()
    core.run_batch(words, Phase.LEARN)
    expected |= {"batches": 2, "samples": 4, "popular_samples": 2, "lookups": 6, "lookup_hits": 3, "promotions": 1}
    assert core.counters == expected
    core.reset_counters()
    assert not any(core.counters.values())
