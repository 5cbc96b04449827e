"""What the driver's tests share: mini-batches, and the results that they must give."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from hotline_host.data.log import Batch
from hotline_host.driver.driver import Driver
from hotline_host.plan import Moves, Split
from hotline_hw.spec.params import PRESETS, Geometry
from hotline_hw.spec.policy import Policy

TINY = PRESETS["tiny"]


def batch_of(lengths: np.ndarray, indices: np.ndarray) -> Batch:
    dense, label = np.empty((len(lengths), 0), np.float32), np.zeros(len(lengths), np.float32)
    return Batch(indices.astype(np.int64), lengths.astype(np.int64), dense, label)


def random_batch(rng: np.random.Generator, geometry: Geometry = TINY, tables: int = 3, rows: int = 12) -> Batch:
    """A multi-hot mini-batch with empty bags and empty samples, within the limits of any small geometry."""
    samples = int(rng.integers(0, geometry.max_samples + 1)) if geometry.max_samples < 9 else int(rng.integers(0, 9))
    lengths = rng.integers(0, 3, (samples, min(tables, 1 << geometry.table_bits)))
    lengths[rng.random(samples) < 0.3] = 0
    while (lengths.sum(1) > geometry.max_lookups).any():
        lengths[lengths.sum(1) > geometry.max_lookups] //= 2
    return batch_of(lengths, rng.integers(0, min(rows, 1 << geometry.row_bits), lengths.sum()))


def lookup(table: int, row: int) -> Batch:
    """One sample with one lookup."""
    return batch_of(np.eye(table + 1, dtype=int)[table:], np.array([row]))


def expected_split(driver: Driver, batch: Batch) -> Split:
    """The split by a dictionary of the hot set, sample by sample."""
    slot_of = {(t, r): s for t, r, s in zip(*(part.tolist() for part in driver.hot_set(driver.dump())), strict=True)}
    slots = [slot_of.get(key, -1) for key in zip(batch.tables.tolist(), batch.indices.tolist(), strict=True)]
    offsets = batch.sample_offsets
    popular = [all(s >= 0 for s in slots[a:b]) for a, b in pairwise(offsets)]
    return Split(np.array(popular, bool), np.array(slots, np.int32))


def assert_equal(split: Split, expected: Split) -> None:
    assert split.popular.dtype == bool and split.slots.dtype == np.int32
    np.testing.assert_array_equal(split.popular, expected.popular)
    np.testing.assert_array_equal(split.slots, expected.slots)


def one_by_one(driver: Driver, batches: list[Batch], select_every: int = 1) -> list[Moves]:
    """Does what `learn` does, but mini-batch by mini-batch. Returns the moves."""
    moves: list[Moves] = []
    driver.configure(Policy())
    for number, batch in enumerate(batches, 1):
        driver._learn([batch], by_bag=False)
        if select_every and number % select_every == 0 and number < len(batches):
            moves.append(driver.select())
    while True:
        moves.append(driver.select())
        if len(moves[-1]) < driver.geometry.max_moves:
            break
    return moves
