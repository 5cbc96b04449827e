"""Which options may follow `synthetic:`, and what each does."""

from __future__ import annotations

import numpy as np
import pytest

from hotline_host.data.log import DataError
from hotline_host.data.sources import load
from hotline_host.data.synthetic.clusters import LARGE
from hotline_host.data.synthetic.generator import Stream
from hotline_host.data.synthetic.options import Options, parse
from hotline_host.data.synthetic.shapes import SHAPES


def test_options() -> None:
    assert parse("kaggle") == ("kaggle", Options())
    assert parse("terabyte,shift=1000,shift_share=0.3,independent=1,rare=4") == (
        "terabyte",
        Options(shift=1000, shift_share=0.3, independent=True, rare=4),
    )
    assert parse("taobao,independent=0,rare=2") == ("taobao", Options(rare=2))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "avazu",
            "there is no generated log synthetic:avazu; there are synthetic:kaggle, synthetic:terabyte, "
            "synthetic:mlperf-multihot, synthetic:taobao",
        ),
        (
            "kaggle,skew=2",
            "synthetic:kaggle,skew=2: there is no option 'skew=2'; synthetic:kaggle takes shift=VALUE, "
            "shift_share=VALUE, independent=VALUE, rare=VALUE, vocabulary=VALUE",
        ),
        ("kaggle,rare", "there is no option 'rare'; synthetic:kaggle takes"),
        ("kaggle,", "there is no option ''; synthetic:kaggle takes"),
        ("taobao,shift=5", "there is no option 'shift=5'; synthetic:taobao takes independent=VALUE, rare=VALUE"),
        ("kaggle,rare=2,rare=3", "synthetic:kaggle,rare=2,rare=3: rare is given twice; give it once"),
        ("kaggle,vocabulary=2", "vocabulary=2; vocabulary is a share above 0, at most 1"),
        ("kaggle,vocabulary=0.5,rare=2", "rare and vocabulary number the rows in two ways; give one of them"),
        ("kaggle,shift_share=0.5", "shift_share without shift; add shift=SAMPLES"),
        ("kaggle,shift=0", "synthetic:kaggle,shift=0: shift=0; shift is a whole number, 1 or more"),
        ("kaggle,shift=1e5", "shift=1e5; shift is a whole number, 1 or more"),
        ("kaggle,rare=-1", "rare=-1; rare is a whole number, 1 or more"),
        ("kaggle,independent=yes", "independent=yes; independent is 0 or 1"),
        ("kaggle,shift=9,shift_share=1.5", "shift_share=1.5; shift_share is a share above 0, at most 1"),
        ("kaggle,shift=9,shift_share=half", "shift_share=half; shift_share is a share above 0, at most 1"),
        ("kaggle,shift=9,shift_share=nan", "shift_share=nan; shift_share is a share above 0, at most 1"),
    ],
)
def test_a_spec_that_is_none(spec: str, message: str) -> None:
    with pytest.raises(DataError) as error:
        load(f"synthetic:{spec}")
    assert message in str(error.value)


def test_a_shift_gives_a_share_of_the_ranks_of_large_tables_other_rows() -> None:
    shape = SHAPES["kaggle"]
    steady = Stream("kaggle").draw(0, 6000).indices.reshape(6000, 26)
    shifting = Stream("kaggle,shift=2000,shift_share=0.3").draw(0, 6000).indices.reshape(6000, 26)
    np.testing.assert_array_equal(shifting[:2000], steady[:2000])
    for table, rows in enumerate(shape.rows):
        if rows <= LARGE:
            np.testing.assert_array_equal(shifting[:, table], steady[:, table])
            continue
        for start, moved in ((2000, 0.3), (4000, 1 - 0.7**2)):  # the second shift also moves ranks of the first
            before, after = steady[start : start + 2000, table], shifting[start : start + 2000, table]
            distinct, where = np.unique(before, return_index=True)
            assert (after[where] != distinct).mean() == pytest.approx(moved, abs=0.1)
            # A rank keeps its row until the next shift.
            pairs = np.unique(np.column_stack([before, after]), axis=0)
            assert len(pairs) == len(distinct)


def test_independent_columns_have_the_same_rows_but_not_together() -> None:
    together = Stream("kaggle").draw(0, 30_000).indices.reshape(-1, 26)
    apart = Stream("kaggle,independent=1").draw(0, 30_000).indices.reshape(-1, 26)
    for table in (2, 9, 25):
        values, counts = np.unique(together[:, table], return_counts=True)
        hot = values[np.argsort(-counts)[:20]]
        shares = [np.isin(rows[:, table], hot).mean() for rows in (together, apart)]
        assert shares[0] == pytest.approx(shares[1], rel=0.2)
    # How much more often than by chance two large tables have a row of their own at once.
    once = [np.column_stack([seen_once(rows[:, table]) for table in (2, 11)]) for rows in (together, apart)]
    ratio = [both.all(axis=1).mean() / both.mean(axis=0).prod() for both in once]
    assert ratio[0] > 1.5
    assert ratio[1] == pytest.approx(1, abs=0.05)


def seen_once(column: np.ndarray) -> np.ndarray:
    _, where, counts = np.unique(column, return_inverse=True, return_counts=True)
    return counts[where] == 1


def test_rare_values_share_a_row() -> None:
    log = load("synthetic:kaggle", samples=3000)
    merged = load("synthetic:kaggle,rare=3", samples=3000)
    assert log.rule == "every value keeps its own row"
    assert merged.rule == "values seen fewer than 3 times in the log share one row of their table"
    np.testing.assert_array_equal(merged.label, log.label)
    for table in range(26):
        plain, column = log.indices[table::26], merged.indices[table::26]
        counts = np.bincount(plain)
        rare = counts[plain] < 3
        assert len(np.unique(column[rare])) <= 1
        assert not np.isin(column[~rare], column[rare]).any()
        assert merged.rows[table] == (counts >= 3).sum() + rare.any()
        # The other tables stay independent, and rows are numbered in order of first appearance.
        assert len(np.unique(np.column_stack([plain, column])[~rare], axis=0)) == (counts >= 3).sum()
        values, first = np.unique(column, return_index=True)
        assert values.tolist() == list(range(merged.rows[table]))
        assert (np.diff(first) > 0).all()
    same = load("synthetic:kaggle,rare=1", samples=3000)
    np.testing.assert_array_equal(same.indices, log.indices)
    assert same.rule == log.rule


def test_a_share_of_the_vocabulary_is_there_whether_or_not_a_row_occurs():
    """Small tables keep all of their rows; raw rows are taken modulo the rest."""
    stream = Stream("kaggle,vocabulary=0.01", seed=4)
    log, raw = stream.log(300), Stream("kaggle", seed=4).draw(0, 300)
    expected = np.where(stream.rows <= 10_000, stream.rows, np.maximum(np.ceil(0.01 * stream.rows), 10_000))
    assert np.array_equal(log.rows, expected)
    assert np.array_equal(log.indices, raw.indices % np.tile(log.rows[stream.lookup_tables], 300))
    assert "0.01 of the full vocabulary" in log.rule
