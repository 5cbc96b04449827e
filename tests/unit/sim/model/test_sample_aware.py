"""The golden model's sample-aware tracker against a naive one with a dictionary, and against its invariants."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotline_hw.spec.feistel import mix
from hotline_hw.spec.params import PRESETS, Geometry
from hotline_hw.spec.policy import Policy
from hotline_hw.spec.regmap import WEIGHTS, Error, Phase
from hotline_sim.bench.stimulus import key_words, keys_of_set, lookup_words, random_batches
from hotline_sim.model.core import GoldenCore
from tests.support.strategies import geometries, policies, seeds

TINY = PRESETS["tiny"]
U = np.uint64


def accelerator(geometry: Geometry, hot_rows: int, policy: Policy | None = None) -> GoldenCore:
    core = GoldenCore(geometry)
    core.policy = policy or Policy()
    assert core.set_hot_rows(hot_rows)
    return core


def hot_set(geometry: Geometry, dump: np.ndarray) -> dict[int, int]:
    """Mixed key of the row in each slot, by a loop over a DUMP."""
    rows: dict[int, int] = {}
    for gset in range(len(dump) // 2):
        for word, slot in zip(dump[2 * gset].tolist(), dump[2 * gset + 1].tolist(), strict=True):
            if word >> 62 == 3:
                assert slot & 0xFFFFFFFF not in rows, "a slot holds one row"
                rows[slot & 0xFFFFFFFF] = (word & (1 << 40) - 1) * geometry.banks + gset % geometry.banks
    return rows


def moves(events: np.ndarray) -> list[tuple[int, int, int | None]]:
    """For each event: (slot, mixed key of the row that becomes hot, mixed key of the row that leaves, or None)."""
    mask = (1 << 40) - 1
    assert not events[:, 2:].any()
    assert all(word >> 63 for word in events[:-1, 0].tolist())
    return [(a >> 40 & (1 << 23) - 1, a & mask, b & mask if b >> 63 else None) for a, b in events[:-1, :2].tolist()]


def closing(events: np.ndarray) -> list[int]:
    """Hot rows, idle rows, threshold, recent rows: halves of the two words of the closing beat."""
    assert not events[-1, 2:].any()
    return [half for word in events[-1, :2].tolist() for half in (word & 0xFFFFFFFF, word >> 32)]


# A naive tracker


@dataclass
class Row:
    way: int
    counter: int
    fresh: bool = True
    slot: int | None = None


class Naive:
    """Rows by mixed key. Where the tracker has an order, this sorts; where it has a set, this searches all rows."""

    def __init__(self, geometry: Geometry, hot_rows: int, policy: Policy) -> None:
        self.geometry, self.hot_rows, self.policy = geometry, hot_rows, policy
        self.rows: dict[int, Row] = {}
        self.ages: Counter[int] = Counter()
        self.counts: Counter[str] = Counter()
        self.entries = hot_rows * geometry.entries_per_hot_row
        self.sets = geometry.banks
        while self.sets * geometry.ways < self.entries:
            self.sets *= 2

    def learn(self, samples: list[list[int | None]]) -> None:
        hot = {key for key, row in self.rows.items() if row.slot is not None}
        for sample in samples:
            for index, key in enumerate(sample):
                others = [other for at, other in enumerate(sample) if at != index and other not in hot]
                weight = self.policy.weights[len(others)] if len(others) < 15 else self.policy.weights[15]
                if key is not None and weight:
                    self.reward(key, weight)

    def reward(self, key: int, weight: int) -> None:
        most = 2**self.geometry.counter_bits - 1
        if key in self.rows:
            row = self.rows[key]
            self.counts["revivals"] += row.slot is not None and not row.fresh
            self.counts["returns"] += row.slot is None and row.fresh
            row.counter, row.fresh = min(row.counter + weight, most), True
            return
        gset = key % self.sets
        mates = {other: row for other, row in self.rows.items() if other % self.sets == gset}
        taken = {row.way for row in mates.values()}
        free = [way for way in range(len(range(gset, self.entries, self.sets))) if way not in taken]
        cold = sorted((row.counter, row.way, other) for other, row in mates.items() if row.slot is None)
        self.ages[gset] += 1
        if self.policy.age_period and self.ages[gset] >= self.policy.age_period:
            self.ages[gset] = 0
            for row in mates.values():
                row.counter = row.counter - row.counter // 8 if row.fresh else row.counter // 2
                row.fresh = False
        self.ages[gset] %= 256
        if free or cold:
            self.counts["inserts"] += 1
            way = free[0] if free else cold[0][1]
            if not free:
                self.counts["evictions"] += 1
                del self.rows[cold[0][2]]
            self.rows[key] = Row(way, min(weight, most))

    def select(self) -> tuple[list[tuple[int, int, int | None]], list[int]]:
        """The moves, and the figures of the closing beat: hot rows, idle rows before, threshold, recent rows."""
        idle = sum(row.slot is not None and not row.fresh for row in self.rows.values())
        recent = sum(row.slot is None and row.fresh for row in self.rows.values())
        counters = sorted((row.counter for row in self.rows.values()), reverse=True)
        # One more than the largest counter that is not among the first N, at least 1.
        threshold = counters[self.hot_rows] + 1 if len(counters) > self.hot_rows else 1
        banks, sets = self.geometry.banks, self.sets // self.geometry.banks

        def walk(key: int) -> tuple[int, int, int]:
            gset = key % self.sets
            return (gset // banks - self.policy.select_start) % sets, gset % banks, self.rows[key].way

        order = sorted(self.rows, key=walk)
        come = [key for key in order if self.rows[key].slot is None and self.rows[key].counter >= threshold]
        come = come[: min(self.policy.move_limit, self.geometry.max_moves)]
        stays = threshold - threshold // 2**self.policy.hysteresis
        go = [key for key in order if self.rows[key].slot is not None and self.rows[key].counter < stays]
        hot = sum(row.slot is not None for row in self.rows.values())
        go = go[: max(0, len(come) - (self.hot_rows - hot))]
        unused = [slot for slot in range(self.hot_rows) if slot not in {row.slot for row in self.rows.values()}]
        slots = [self.rows[key].slot for key in go] + unused
        done = []
        for index, key in enumerate(come[: len(slots)]):
            leaves = go[index] if index < len(go) else None
            if leaves is not None:
                self.rows[leaves].slot = None
            self.rows[key].slot = slots[index]
            done.append((slots[index], key, leaves))
        self.counts["promotions"] += len(done)
        self.counts["demotions"] += len(go)
        return done, [sum(row.slot is not None for row in self.rows.values()), idle, threshold, recent]

    def dump(self) -> np.ndarray:
        words = np.zeros((2 * self.sets, self.geometry.ways), U)
        for key, row in self.rows.items():
            hot, gset = row.slot is not None, key % self.sets
            tag = key // self.geometry.banks
            words[2 * gset, row.way] = 1 << 63 | hot << 62 | row.fresh << 61 | row.counter << 48 | tag
            words[2 * gset + 1, row.way] = row.slot if hot else 0
        for gset, age in self.ages.items():
            words[2 * gset + 1, 0] |= U(age << 56)
        return words


def samples_of(geometry: Geometry, words: np.ndarray) -> list[list[int | None]]:
    """Mixed keys of each sample of a well framed mini-batch, None for a lookup out of range."""
    samples: list[list[int | None]] = [[]]
    for word in words.tolist():
        table, row = word >> 32 & (1 << 31) - 1, word & 0xFFFFFFFF
        legal = table < 1 << geometry.table_bits and row < 1 << geometry.row_bits
        samples[-1].append(mix(table << geometry.row_bits | row, geometry.key_bits) if legal else None)
        if word >> 63:
            samples.append([])
    return samples[:-1]


@settings(max_examples=150, deadline=None)
@given(geometries(), seeds, policies, st.data())
def test_it_is_the_naive_tracker(geometry, seed, policy, data):
    rng = np.random.default_rng(seed)
    hot_rows = data.draw(st.integers(0, geometry.hot_capacity))
    core, naive = accelerator(geometry, hot_rows, policy), Naive(geometry, hot_rows, policy)
    stream = random_batches(
        rng, geometry, 10, samples=geometry.max_samples, hot_keys=geometry.entries, burst_share=0.2,
        longest_share=0.2, index_errors=0.02,
    )  # fmt: skip
    for number, words in enumerate(stream):
        core.run_batch(words, Phase.RELEARN if number % 2 else Phase.LEARN)
        naive.learn(samples_of(geometry, words))
        if number % 3 == 2:
            policy.select_start = data.draw(st.integers(0, 40))
            events = core.select()
            assert (moves(events), closing(events)) == naive.select()
            assert [core.hot_count, core.threshold] == closing(events)[::2]
        assert np.array_equal(core.dump(), naive.dump())
    for name in ("inserts", "evictions", "revivals", "returns", "promotions", "demotions"):
        assert core.counters[name] == naive.counts[name], name


# What must always hold


@settings(max_examples=100, deadline=None)
@given(geometries(), seeds, st.lists(policies, min_size=4, max_size=4), st.data())
def test_the_hot_set(geometry, seed, some_policies, data):
    """At most N rows are in slots 0 to hot_count - 1, each in its own. Only SELECT moves rows, and says which."""
    rng = np.random.default_rng(seed)
    core = accelerator(geometry, data.draw(st.integers(0, geometry.hot_capacity)))
    followed: dict[int, int] = {}  # slots, from the events only
    for policy in some_policies:
        core.policy.__dict__.update(vars(policy))
        for phase in (Phase.LEARN, Phase.RELEARN, Phase.CLASSIFY):
            for words in random_batches(rng, geometry, 2, hot_keys=geometry.entries):
                core.run_batch(words, phase)
                assert hot_set(geometry, core.dump()) == followed, "the hot set changes with SELECT alone"
        before = core.counters["promotions"], core.counters["demotions"]
        events = core.select()
        assert len(moves(events)) <= min(policy.move_limit, geometry.max_moves)
        made_cold = [old for _, _, old in moves(events) if old is not None]
        counted = core.counters["promotions"] - before[0], core.counters["demotions"] - before[1]
        assert counted == (len(moves(events)), len(made_cold))
        for slot, key, old in moves(events):
            assert followed.get(slot) == old, "a slot is handed over, or was free"
            assert key not in followed.values()
            followed[slot] = key
        assert hot_set(geometry, core.dump()) == followed
        assert sorted(followed) == list(range(core.hot_count)) and core.hot_count <= core.hot_rows


@settings(max_examples=60, deadline=None)
@given(geometries(), seeds, policies)
def test_state_is_a_function_of_what_was_learned(geometry, seed, policy):
    """The state depends neither on what is only classified or dumped, nor on how mini-batches divide the samples."""
    rng = np.random.default_rng(seed)
    stream = random_batches(rng, geometry, 6, hot_keys=geometry.entries)
    others = random_batches(rng, geometry, 6, hot_keys=geometry.entries)
    one, two, three = (accelerator(geometry, geometry.hot_capacity * 3 // 4, policy) for _ in range(3))
    for half in (0, 3):
        for words, other in zip(stream[half : half + 3], others, strict=False):
            one.run_batch(words, Phase.LEARN)
            two.run_batch(other, Phase.CLASSIFY)
            two.run_batch(words, Phase.RELEARN)
            two.dump()
        three.run_batch(np.concatenate(stream[half : half + 3]), Phase.LEARN)
        events = [core.select() for core in (one, two, three)]
        assert np.array_equal(events[0], events[1]) and np.array_equal(events[0], events[2])
    assert np.array_equal(one.dump(), two.dump()) and np.array_equal(one.dump(), three.dump())


@settings(max_examples=60, deadline=None)
@given(geometries(), seeds, policies)
def test_relearn_answers_like_classify(geometry, seed, policy):
    one, two = (accelerator(geometry, geometry.hot_capacity, policy) for _ in range(2))
    for words in random_batches(np.random.default_rng(seed), geometry, 6, hot_keys=6, index_errors=0.02):
        for core in (one, two):
            core.run_batch(words, Phase.LEARN)
            core.select()
        answers = one.run_batch(words, Phase.RELEARN), two.run_batch(words, Phase.CLASSIFY)
        assert all(np.array_equal(*packets) for packets in zip(*answers, strict=True))
        two.restore(one.dump())
        assert two.errors & ~Error.INDEX_RANGE == 0


@settings(max_examples=60, deadline=None)
@given(geometries(), seeds, policies, st.data())
def test_dump_and_restore_carry_the_tracker(geometry, seed, policy, data):
    """A core that is restored from another core's dump goes on exactly as the other does."""
    hot_rows = data.draw(st.integers(0, geometry.hot_capacity))
    first, second = (accelerator(geometry, hot_rows, policy) for _ in range(2))
    stream = random_batches(np.random.default_rng(seed), geometry, 8, hot_keys=geometry.entries)
    for words in stream[:4]:
        first.run_batch(words, Phase.LEARN)
        first.select()
    second.restore(first.dump())
    assert second.errors == 0 and second.hot_count == first.hot_count
    for words in stream[4:]:
        assert np.array_equal(first.dump(), second.dump())
        answers = first.run_batch(words, Phase.RELEARN), second.run_batch(words, Phase.RELEARN)
        assert all(np.array_equal(*packets) for packets in zip(*answers, strict=True))
        assert np.array_equal(first.select(), second.select())


