"""Random contents of a tracker, as RESTORE takes them."""

from __future__ import annotations

import numpy as np

from hotline_hw.spec.words import ENTRY_HOT, ENTRY_TAG, ENTRY_VALID, SLOT_WORD_SLOT
from hotline_sim.model.core import GoldenCore

__all__ = ["random_rows"]

_VALID, _HOT = (np.uint64(1 << field.low) for field in (ENTRY_VALID, ENTRY_HOT))


def random_rows(rng: np.random.Generator, model: GoldenCore, sets: int, *, outside: bool) -> np.ndarray:
    """Words of `sets` sets, uint64 [sets * state_rows_per_set, ways], for the budget of `model`.

    All bits are random, including reserved ones, but no set has a tag twice. Among the entries within the budget at
    most as many are hot as may be, and their slots are 0, 1, ... in random order. With `outside`, some entries and
    slots are outside the budget.
    """
    geometry = model.geometry
    words = rng.integers(0, 1 << 64, (sets, geometry.ways), dtype=np.uint64)
    tags = rng.integers(0, 1 << geometry.tag_bits, words.shape, dtype=np.uint64)
    ways = np.arange(geometry.ways, dtype=np.uint64)
    tags = tags & ~np.uint64(63) | ways  # there are at most 64 ways
    words = words & ~np.uint64(ENTRY_TAG.mask) | tags

    quota = np.array([model.tracker.quota(gset) if gset < 1 << model.index_bits else 0 for gset in range(sets)])
    within = ways < quota[:, np.newaxis]
    if not outside:
        words[~within] &= ~_VALID

    slots = rng.integers(0, 1 << 64, words.shape, dtype=np.uint64)
    hot = rng.permutation(np.argwhere(within & (words & _VALID > 0) & (words & _HOT > 0)))
    for number, (gset, way) in enumerate(hot):
        slot = number
        if number >= model.hot_rows:
            slot = int(rng.integers(model.hot_rows, 1 << SLOT_WORD_SLOT.width))
            if not outside:
                words[gset, way] &= ~_HOT
        slots[gset, way] = slots[gset, way] & ~np.uint64(SLOT_WORD_SLOT.mask) | np.uint64(slot)
    if outside:  # others marked as hot, with slots outside the budget
        for gset, way in np.argwhere(within & (words & _VALID > 0) & (words & _HOT == 0)):
            if rng.random() < 0.1:
                words[gset, way] |= _HOT
                slots[gset, way] = rng.integers(model.hot_rows, 1 << SLOT_WORD_SLOT.width, dtype=np.uint64)
    return np.stack([words, slots], axis=1).reshape(-1, geometry.ways)
