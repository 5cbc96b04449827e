"""Who owns which row."""

from __future__ import annotations

import numpy as np
import pytest

from hotline_host.pool.shards import Shards


@pytest.mark.parametrize("rows", [1, 2, 7, 64, 1000, 99_991])
@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_every_row_has_one_owner_and_a_place_of_its_own_there(rows: int, ranks: int) -> None:
    shards, keys = Shards(rows, ranks), np.arange(rows)
    owners, places = shards.owner(keys), shards.local(keys)
    for rank in range(ranks):
        own = np.sort(places[owners == rank])
        assert own.tolist() == list(range(shards.count(rank)))
    counts = [shards.count(rank) for rank in range(ranks)]
    assert sum(counts) == rows and max(counts) - min(counts) <= 1


@pytest.mark.parametrize("step", [1, 2, 3, 8, 64, 1000])
def test_rows_in_steps_are_spread(step: int) -> None:
    owners = Shards(1_000_003, 4).owner(np.arange(0, 1_000_003, step))
    share = np.bincount(owners, minlength=4) / len(owners)
    assert np.abs(share - 0.25).max() < 0.05


def test_keys_near_the_limit() -> None:
    rows = (1 << 31) - 1
    shards, keys = Shards(rows, 64), np.array([0, 1, rows - 2, rows - 1])
    assert ((shards.owner(keys) >= 0) & (shards.owner(keys) < 64)).all() and (shards.local(keys) >= 0).all()
