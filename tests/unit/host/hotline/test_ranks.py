"""EmbeddingBagCollection in several processes, against one process that trains on the same mini-batches."""

from __future__ import annotations

import copy
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.collections_of_bags import EXACT
from tests.support.rank_runs import (
    alone_with_a_break,
    cannot_save,
    ended,
    fails_in_the_loop,
    kept,
    mistakes,
    resumed,
    train_all,
    trained_alone,
    ways_of_use,
)  # fmt: skip
from tests.support.ranks import run_ranks, start_ranks

pytestmark = pytest.mark.long  # each test starts processes

CASES = [
    ("one D", "SGD", {}), ("one D", "RowwiseAdagrad", {"accelerators": "rank"}), ("all kinds", "RowwiseAdagrad", {}),
    ("all kinds", "Adam", {}), ("all kinds", "Adagrad", {"accelerator": None}),
]  # fmt: skip


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_ranks_train_as_one_process_does(count: int) -> None:
    cases = copy.deepcopy(CASES)
    ranks = run_ranks(train_all, count, cases)
    for case, (kind, rule, options) in enumerate(cases):
        options.pop("accelerators", None)
        losses, alone = trained_alone(count, kind, rule, **options)
        assert alone["figures"]["moved"] > 0 or "accelerator" in options
        network = [done[case][1]["figures"] for done in ranks]
        assert sum(figures["network_sent"] for figures in network) > network[0]["network_least"] > 0
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


def test_loops_that_are_left_rows_that_are_read_and_batches_left_out() -> None:
    expected, ranks = alone_with_a_break(2), run_ranks(ways_of_use, 2)
    for found in ranks:
        assert found["read"] < 1e-12
        for name, rows in expected.items():
            torch.testing.assert_close(found["left"][name], rows, **EXACT)
            assert torch.equal(found["skipped"][name], found["left"][name])
            assert torch.equal(found["loaded"][name], torch.full_like(rows, 2.0))


def test_a_mistake_of_one_rank_ends_the_loop_of_all_and_the_next_loop_works() -> None:
    (zero, rows, steps), (one, other, more) = run_ranks(mistakes, 2)
    assert one == [
        "RanksError: the loader of rank 1 has ended, and that of rank 0 has not; every rank must have the same number "
        "of batches",
        "ValueError: the disk is gone",
        "DataError: feature a of sample 0 looks up row 10000 of table a, which has 60 rows",
        "DataError: a batch lacks the feature a; it has x",
    ]
    assert zero == [
        one[0],
        "RanksError: the loader of rank 1 has failed, and training ends on all ranks; see its message",
        *["RanksError: rank 1 cannot use its batch, and training ends on all ranks; see its message"] * 2,
    ]
    assert steps == more == 14
    for name, values in rows.items():
        assert torch.equal(values, other[name]) and values.isfinite().all()


def test_a_rank_whose_loop_fails_ends_and_so_do_the_others(tmp_path: Path) -> None:
    zero, one = (process.communicate(timeout=120)[1] for process in start_ranks(tmp_path, fails_in_the_loop, 2))
    assert "ValueError: the model of rank 1 is wrong" in one.splitlines()[-1]
    assert "RanksError: another of the 2 processes is gone, or did not answer within 300 s" in zero.splitlines()[-1]


def test_nothing_is_left_at_the_end(tmp_path: Path) -> None:
    for number, process in enumerate(start_ranks(tmp_path, ended, 2)):
        assert process.communicate(timeout=120)[1] == "", "no warning"
        before, after = pickle.loads((tmp_path / f"result-{number}").read_bytes())
        assert before == after


def test_a_state_goes_on_with_another_number_of_ranks() -> None:
    """Two ranks that train on the same batches are one: the mean of two equal gradients is the gradient."""
    _, begun = trained_alone(1, "all kinds", "RowwiseAdagrad")
    begun.pop("figures")
    alone = resumed(begun, 6)
    two = run_ranks(resumed, 2, begun, 6)
    back = resumed(two[1], 0)
    for state in (*two, back):
        for part in ("tables", "states"):
            for name, values in alone[part].items():
                torch.testing.assert_close(state[part][name], values, **EXACT)


def test_a_loop_of_ranks_is_kept_and_goes_on_with_any_number_of_them(tmp_path: Path) -> None:
    whole = run_ranks(kept, 2, tmp_path / "whole", 18)
    run_ranks(kept, 2, tmp_path / "two", 12)
    shutil.copytree(tmp_path / "two", tmp_path / "one")
    for (_, losses, rows), (done, again, later) in zip(whole, run_ranks(kept, 2, tmp_path / "two", 18), strict=True):
        assert 10 <= done <= 12
        assert again == losses[done:], "bit for bit, with the noise of every rank"
        assert all(torch.equal(later[name], values) for name, values in rows.items())
    assert whole[0][1] != whole[1][1]
    done, losses, rows = kept(tmp_path / "one", 18)
    np.testing.assert_allclose(losses, whole[0][1][done:], **EXACT)
    for name, values in whole[0][2].items():
        torch.testing.assert_close(rows[name], values, **EXACT)


def test_a_checkpoint_that_the_first_rank_cannot_write(tmp_path: Path) -> None:
    assert run_ranks(cannot_save, 2, tmp_path) == [("NotADirectoryError", 3), ("RanksError", 3)]
