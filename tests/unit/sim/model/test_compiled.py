"""The compiled model equals the golden model bit for bit, whatever is done to both."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotline_hw.spec.feistel import ROUNDS, mix, unmix
from hotline_hw.spec.params import PRESETS, Geometry
from hotline_hw.spec.regmap import Error, Phase
from hotline_hw.spec.words import SLOT_WORD_SLOT
from hotline_sim.bench.stimulus import key_words, random_batches, random_front, random_keys
from hotline_sim.model.compiled import core as fast
from hotline_sim.model.compiled.core import CompiledCore
from hotline_sim.model.core import GoldenCore
from tests.support.strategies import geometries, policies, seeds

ACTIONS = (
    "learn", "learn", "learn", "classify", "classify", "relearn", "relearn", "select", "select", "select", "policy",
    "front", "front", "empty", "budget", "clear", "reset", "reload", "garble",
)  # fmt: skip


def garbled(rng: np.random.Generator, geometry: Geometry, dump: np.ndarray) -> np.ndarray:
    """A state packet of any length, with stray bits, entries outside the budget and tags of other sets.

    Tags within a set differ, as do the slots of all entries, as they must.
    """
    rows = np.resize(dump, (max(1, len(dump) + int(rng.integers(-1, 2))), geometry.ways))
    tags = rng.permuted(np.tile(np.arange(geometry.ways, dtype=np.uint64), (len(rows), 1)), axis=1)
    stray = rng.integers(0, 1 << 64, rows.shape, dtype=np.uint64) & ~np.uint64((1 << geometry.tag_bits) - 1)
    words = np.where(rng.random(rows.shape) < 0.5, stray | tags, np.uint64(0))
    slots = rng.permutation(words[1::2].size).astype(np.uint64).reshape(words[1::2].shape)
    words[1::2] = stray[1::2] & ~np.uint64(SLOT_WORD_SLOT.mask) | slots
    return words


def equal(one: GoldenCore, two: GoldenCore) -> None:
    assert one.counters == two.counters
    assert one.errors == two.errors
    assert (one.hot_rows, one.index_bits) == (two.hot_rows, two.index_bits)
    assert (one.hot_count, one.threshold) == (two.hot_count, two.threshold)
    dumps = one.dump(), two.dump()
    assert dumps[0].dtype == dumps[1].dtype and np.array_equal(*dumps)


@settings(max_examples=300, deadline=None)
@given(geometries(), seeds, st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=20), st.data())
def test_fast_equals_model(geometry, seed, actions, data):
    rng = np.random.default_rng(seed)
    cores = GoldenCore(geometry), CompiledCore(geometry)
    budget = st.one_of(st.integers(0, geometry.hot_capacity + 1), st.just(geometry.hot_capacity))
    batches = iter(
        random_batches(
            rng, geometry, len(actions), hot_keys=geometry.entries, burst_share=0.3,
            index_errors=0.02, long_errors=0.05, open_errors=0.1, overfull_errors=0.1,
        )
    )  # fmt: skip
    seen = key_words(geometry, [0])
    for core in cores:
        core.set_hot_rows(geometry.hot_capacity * 3 // 4)
    for action in actions:
        match action:
            case "learn" | "classify" | "relearn" | "empty" | "front":
                phase = Phase.LEARN if action == "empty" else Phase[action.upper()]
                if action == "front":
                    words = random_front(rng, geometry, seen)
                else:
                    words = np.empty(0, np.uint64) if action == "empty" else next(batches)
                    seen = np.concatenate([seen, words])
                for one, two in zip(*(core.run_batch(words, phase) for core in cores), strict=True):
                    assert one.dtype == two.dtype and np.array_equal(one, two)
            case "select":
                events = [core.select() for core in cores]
                assert events[0].dtype == events[1].dtype and np.array_equal(*events)
            case "policy":
                policy = data.draw(policies)
                for core in cores:
                    core.policy.__dict__.update(asdict(policy))
            case "budget":
                hot_rows = data.draw(budget)
                assert cores[0].set_hot_rows(hot_rows) == cores[1].set_hot_rows(hot_rows)
            case "clear":
                for core in cores:
                    core.clear()
            case "reset":
                for core in cores:
                    core.reset_counters()
            case "reload" | "garble":
                dump = cores[0].dump()
                rows = dump if action == "reload" else garbled(rng, geometry, dump)
                for core in cores:
                    core.restore(rows)
        equal(*cores)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("entries_per_hot_row", [2, 3])
def test_presets_agree(name, entries_per_hot_row):
    geometry = PRESETS[name].override({"entries_per_hot_row": entries_per_hot_row})
    cores = GoldenCore(geometry), CompiledCore(geometry)
    for core in cores:
        core.set_hot_rows(geometry.hot_capacity // 5)
    for number, batch in enumerate(random_batches(np.random.default_rng(3), geometry, 8)):
        phase = (Phase.LEARN, Phase.LEARN, Phase.RELEARN, Phase.CLASSIFY)[number % 4]
        for one, two in zip(*(core.run_batch(batch, phase) for core in cores), strict=True):
            assert np.array_equal(one, two)
        assert np.array_equal(*(core.select() for core in cores))
    equal(*cores)


def test_key_hash_is_the_same_network():
    for key_bits, table_bits in ((6, 1), (14, 8), (26, 3), (40, 8)):
        geometry = PRESETS["tiny"].override(
            {"table_bits": table_bits, "row_bits": key_bits - table_bits, "sets": 2, "banks": 2}
        )
        core = CompiledCore(geometry)
        keys = random_keys(np.random.default_rng(key_bits), geometry, 1000)
        mixed = np.empty_like(keys)
        fast._mix(key_words(geometry, keys), core._network, core._constants, mixed)
        assert len(core._constants) == ROUNDS
        assert np.array_equal(mixed, mix(keys, key_bits))


def test_sample_indices_wrap_at_the_width_of_their_field():
    """A mini-batch of more than 2^22 samples. The golden model would take too long for it."""
    geometry = PRESETS["tiny"].override({"max_samples": 1 << 22})
    core = CompiledCore(geometry)
    count = (1 << 22) + 3
    word = key_words(geometry, [unmix(0, geometry.key_bits)])
    _, nonpopular = core.run_batch(np.repeat(word, count), Phase.CLASSIFY)
    expected = word | np.arange(count, dtype=np.uint64) % np.uint64(1 << 22) << np.uint64(40)
    assert np.array_equal(nonpopular, expected)
    assert core.errors == Error.BATCH_TOO_LONG
    assert core.counters["samples"] == count
