"""EmbeddingBagCollection in several processes, against one process that trains on the same mini-batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.support.collections_of_bags import EXACT
from tests.support.rank_runs import train_all, trained_alone
from tests.support.ranks import run_ranks

CASES = [
    ("one D", "SGD", {}), ("one D", "RowwiseAdagrad", {}), ("all kinds", "RowwiseAdagrad", {}),
    ("all kinds", "Adam", {}), ("all kinds", "Adagrad", {"accelerator": None}),
]  # fmt: skip


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_ranks_train_as_one_process_does(count: int) -> None:
    ranks = run_ranks(train_all, count, CASES)
    for case, (kind, rule, options) in enumerate(CASES):
        losses, alone = trained_alone(count, kind, rule, **options)
        assert alone["figures"]["moved"] > 0 or "accelerator" in options
        for number, done in enumerate(ranks):
            own, state, hot = done[case]
            np.testing.assert_allclose(own, losses[number::count], **EXACT)
            for name in alone["tables"]:
                torch.testing.assert_close(state["tables"][name], alone["tables"][name], **EXACT)
                torch.testing.assert_close(state["states"][name], alone["states"][name], **EXACT)
            assert {name: state["figures"][name] for name in ("moved", "hits", "held")} == {
                name: alone["figures"][name] for name in ("moved", "hits", "held")
            }
            assert torch.equal(hot, ranks[0][case][2]), "hot rows differ between ranks"
