"""What the tests of software splitters share: mini-batches, and the splits that they must give."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from hotline_host.data.log import Batch
from hotline_host.plan import Split
from hotline_host.splitters.splitter import Splitter

from .driving import batch_of

Key = tuple[int, int]
ROWS = np.array([9, 1, 30])


def log_batches(seed: int, count: int = 5) -> list[Batch]:
    """Multi-hot mini-batches with empty bags, samples and mini-batches."""
    rng = np.random.default_rng(seed)
    batches = []
    for _ in range(count):
        lengths = rng.integers(0, 4, (rng.integers(0, 7), len(ROWS)))
        lengths[rng.random(len(lengths)) < 0.3] = 0
        tables = np.repeat(np.tile(np.arange(len(ROWS)), len(lengths)), lengths.ravel())
        batches.append(batch_of(lengths, rng.integers(0, ROWS[tables])))
    return batches


def keys(batch: Batch) -> list[Key]:
    return list(zip(batch.tables.tolist(), batch.indices.tolist(), strict=True))


def hot_set(splitter: Splitter) -> dict[Key, int]:
    return {(t, r): s for t, r, s in zip(*(part.tolist() for part in splitter.placed()), strict=True)}


def check_split(split: Split, batch: Batch, slot_of: dict[Key, int], before: set[Key]) -> None:
    """Checks a split against the hot rows and the cold rows of the mini-batch before, which become this one's."""
    slots = [slot_of.get(key, -1) for key in keys(batch)]
    assert split.slots.tolist() == slots
    assert split.popular.tolist() == [min(slots[a:b], default=0) >= 0 for a, b in pairwise(batch.sample_offsets)]
    cold = list(dict.fromkeys(key for key in keys(batch) if key not in slot_of))  # in order of first appearance
    held = [key for key in cold if key in before]
    cold = [key for key in cold if key not in before] + held
    working = split.working
    assert working is not None and working.held == len(held)
    assert list(zip(working.tables.tolist(), working.rows.tolist(), strict=True)) == cold
    assert working.places.tolist() == [cold.index(key) if key not in slot_of else -1 for key in keys(batch)]
    before.clear()
    before.update(cold)
