"""Seeded random lookup streams, for unit tests and benches alike. NumPy only."""

from __future__ import annotations

import numpy as np

from hotline_hw.spec.feistel import unmix
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import LAST_FIELD, ROW_FIELD, TABLE_FIELD

__all__ = [
    "crowded_keys", "illegal_bits", "key_words", "keys_of_set", "lookup_words", "random_batches", "random_front",
    "random_keys",
]  # fmt: skip


def lookup_words(tables: np.ndarray, rows: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Lookup words, uint64 [n], of n tables, rows and ends of samples (any integer or bool arrays)."""
    tables, rows, last = (np.asarray(part).astype(np.uint64) for part in (tables, rows, last))
    return last << LAST_FIELD.low | tables << TABLE_FIELD.low | rows << ROW_FIELD.low


def key_words(geometry: Geometry, keys: np.ndarray, *, last: bool = True) -> np.ndarray:
    """Lookup words, uint64 [n], of n keys. With `last` each is a sample of its own; if not, `last` is clear in all."""
    keys = np.asarray(keys).astype(np.uint64)
    rows = keys & ((1 << geometry.row_bits) - 1)
    return lookup_words(keys >> geometry.row_bits, rows, np.full(len(keys), last))


def illegal_bits(geometry: Geometry) -> np.ndarray:
    """Positions, int64 [n], of the bits that are zero in every lookup word in range."""
    legal = lookup_words(*(np.array([(1 << bits) - 1]) for bits in (geometry.table_bits, geometry.row_bits, 1)))
    return np.flatnonzero(np.unpackbits(~legal.view(np.uint8), bitorder="little"))


def random_keys(rng: np.random.Generator, geometry: Geometry, count: int) -> np.ndarray:
    """Keys, uint64 [count], uniform over all."""
    return rng.integers(0, 1 << geometry.key_bits, count, dtype=np.uint64)


def keys_of_set(geometry: Geometry, gset: int, count: int) -> np.ndarray:
    """The first `count` keys, uint64 [count], that belong to global set `gset` while every set is in use."""
    return unmix(np.arange(count, dtype=np.uint64) << geometry.index_bits | np.uint64(gset), geometry.key_bits)


def crowded_keys(
    rng: np.random.Generator, geometry: Geometry, count: int, *, shared_bits: int, different: int
) -> np.ndarray:
    """Keys, uint64 [count], whose mixed keys agree in the low `shared_bits` bits.

    With shared_bits=bank_bits they all belong to one bank; with index_bits to one set, whatever the budget. They are
    drawn from a pool of `different` keys, so some are repeated.
    """
    low = rng.integers(0, 1 << shared_bits, dtype=np.uint64)
    high = rng.integers(0, 1 << (geometry.key_bits - shared_bits), different, dtype=np.uint64)
    return unmix(rng.choice(high, count) << shared_bits | low, geometry.key_bits)


def random_batches(
    rng: np.random.Generator,
    geometry: Geometry,
    batches: int,
    *,
    samples: int = 8,
    lookups: int = 8,
    hot_keys: int = 16,
    hot_share: float = 0.7,
    burst_share: float = 0.15,
    longest_share: float = 0.05,
    index_errors: float = 0.0,
    long_errors: float = 0.0,
    open_errors: float = 0.0,
    overfull_errors: float = 0.0,
) -> list[np.ndarray]:
    """Random mini-batches: a list of uint64 arrays of lookup words, none empty. The same for the same `rng`.

    A sample is ordinary (each key is a hot one with probability `hot_share`, else uniform over all keys) or a burst of
    keys of one bank or one set. Samples of either kind may be exactly max_lookups long.

    Args:
        rng: the source of randomness; a bench prints its seed.
        geometry: what the accelerator is built with.
        batches: mini-batches.
        samples: most samples in a mini-batch, clipped to max_samples.
        lookups: most lookups in an ordinary sample, clipped to max_lookups.
        hot_keys: number of hot keys, the same in all mini-batches.
        hot_share: chance that a lookup of an ordinary sample is of a hot key.
        burst_share: chance that a sample is a burst.
        longest_share: chance that a sample is exactly max_lookups long.
        index_errors: chance that a lookup is out of range (table, row or reserved bits).
        long_errors: chance that a sample is longer than max_lookups, by up to twice.
        open_errors: chance that a mini-batch lacks `last` on its final word.
        overfull_errors: chance that a mini-batch has one to three samples more than max_samples, of one lookup each.
    """
    hot = random_keys(rng, geometry, hot_keys)
    bits = illegal_bits(geometry).astype(np.uint64)

    def sample(length: int) -> np.ndarray:
        if rng.random() < burst_share:
            shared = geometry.bank_bits if rng.random() < 0.5 else geometry.index_bits
            keys = crowded_keys(rng, geometry, length, shared_bits=shared, different=2 * geometry.ways)
        else:
            keys = random_keys(rng, geometry, length)
            if hot_keys:
                popular = hot[(hot_keys * rng.random(length) ** 2).astype(np.int64)]
                keys = np.where(rng.random(length) < hot_share, popular, keys)
        words = key_words(geometry, keys, last=False)
        words[-1] |= np.uint64(1 << LAST_FIELD.low)
        return words

    def sample_length() -> int:
        if rng.random() < long_errors:
            return geometry.max_lookups + int(rng.integers(1, geometry.max_lookups + 1))
        if rng.random() < longest_share:
            return geometry.max_lookups
        return int(rng.integers(1, min(lookups, geometry.max_lookups) + 1))

    def batch() -> np.ndarray:
        if rng.random() < overfull_errors:
            lengths = [1] * (geometry.max_samples + int(rng.integers(1, 4)))
        else:
            lengths = [sample_length() for _ in range(int(rng.integers(1, min(samples, geometry.max_samples) + 1)))]
        words = np.concatenate([sample(length) for length in lengths])
        wrong = rng.random(len(words)) < index_errors
        words[wrong] |= np.uint64(1) << rng.choice(bits, int(wrong.sum()))
        if rng.random() < open_errors:
            words[-1] &= np.uint64(~(1 << LAST_FIELD.low) & 0xFFFF_FFFF_FFFF_FFFF)
        return words

    return [batch() for _ in range(batches)]


def random_front(
    rng: np.random.Generator, geometry: Geometry, words: np.ndarray, *, errors: float = 0.1, least: int = 0
) -> np.ndarray:
    """A mini-batch for phase FRONT, uint64 [n]: keys that `words` look up, most of them frequent there.

    There are `least` to `front_rows` words, and with chance `errors` a few more. Some keys come twice, and with chance
    `errors` some words are out of range or none ends the mini-batch.
    """
    found, counts = np.unique(words & np.uint64((1 << LAST_FIELD.low) - 1), return_counts=True)
    frequent = found[np.argsort(-counts, kind="stable")][: 2 * geometry.front_rows]
    count = int(rng.integers(least, geometry.front_rows + 1))
    wrong = rng.random() < errors
    if wrong:
        count += int(rng.integers(geometry.front_rows + 1))
    chosen = rng.choice(frequent, count, replace=bool(rng.random() < 0.5) or count > len(frequent))
    chosen |= (rng.random(count) < (0.5 if wrong else 1.0)).astype(np.uint64) << np.uint64(LAST_FIELD.low)
    if wrong:
        bad = rng.random(count) < 0.2
        chosen[bad] |= np.uint64(1) << rng.choice(illegal_bits(geometry).astype(np.uint64), int(bad.sum()))
    return chosen