# Worked examples


def test_a_row_counts_the_more_the_fewer_others_missed():
    """Two rows of set 0 and its neighbours are looked up alone, and beside a second miss."""
    core = accelerator(TINY, 32)
    a, b, c = (int(keys_of_set(TINY, gset, 1)[0]) for gset in (0, 1, 2))
    words = key_words(TINY, [a, b, c], last=False)
    words[[0, 2]] |= U(1 << 63)  # samples (a), (b, c)
    core.run_batch(words, Phase.LEARN)
    counters = core.dump()[[0, 2, 4], 0] >> U(48) & U(0xFFF)
    assert counters.tolist() == [WEIGHTS[0], WEIGHTS[1], WEIGHTS[1]]
    core.select()
    core.run_batch(words, Phase.LEARN)  # now all hit, and none misses
    counters = core.dump()[[0, 2, 4], 0] >> U(48) & U(0xFFF)
    assert counters.tolist() == [2 * WEIGHTS[0], WEIGHTS[1] + WEIGHTS[0], WEIGHTS[1] + WEIGHTS[0]]


@pytest.mark.parametrize(
    ("hysteresis", "others", "threshold", "moved"),
    [(3, (18, 17), 18, False), (3, (20, 18), 19, True), (4, (18, 17), 18, True), (0, (90, 80), 81, False)],
)
def test_hysteresis_spares_a_hot_row_that_has_hardly_fallen_behind(hysteresis, others, threshold, moved):
    """The one slot's row has 16. It stays if the threshold is 18, because 18 - (18 >> 3) is 16."""
    core = accelerator(TINY.override({"entries_per_hot_row": 4}), 1, Policy([1] * 16, hysteresis=hysteresis))
    first, *rest = [*keys_of_set(TINY, 0, 2).tolist(), int(keys_of_set(TINY, 1, 1)[0])]  # two ways a set
    core.run_batch(key_words(TINY, np.repeat(first, 16)), Phase.LEARN)
    assert moves(core.select()) == [(0, mix(first, 40), None)]
    core.run_batch(key_words(TINY, np.repeat(rest, others)), Phase.LEARN)
    events = core.select()
    assert closing(events) == [1, 0, threshold, 2], "at most one entry has so much"
    assert moves(events) == ([(0, mix(rest[0], 40), mix(first, 40))] if moved else [])
    assert core.counters["demotions"] == moved


