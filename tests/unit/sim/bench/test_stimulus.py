"""The random lookup streams are repeatable, clean unless asked otherwise, and crowded where they should be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from hotline_hw.spec.params import PRESETS
from hotline_hw.spec.regmap import Error, Phase
from hotline_sim.bench.stimulus import crowded_keys, key_words, random_batches
from hotline_sim.model.core import GoldenCore
from tests.support.strategies import geometries, seeds

TINY = PRESETS["tiny"]


@settings(max_examples=30, deadline=None)
@given(geometries(), seeds)
def test_random_batches_repeat_and_are_clean_unless_asked(geometry, seed):
    batches = random_batches(np.random.default_rng(seed), geometry, 4)
    again = random_batches(np.random.default_rng(seed), geometry, 4)
    assert all(np.array_equal(one, two) for one, two in zip(batches, again, strict=True))
    core = GoldenCore(geometry)
    for batch in batches:
        core.run_batch(batch, Phase.LEARN)
    assert core.errors == 0


@pytest.mark.parametrize(
    ("rate", "error"),
    [
        ("index_errors", Error.INDEX_RANGE),
        ("long_errors", Error.SAMPLE_TOO_LONG),
        ("open_errors", Error.SAMPLE_OPEN),
        ("overfull_errors", Error.BATCH_TOO_LONG),
    ],
)
def test_random_batches_make_each_error_on_request(rate, error):
    geometry = TINY.override({"max_samples": 8, "max_lookups": 8})
    core = GoldenCore(geometry)
    for batch in random_batches(np.random.default_rng(1), geometry, 3, **{rate: 1.0}):
        core.run_batch(batch, Phase.LEARN)
    assert error in core.errors


def test_crowded_keys_crowd():
    rng = np.random.default_rng(2)
    one_set = crowded_keys(rng, TINY, 100, shared_bits=TINY.index_bits, different=8)
    one_bank = crowded_keys(rng, TINY, 100, shared_bits=TINY.bank_bits, different=50)
    core = GoldenCore(TINY)
    gsets = [[core.place(word).gset for word in key_words(TINY, keys).tolist()] for keys in (one_set, one_bank)]
    assert len(set(gsets[0])) == 1 and len(np.unique(one_set)) == 8
    assert len({gset & (TINY.banks - 1) for gset in gsets[1]}) == 1 and len(set(gsets[1])) > 4
