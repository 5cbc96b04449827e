"""The front table of the golden model: it changes no answer, and what its rows gain counts when a mini-batch ends."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hotline_hw.spec.params import PRESETS, Geometry
from hotline_hw.spec.policy import Policy
from hotline_hw.spec.regmap import WEIGHTS, Error, Phase
from hotline_hw.spec.words import COUNTER_FIELD
from hotline_sim.bench.stimulus import illegal_bits, key_words, keys_of_set, random_batches, random_front
from hotline_sim.model.core import GoldenCore
from tests.support.strategies import geometries, policies, seeds

TINY = PRESETS["tiny"]
U = np.uint64


def counters(core: GoldenCore, gset: int) -> list[int]:
    """Counters of a set's ways."""
    return (core.dump()[2 * gset] >> U(COUNTER_FIELD.low) & U(COUNTER_FIELD.mask)).tolist()


def hot(core: GoldenCore, words: np.ndarray) -> None:
    """Makes the rows hot that the words look up."""
    core.run_batch(words, Phase.LEARN)
    core.select()


@settings(max_examples=100, deadline=None)
@given(geometries(), seeds, policies, st.data())
def test_no_answer_depends_on_the_table(geometry: Geometry, seed: int, policy: Policy, data: st.DataObject):
    """Two cores that learned alike answer alike, whatever is in the table of one."""
    rng = np.random.default_rng(seed)
    cores = GoldenCore(geometry), GoldenCore(geometry)
    stream = random_batches(rng, geometry, 4, hot_keys=geometry.entries, burst_share=0.3, index_errors=0.05)
    for core in cores:
        core.policy.__dict__.update(vars(policy))
        for words in stream[:2]:
            hot(core, words)
    cores[0].run_batch(random_front(rng, geometry, np.concatenate(stream)), Phase.FRONT)
    for words in stream:
        answers = [core.run_batch(words, Phase.RELEARN) for core in cores]
        assert all(np.array_equal(*packets) for packets in zip(*answers, strict=True))
        cores[1].restore(cores[0].dump())  # what they learn differs in its order


def test_what_a_hot_row_gains_counts_after_the_mini_batch():
    """Another key of its set takes way 1, so that the set ages; only then does the gain count."""
    hit, other, miss = (key_words(TINY, keys_of_set(TINY, 3, 3))[at : at + 1] for at in range(3))
    core = GoldenCore(TINY)
    core.policy.age_period = 1
    hot(core, np.concatenate([hit, other]))
    before = counters(core, 3)
    core.run_batch(hit, Phase.FRONT)
    core.run_batch(np.concatenate([hit, other, miss]), Phase.LEARN)
    one = before[0] >> 1  # it was not referenced since the set aged for `other`
    two = before[1] + WEIGHTS[0]
    assert counters(core, 3)[:2] == [one + WEIGHTS[0], two - (two >> 3)]


def test_gains_saturate_and_weights_are_by_sample():
    words = key_words(TINY, keys_of_set(TINY, 3, 2), last=False)
    words[1] |= U(1 << 63)
    core = GoldenCore(TINY)
    hot(core, key_words(TINY, keys_of_set(TINY, 3, 1)))
    core.run_batch(words[:1], Phase.FRONT)
    assert core.errors == Error.SAMPLE_OPEN, "framing is that of any mini-batch"
    core.run_batch(words, Phase.LEARN)  # the other lookup misses
    assert counters(core, 3)[0] == WEIGHTS[0] + WEIGHTS[1]
    core.run_batch(np.repeat(key_words(TINY, keys_of_set(TINY, 3, 1)), 100), Phase.RELEARN)
    assert counters(core, 3)[0] == 255 and core.counters["revivals"] == 0


def test_a_cold_row_of_the_table_is_learned_as_any():
    words = key_words(TINY, keys_of_set(TINY, 3, 5))
    cores = GoldenCore(TINY), GoldenCore(TINY)
    cores[0].run_batch(words[:4], Phase.FRONT)
    for core in cores:
        core.policy.age_period = 1
        core.run_batch(words, Phase.LEARN)
    assert np.array_equal(cores[0].dump(), cores[1].dump())


def test_what_is_left_out():
    """Words out of range, and rows that were named before. Then the table is full."""
    keys = keys_of_set(TINY, 3, 6)
    words = key_words(TINY, keys[[0, 0, 1, 2, 1, 3, 4]])
    words[1] |= U(1) << U(illegal_bits(TINY)[0])
    core = GoldenCore(TINY)
    core.run_batch(words[:-1], Phase.FRONT)
    assert core.errors == Error.INDEX_RANGE and len(core.tracker.front) == 4
    core.errors = Error(0)
    core.run_batch(words[2:], Phase.FRONT)
    assert core.errors == 0 and [place.tag for place in core.tracker.front] == [
        core.place(word).tag for word in words[[2, 3, 5, 6]].tolist()
    ]
    core.run_batch(words, Phase.FRONT)
    assert core.errors == Error.INDEX_RANGE | Error.FRONT_LENGTH
    assert core.counters["batches"] == 3 and not any(core.counters[name] for name in ("samples", "index_errors"))


def test_what_empties_the_table():
    words = key_words(TINY, keys_of_set(TINY, 3, 2))
    core = GoldenCore(TINY)
    for empty in (
        lambda: core.run_batch(words[:0], Phase.FRONT), core.clear, lambda: core.set_hot_rows(3),
        lambda: core.restore(core.dump()),
    ):  # fmt: skip
        core.run_batch(words, Phase.FRONT)
        assert len(core.tracker.front) == 2
        empty()
        assert not core.tracker.front and core.errors == 0