@pytest.mark.parametrize(("limit", "expected"), [(3, [3, 3, 2]), (0xFFFFFFFF, [8, 0, 0]), (0, [0, 0, 0])])
def test_move_limit(limit, expected):
    core = accelerator(TINY, 16, Policy(move_limit=limit))
    core.run_batch(lookup_words(np.zeros(8), np.arange(8), np.ones(8)), Phase.LEARN)
    assert [len(core.select()) - 1 for _ in range(3)] == expected


def test_max_moves_bounds_a_select():
    core = accelerator(TINY.override({"max_moves": 5}), 16)
    core.run_batch(lookup_words(np.zeros(8), np.arange(8), np.ones(8)), Phase.LEARN)
    assert [len(core.select()) - 1 for _ in range(3)] == [5, 3, 0]


# RESTORE


def test_restore_drops_what_is_outside_the_budget():
    core = accelerator(TINY, 10)  # 20 entries: 8 sets; 3 ways in sets 0 to 3, 2 ways in the others
    rows = np.zeros((16, 4), U)
    rows[::2] = 1 << 63 | 1 << 62 | 5 << 48
    rows[::2] |= np.arange(4, dtype=U)
    rows[1::2] = np.arange(32, dtype=U).reshape(8, 4)
    core.restore(rows)
    assert core.errors == Error.RESTORE_ENTRY
    kept = core.dump()
    assert (kept[::2] >> U(63)).sum(axis=1).tolist() == [3, 3, 3, 3, 2, 2, 2, 2]
    assert sorted(hot_set(TINY, kept)) == [0, 1, 2, 4, 5, 6, 8, 9], "slots below 10, of the ways in use"
    assert core.hot_count == 8
    hot = (kept[::2] >> U(62) & U(1)).astype(bool)
    assert not kept[1::2][~hot].any(), "a cold entry has no slot"


