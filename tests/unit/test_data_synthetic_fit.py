"""synthetic:kaggle beside what was measured on Criteo Kaggle, and the measures themselves on logs one can see."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotline_host.data.sources import load
from hotline_host.data.synthetic_fit import KAGGLE, Figures, keys_of, main, measure
from hotline_host.data.synthetic_hot import all_hot, by_frequency, by_sample, running_top, srrip


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
    """Both as a product over the tables of the log, and in a log that is drawn so, whose rows are as frequent."""
    assert figures.independent[1:] == pytest.approx(KAGGLE.independent[1:], rel=0.15)
    assert 1e-5 < figures.independent[0] < 1e-4
    keys = keys_of(load("synthetic:kaggle,independent=1", seed=0))
    counts = np.bincount(keys.ravel())
    assert len(counts) == pytest.approx(KAGGLE.rows, rel=0.1)
    hot = by_frequency(counts, len(counts) // 10)
    assert hot[keys].mean() == pytest.approx(KAGGLE.served[2], rel=0.1)
    assert all_hot(keys, hot) == pytest.approx(KAGGLE.independent[2], rel=0.1)


def test_keys_are_numbered_as_rows_first_appear() -> None:
    log = load("synthetic:taobao", samples=500)
    keys = keys_of(log)
    values, first = np.unique(keys.ravel(), return_index=True)
    assert values.tolist() == list(range(log.rows.sum()))
    assert (np.diff(first) > 0).all()
    for table in range(4):  # as many rows as the table, each of them one key
        pairs = np.unique(np.column_stack([keys[:, table], log.indices[table::4]]), axis=0)
        assert len(pairs) == log.rows[table]


def completes(keys: np.ndarray, rows: tuple[int, ...]) -> int:
    return int(np.isin(keys, rows).all(axis=1).sum())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(4, 7), st.integers(8, 10)), min_size=1, max_size=12))
def test_peeling_removes_the_row_that_the_fewest_complete_samples_need(samples: list[tuple[int, ...]]) -> None:
    keys = np.unique(np.array(samples), return_inverse=True)[1].reshape(-1, 3)
    rows = int(keys.max()) + 1
    shares = by_sample(keys, tuple(range(rows + 1)))
    assert shares[rows] == 1
    assert shares[0] == 0
    assert list(shares) == sorted(shares)
    for size in range(rows + 1):
        best = max(completes(keys, kept) for kept in itertools.combinations(range(rows), size))
        assert shares[size] * len(keys) <= best + 1e-9
    # The first row to go is one of least need, whichever.
    need = np.bincount(keys.ravel())
    assert (1 - shares[rows - 1]) * len(keys) == pytest.approx(need.min())


def test_peeling_sees_what_frequency_does_not() -> None:
    """Row 9 is the most frequent, and completes nothing: its samples need a row each of their own."""
    keys = np.array([[0, 1]] * 3 + [[9, row] for row in range(2, 9)])
    counts = np.bincount(keys.ravel())
    assert all_hot(keys, by_frequency(counts, 2)) == 0
    assert by_sample(keys, (2,)) == (0.3,)


def test_by_frequency() -> None:
    np.testing.assert_array_equal(by_frequency(np.array([3, 0, 5, 3]), 2), [True, False, True, False])
    np.testing.assert_array_equal(by_frequency(np.array([3, 0, 5, 3]), 9), [True, False, True, True])


def test_running_top() -> None:
    keys = np.array([[0], [0], [1], [2], [0], [2], [2], [2], [2]])
    # Chosen before each of the last six: 0 while it has 2 or 3 lookups and row 2 no more, then 2.
    assert running_top(keys, 1, start=3, every=1) == pytest.approx(2 / 6)
    assert running_top(keys, 2, start=3, every=6) == pytest.approx(1 / 6)


def test_srrip() -> None:
    # One set of two ways: 0 is hit and stays, 1, 2 and 3 drive one another out.
    keys = np.array([[0], [0], [1], [2], [3], [0], [3], [1]])
    assert srrip(keys, 2, start=2, ways=2) == pytest.approx(2 / 6)


def test_the_printed_table(capsys: pytest.CaptureFixture[str]) -> None:
    main(["synthetic:taobao,rare=2"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["| | synthetic:taobao,rare=2 |", "|---|---|"]
    assert [line.split("|")[1].strip() for line in lines[2:4]] == ["rows", "once"]
