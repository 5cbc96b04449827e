"""The golden model against independent statements of its rules: SRRIP, budget, framing and errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotline_hw.spec.feistel import mix, unmix
from hotline_hw.spec.params import PRESETS, Geometry
from hotline_hw.spec.regmap import COUNTERS, Error, Phase
from hotline_sim.bench.stimulus import illegal_bits, key_words, keys_of_set, lookup_words, random_batches
from hotline_sim.model.core import GoldenCore
from tests.support.strategies import seeds, srrip_geometries

TINY = PRESETS["tiny"].override({"entries_per_hot_row": 1})
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


# Replacement


def textbook_srrip(geometry: Geometry, hot_rows: int, keys: list[int]) -> tuple[dict[int, list], int, int, int]:
    """SRRIP with hit promotion as the paper's figure puts it: search for a distant block, or age all and search again.

    Returns (sets as lists of [mixed key, RRPV] by way, hits, inserts, evictions).
    """
    sets_in_use = geometry.banks
    while sets_in_use * geometry.ways < hot_rows:
        sets_in_use *= 2
    distant = 2**geometry.rrpv_bits - 1
    cache: dict[int, list] = {gset: [] for gset in range(sets_in_use)}
    hits = inserts = evictions = 0
    for key in keys:
        mixed = mix(key, geometry.key_bits)
        gset = mixed % sets_in_use
        blocks, ways = cache[gset], len(range(gset, hot_rows, sets_in_use))
        found = next((block for block in blocks if block[0] == mixed), None)
        if found:
            hits += 1
            found[1] = 0
        elif ways:
            inserts += 1
            if len(blocks) < ways:
                blocks.append([mixed, distant - 1])
                continue
            evictions += 1
            while all(block[1] != distant for block in blocks):
                for block in blocks:
                    block[1] += 1
            victim = next(way for way, block in enumerate(blocks) if block[1] == distant)
            blocks[victim] = [mixed, distant - 1]
    return cache, hits, inserts, evictions


@settings(max_examples=60, deadline=None)
@given(srrip_geometries, seeds, st.data())
def test_replacement_is_textbook_srrip(geometry, seed, data):
    hot_rows = data.draw(st.integers(0, geometry.entries))
    batches = random_batches(np.random.default_rng(seed), geometry, 12, samples=6, hot_keys=geometry.entries)
    core = GoldenCore(geometry)
    core.set_hot_rows(hot_rows)
    for batch in batches:
        core.run_batch(batch, Phase.LEARN)

    words = np.concatenate(batches)
    keys = (words >> 32 & 0xFF) << U(geometry.row_bits) | words & 0xFFFFFFFF
    cache, hits, inserts, evictions = textbook_srrip(geometry, hot_rows, keys.tolist())
    expected = np.zeros((len(cache), geometry.ways), U)
    for gset, blocks in cache.items():
        for way, (mixed, rrpv) in enumerate(blocks):
            expected[gset, way] = 1 << 63 | rrpv << 48 | mixed >> geometry.bank_bits
    assert np.array_equal(core.dump(), expected)
    counted = [core.counters[name] for name in ("lookups", "lookup_hits", "inserts", "evictions")]
    assert counted == [len(keys), hits, inserts, evictions]


def test_a_full_set_evicts_the_oldest_and_lowest_way():
    """Worked example: 4 ways, M = 2; keys a to d fill, b is promoted, e then takes the place of a and ages the rest."""
    core = GoldenCore(TINY)
    a, b, c, d, e = keys_of_set(TINY, 3, 5)
    core.run_batch(key_words(TINY, [a, b, c, d, b]), Phase.LEARN)
    assert (core.dump()[3] >> U(48) & U(15)).tolist() == [2, 0, 2, 2]
    core.run_batch(key_words(TINY, [e]), Phase.LEARN)
    assert (core.dump()[3] >> U(48) & U(15)).tolist() == [2, 1, 3, 3]
    assert core.counters["evictions"] == 1
    popular, nonpopular = core.run_batch(key_words(TINY, [a, b, c, d, e]), Phase.CLASSIFY)
    assert [row & 15 for *_, row in fields(popular)] == [3, 3, 3, 3]  # all of set 3 ...
    assert [row >> 4 for *_, row in fields(popular)] == [1, 2, 3, 0]  # ... and e where a was
    assert [sample for _, _, sample, _, _ in fields(nonpopular)] == [0]


# Budget and slots


@settings(max_examples=40, deadline=None)
@given(srrip_geometries, seeds, st.data())
def test_budget_is_kept_and_slots_are_dense(geometry, seed, data):
    """Whatever is learned, no more than N rows are hot; and once every set is full their slots are 0 to N - 1."""
    hot_rows = data.draw(st.integers(0, geometry.entries))
    core = GoldenCore(geometry)
    core.set_hot_rows(hot_rows)
    for batch in random_batches(np.random.default_rng(seed), geometry, 3, burst_share=0.5):
        core.run_batch(batch, Phase.LEARN)
        assert np.count_nonzero(core.dump()) <= hot_rows

    core.clear()
    ways = min(geometry.ways, 1 << (geometry.key_bits - geometry.index_bits))
    keys = np.concatenate([keys_of_set(geometry, gset, ways) for gset in range(1 << geometry.index_bits)])
    core.run_batch(key_words(geometry, keys), Phase.LEARN)
    popular, nonpopular = core.run_batch(key_words(geometry, keys), Phase.CLASSIFY)
    slots = sorted(slot for *_, slot in fields(popular))
    if ways == geometry.ways:  # the key space is wide enough to fill every set
        assert slots == list(range(hot_rows))
    assert len(set(slots)) == len(slots) and all(slot < hot_rows for slot in slots)
    assert len(popular) + len(nonpopular) == len(keys)


@settings(max_examples=40, deadline=None)
@given(srrip_geometries, seeds)
def test_hot_is_never_false_and_classify_only_reads(geometry, seed):
    """A hit's slot leads back, through dump and unmix, to the very key that was looked up; twice the same."""
    core = GoldenCore(geometry)
    core.set_hot_rows(geometry.entries * 2 // 3)
    batches = random_batches(np.random.default_rng(seed), geometry, 6)
    for batch in batches:
        core.run_batch(batch, Phase.LEARN)
    before = core.dump()
    for batch in batches:
        first = core.run_batch(batch, Phase.CLASSIFY)
        again = core.run_batch(batch, Phase.CLASSIFY)
        assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))

        samples: dict[int, list] = {}  # lookups by sample, from both packets
        for packet, hot in zip(first, (True, False), strict=True):
            for last, hit, sample, table, row in fields(packet):
                if hit:
                    gset, way = row & ((1 << core.index_bits) - 1), row >> core.index_bits
                    entry = int(before[gset, way])
                    assert entry >> 63
                    bank = gset & (geometry.banks - 1)
                    key = unmix((entry & (1 << 40) - 1) << geometry.bank_bits | bank, geometry.key_bits)
                    assert key >> geometry.row_bits == table
                    row = key & ((1 << geometry.row_bits) - 1)
                samples.setdefault(sample, []).append((last << 63 | table << 32 | row, hit, hot))
        assert [word for index in sorted(samples) for word, _, _ in samples[index]] == batch.tolist()
        assert all(hot == all(hit for _, hit, _ in sample) for sample in samples.values() for _, _, hot in sample)
    assert np.array_equal(core.dump(), before)