def test_restore_keeps_known_bits_of_valid_entries_alone():
    core = accelerator(replace(TINY, counter_bits=5), 32)  # 39 tag bits, 5 of 32 rows' slots
    rows = np.zeros((32, 4), U)
    rows[4, 1] = 2**64 - 1
    rows[5] = [7 << 56 | 3, (2**32 - 1) << 32 | 9, 2**32 - 1, 6]
    rows[6, 2] = 2**63 - 1  # everything but valid
    rows[9, 0] = 200 << 56  # the age of a set that holds nothing
    core.restore(rows)
    expected = np.zeros((32, 4), U)
    expected[4, 1] = 1 << 63 | 1 << 62 | 1 << 61 | 31 << 48 | (1 << 39) - 1
    expected[5] = [7 << 56, 9, 0, 0]
    expected[9, 0] = 200 << 56
    assert np.array_equal(core.dump(), expected)
    assert core.errors == 0 and core.hot_count == 1


@pytest.mark.parametrize("rows", [1, 30, 31, 33, 40])
def test_restore_of_another_length_clears(rows):
    core = accelerator(TINY, 32)
    core.run_batch(lookup_words(np.zeros(8), np.arange(8), np.ones(8)), Phase.LEARN)
    core.select()
    assert core.hot_count and core.threshold
    core.restore(np.resize(core.dump(), (rows, TINY.ways)))
    assert core.errors == Error.RESTORE_LENGTH
    assert not core.dump().any() and core.hot_count == core.threshold == 0


def test_restore_judges_rows_in_use_whatever_the_length():
    core = accelerator(TINY, 10)  # 20 entries: 8 sets; 3 ways in sets 0 to 3, 2 ways in the others
    rows = np.zeros((17, 4), U)
    rows[16] = 1 << 63  # beyond the sets in use, where nobody looks
    core.restore(rows)
    assert core.errors == Error.RESTORE_LENGTH
    rows[8, 2] = 1 << 63
    core.restore(rows)
    assert core.errors == Error.RESTORE_LENGTH | Error.RESTORE_ENTRY


def test_holes_are_filled_from_the_lowest_way():
    core = accelerator(TINY, 32)
    rows = np.zeros((32, 4), U)
    rows[10, [0, 2]] = core.place(int(key_words(TINY, keys_of_set(TINY, 5, 9)[8:])[0])).tag + (1 << 63), 1 << 63
    core.restore(rows)
    new = key_words(TINY, keys_of_set(TINY, 5, 2))
    core.run_batch(new, Phase.LEARN)
    assert (core.dump()[10] != 0).all() and core.counters["evictions"] == 0
    tags = [core.place(word).tag for word in new.tolist()]
    assert (core.dump()[10, [1, 3]] & U((1 << 40) - 1)).tolist() == tags
