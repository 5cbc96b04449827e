"""The accelerator's tracker in the study is the slow golden model, mini-batch by mini-batch."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hotline_host.data.log import ClickLog
from hotline_host.popularity.judging import Trial
from hotline_host.popularity.ours import Design
from hotline_host.popularity.stream import Stream
from hotline_host.popularity.trackers import sample_aware
from hotline_host.tracking.aging import AgingControl
from hotline_hw.spec.regmap import Phase
from hotline_hw.spec.words import HIT_FIELD, LAST_FIELD, SAMPLE_FIELD
from hotline_sim.model.core import GoldenCore

LEARNED, SIZE, BATCH, HOT_ROWS = 20, 62, 7, 6


def multi_hot_log(rng: np.random.Generator) -> ClickLog:
    lengths = rng.integers(0, 4, (SIZE, 3))
    indices = (12 * rng.random(lengths.sum()) ** 3).astype(np.int64)
    nothing = np.zeros((SIZE, 0), np.float32), np.zeros(SIZE, np.float32)
    return ClickLog("made", ("a", "b", "c"), np.array([12, 12, 12]), indices, lengths, *nothing)


def words_of(keys: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Lookup words in samples of these lengths."""
    words = keys.copy()
    words[np.cumsum(lengths)[lengths > 0] - 1] |= np.uint64(1 << LAST_FIELD.low)
    return words


def hits_in_order(core: GoldenCore, words: np.ndarray) -> list[bool]:
    answers = [word for packet in core.run_batch(words, Phase.CLASSIFY) for word in packet.tolist()]
    answers.sort(key=lambda word: word >> SAMPLE_FIELD.low & SAMPLE_FIELD.mask)  # stable
    return [bool(word >> HIT_FIELD.low & 1) for word in answers]


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=25, deadline=None)
def test_ours_is_the_golden_model(seed: int, by_bag: bool) -> None:
    stream = Stream.of(multi_hot_log(np.random.default_rng(seed)))
    design = Design(ways=4, by_bag=by_bag)
    found = sample_aware(stream, HOT_ROWS, Trial(learned=LEARNED, select_every=BATCH), design)

    core, aging = GoldenCore(design.geometry(HOT_ROWS)), AgingControl()
    core.set_hot_rows(HOT_ROWS)
    core.policy.age_period = aging.period
    expected = np.zeros(3, int)
    starts = [*range(0, LEARNED, BATCH), *range(LEARNED, SIZE, BATCH)]
    for start, stop in zip(starts, [*starts[1:], SIZE], strict=True):
        lengths = stream.lengths[start:stop]
        keys = stream.keys[stream.rows[stream.offsets[start] : stream.offsets[stop]]]
        hits = hits_in_order(core, words_of(keys, lengths.sum(axis=1)))
        bags = [all(bag) for bag in np.split(hits, np.cumsum(lengths.ravel())[:-1])]
        if start >= LEARNED:
            samples = np.reshape(bags, lengths.shape).all(axis=1)
            expected += samples.sum(), sum(hits), sum(np.array(bags) & (lengths.ravel() > 0))
        core.run_batch(words_of(keys, lengths.ravel() if by_bag else lengths.sum(axis=1)), Phase.LEARN)
        closing = core.select()[-1].tolist()
        core.policy.select_start = (core.policy.select_start + 1) % 2  # each bank has two sets in use
        core.policy.age_period = aging.observe(
            revivals=core.counters["revivals"], returns=core.counters["returns"], budget=HOT_ROWS,
            idle=closing[0] >> 32, recent=closing[1] >> 32, hot=closing[0] & 0xFFFF_FFFF,
        )  # fmt: skip
        core.reset_counters()
    assert found == tuple(expected)