def test_budget_beyond_the_entries_is_refused():
    core = GoldenCore(TINY)
    core.run_batch(samples_of(3), Phase.LEARN)
    before = core.dump()
    assert not core.set_hot_rows(TINY.entries + 1)
    assert core.errors == Error.HOT_ROWS_RANGE
    assert core.hot_rows == TINY.entries and np.array_equal(core.dump(), before)
    assert core.set_hot_rows(TINY.entries) and not core.dump().any()


def test_budget_of_none_learns_nothing():
    core = GoldenCore(TINY)
    core.set_hot_rows(0)
    for _ in range(2):
        assert [len(packet) for packet in core.run_batch(samples_of(3, 2), Phase.LEARN)] == [0, 0]
    assert core.dump().shape == (TINY.banks, TINY.ways) and not core.dump().any()
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
    """At most 4 lookups in a sample and 5 samples; nothing is hot, so all comes back in the nonpopular packet."""
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
    before = core.dump()
    bad = good.copy()
    bad[0] |= U(1 << bit)
    core.run_batch(bad, Phase.LEARN)
    assert np.count_nonzero(core.dump()) == 2
    assert core.errors == Error.INDEX_RANGE and core.counters["index_errors"] == 1

    popular, nonpopular = core.run_batch(bad, Phase.CLASSIFY)
    assert len(popular) == 0
    assert int(nonpopular[0]) == int(bad[0]) & (1 << 40) - 1, "the payload as it came, and no reserved bit"
    assert fields(nonpopular)[1][:4] == (1, 1, 0, 3), "the other lookup still hits"
    assert core.counters["lookups"] == 6 and core.counters["lookup_hits"] == 2
    assert np.array_equal(core.dump() & U(~(15 << 48) & 2**64 - 1), before & U(~(15 << 48) & 2**64 - 1))


def test_learn_counts_hits_as_they_were_before_each_update():
    core = GoldenCore(TINY)
    words = lookup_words([0, 0, 0], [5, 5, 5], [True, False, True])
    core.run_batch(words, Phase.LEARN)
    assert core.counters == {
        **{counter.name: 0 for counter in COUNTERS if not counter.timing},
        "batches": 1, "samples": 2, "popular_samples": 1, "lookups": 3, "lookup_hits": 2, "inserts": 1,
    }  # fmt: skip
    core.reset_counters()
    assert not any(core.counters.values())
