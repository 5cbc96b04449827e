"""Which rows the front table holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hotline_host.tracking.front import FrontChooser
from hotline_hw.spec.params import preset

KAGGLE = replace(preset("kaggle"), front_rows=2)
U = np.uint64
MANY = 1 << 20  # lookups in a mini-batch, so that a change pays


def lookups(*counts: int) -> np.ndarray:
    """Row 0 so many times, row 1 so many, ... and 1,000 other rows."""
    return np.concatenate([np.repeat(np.arange(len(counts), dtype=U), counts), np.arange(1000, 2000, dtype=U)])


def test_the_most_frequent_rows_in_steady_order():
    chooser = FrontChooser(KAGGLE)
    assert chooser.choose(lookups(300, 100, 200), MANY)
    assert chooser.table.tolist() == [0, 2]


def test_no_table_for_lookups_that_banks_share_evenly():
    chooser = FrontChooser(KAGGLE)
    assert not chooser.choose(np.arange(2048, dtype=U), MANY)
    assert not chooser.choose(np.empty(0, U), 0) and not len(chooser.table)


def test_a_change_must_pay():
    """Row 1 takes 300 of 1,300 lookups, 219 cycles of the sample more than its beats. A change costs 128."""
    chooser = FrontChooser(KAGGLE)
    words = lookups(0, 300)
    assert not chooser.choose(words, len(words) // 4) and not len(chooser.table)
    assert chooser.choose(words, len(words)) and 1 in chooser.table


def test_the_table_does_not_change_back_and_forth():
    chooser = FrontChooser(KAGGLE)
    assert chooser.choose(lookups(300, 200), MANY)
    assert not chooser.choose(lookups(100, 400), MANY), "both are there"
    assert not chooser.choose(np.arange(5, dtype=U), 5)
    assert chooser.choose(lookups(0, 0, 300, 300), MANY) and chooser.table.tolist() == [2, 3]
    chooser.emptied()
    assert not len(chooser.table) and chooser.choose(lookups(0, 0, 300, 300), MANY)


def test_the_sample_is_spread_over_all_tables():
    chooser = FrontChooser(KAGGLE)
    for total, tables in ((2048 * 26, 26), (2048 * 8, 8), (2048 * 2, 2)):
        places = chooser.positions(total)
        assert len(places) == 2048 and places.min() >= 0 and places.max() < total
        counts = np.bincount(places % tables, minlength=tables)
        assert counts.min() > 0.8 * 2048 / tables and counts.max() < 1.25 * 2048 / tables
        quarters = np.bincount(places * 4 // total)
        assert quarters.max() - quarters.min() < 20
    assert chooser.positions(5).tolist() == [0, 1, 2, 3, 4]
