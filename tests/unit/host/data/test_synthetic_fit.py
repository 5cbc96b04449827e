"""Compares synthetic:kaggle with what was measured on Criteo Kaggle. Tests the measures on logs one can see."""

from __future__ import annotations

import numpy as np
import pytest

from hotline_host.data.sources import load
from hotline_host.experiments.synthetic_fit import KAGGLE, Figures, all_hot, hottest, keys_of, main, measure


@pytest.fixture(scope="module")
def figures() -> Figures:
    return measure(load("synthetic:kaggle", seed=0))


@pytest.mark.parametrize("figure", ["rows", "once", "growth", "slopes", "served", "popular", "cold", "cold_lookups"])
def test_within_a_tenth_of_the_real_log(figures: Figures, figure: str) -> None:
    assert getattr(figures, figure) == pytest.approx(getattr(KAGGLE, figure), rel=0.1)


@pytest.mark.parametrize("figure", ["half_popular", "half_peeled", "half_running", "half_srrip"])
def test_trackers_do_as_on_the_real_log(figures: Figures, figure: str) -> None:
    assert getattr(figures, figure)[1:] == pytest.approx(getattr(KAGGLE, figure)[1:], rel=0.15)
    assert getattr(figures, figure)[0] == pytest.approx(getattr(KAGGLE, figure)[0], rel=0.3)


def test_independent_columns_are_hardly_ever_hot_together(figures: Figures) -> None:
    """Holds for the product over the tables of the log, and in a log that is drawn so, whose rows are as frequent."""
    assert figures.independent[1:] == pytest.approx(KAGGLE.independent[1:], rel=0.15)
    assert 1e-5 < figures.independent[0] < 1e-4
    keys = keys_of(load("synthetic:kaggle,independent=1", seed=0))
    counts = np.bincount(keys.ravel())
    assert len(counts) == pytest.approx(KAGGLE.rows, rel=0.1)
    hot = hottest(keys, len(counts) // 10)
    assert hot[keys].mean() == pytest.approx(KAGGLE.served[2], rel=0.1)
    assert all_hot(keys, hot) == pytest.approx(KAGGLE.independent[2], rel=0.1)


def test_keys_are_numbered_as_rows_first_appear() -> None:
    log = load("synthetic:taobao", samples=500)
    keys = keys_of(log)
    values, first = np.unique(keys.ravel(), return_index=True)
    assert values.tolist() == list(range(log.rows.sum()))
    assert (np.diff(first) > 0).all()
    for table in range(4):  # there are as many rows as in the table, and each is one key
        pairs = np.unique(np.column_stack([keys[:, table], log.indices[table::4]]), axis=0)
        assert len(pairs) == log.rows[table]


def test_the_hottest_rows() -> None:
    keys = np.repeat([0, 1, 2, 3], [3, 1, 5, 3])[:, None]
    np.testing.assert_array_equal(hottest(keys, 2), [True, False, True, False])
    assert all_hot(keys, hottest(keys, 2)) == 8 / 12


def test_the_printed_table(capsys: pytest.CaptureFixture[str]) -> None:
    main(["synthetic:taobao,rare=2"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["| | synthetic:taobao,rare=2 |", "|---|---|"]
    assert [line.split("|")[1].strip() for line in lines[2:4]] == ["rows", "once"]
