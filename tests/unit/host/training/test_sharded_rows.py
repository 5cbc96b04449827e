"""The initial rows of each rank are those of the whole tables."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hotline_host.pool.shards import Shards
from hotline_host.training.initial_rows import draw_rows
from hotline_host.training.ranks import sharded_rows
from hotline_host.training.ranks.sharded_rows import draw_share


@pytest.mark.parametrize("dimension", [1, 3, 16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shares_are_parts_of_the_whole(dimension: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharded_rows, "_CHUNK", 64)
    rows, ranks = np.array([40, 7, 1, 301]), 3
    whole = draw_rows(torch.empty(int(rows.sum()), dimension, dtype=dtype), rows, seed=5)
    shards, keys = Shards(len(whole), ranks), np.arange(len(whole))
    for rank in range(ranks):
        share = draw_share(torch.empty(shards.count(rank), dimension, dtype=dtype), rows, shards, rank, seed=5)
        own = keys[shards.owner(keys) == rank]
        assert torch.equal(share[torch.from_numpy(shards.local(own))], whole[torch.from_numpy(own)])
