"""The key hash: a bijection that spreads ordinary key patterns evenly over banks and sets."""

from __future__ import annotations

import numpy as np
import pytest

from hotline_hw.spec.feistel import ROUNDS, mix, rotations, round_constant, unmix
from hotline_hw.spec.params import PRESETS

KAGGLE = PRESETS["kaggle"]
COUNT = 1 << 18
INDEX = np.arange(COUNT, dtype=np.uint64)


@pytest.mark.parametrize("key_bits", [6, 8, 10, 12, 14, 16, 18, 20])
def test_every_key_has_its_own_mixed_key(key_bits):
    keys = np.arange(1 << key_bits, dtype=np.uint64)
    mixed = mix(keys, key_bits)
    assert np.array_equal(np.sort(mixed), keys)
    assert np.array_equal(unmix(mixed, key_bits), keys)
    assert not np.array_equal(mixed, keys)


@pytest.mark.parametrize("key_bits", [22, 32, 38, 40])
def test_round_trip_of_wide_keys(key_bits):
    keys = np.random.default_rng(key_bits).integers(0, 1 << key_bits, 100_000, dtype=np.uint64)
    mixed = mix(keys, key_bits)
    assert mixed.dtype == np.uint64 and (mixed >> np.uint64(key_bits) == 0).all()
    assert np.array_equal(unmix(mixed, key_bits), keys)
    assert np.array_equal(mix(unmix(keys, key_bits), key_bits), keys)


def test_integers_and_arrays_agree():
    keys = [0, 1, 12345, (1 << 40) - 1, 0x12_3456_789A]
    assert mix(np.array(keys, np.uint64), 40).tolist() == [mix(key, 40) for key in keys]


def test_constants_fit_a_half_and_differ():
    for half_bits in range(4, 21):
        constants = [round_constant(index, half_bits) for index in range(ROUNDS)]
        assert len(set(constants)) == ROUNDS and max(constants) < 1 << half_bits
        assert all(1 <= amount < half_bits for amount in rotations(half_bits))


def _strided(step: int) -> np.ndarray:
    return INDEX * np.uint64(step) % np.uint64(1 << 32)


PATTERNS = {
    "sequential": INDEX,
    "another table": INDEX | np.uint64(7 << 32),
    **{f"stride {step}": _strided(step) for step in (2, 3, 26, 64, 100, 1000, 4096, 1 << 14)},
    "26 tables": (INDEX % 26) << np.uint64(32) | INDEX // 26,
    "256 tables": (INDEX % 256) << np.uint64(32) | INDEX // 256,
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_bank_and_set_are_uniform(pattern):
    """Chi-square of the bank field, the set field and both together, within five standard deviations."""
    mixed = mix(PATTERNS[pattern], KAGGLE.key_bits)
    for low, width in (
        (0, KAGGLE.bank_bits),
        (KAGGLE.bank_bits, KAGGLE.set_bits),
        (0, KAGGLE.index_bits),
    ):
        cells = 1 << width
        counts = np.bincount((mixed >> low & (cells - 1)).astype(np.int64), minlength=cells)
        chi_square = ((counts - COUNT / cells) ** 2 / (COUNT / cells)).sum()
        deviations = (chi_square - (cells - 1)) / np.sqrt(2 * (cells - 1))
        assert abs(deviations) < 5, f"bits {low} to {low + width - 1} are not uniform"


@pytest.mark.parametrize("bit", range(40))
def test_one_key_bit_reaches_half_of_the_index(bit):
    """Avalanche: flipping any key bit flips each bit of bank and set in 40% to 60% of all keys."""
    keys = np.random.default_rng(bit).integers(0, 1 << 40, 4096, dtype=np.uint64)
    changed = mix(keys, 40) ^ mix(keys ^ np.uint64(1 << bit), 40)
    shares = [(changed >> np.uint64(out) & np.uint64(1)).mean() for out in range(KAGGLE.index_bits)]
    assert 0.4 < min(shares) and max(shares) < 0.6
