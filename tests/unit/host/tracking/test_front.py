"""Which rows the front table holds."""

from __future__ import annotations

import numpy as np

from hotline_host.tracking.front import FrontChooser

U = np.uint64


def test_the_most_frequent_rows_in_steady_order():
    chooser = FrontChooser(2, lanes=16)
    assert chooser.choose(np.repeat(np.array([7, 5, 9, 7], U), [5, 8, 10, 6]))
    assert chooser.table.tolist() == [7, 9]


def test_rare_rows_have_no_place():
    """From a share of 1 / (8 * lanes) and eight lookups on."""
    chooser = FrontChooser(4, lanes=2)
    assert not chooser.choose(np.repeat(U(3), 7))
    words = np.arange(160, dtype=U)
    words[:10], words[10:19] = 1000, 1001  # a sixteenth, and less
    assert chooser.choose(words) and chooser.table.tolist() == [1000]


def test_the_table_does_not_change_back_and_forth():
    chooser = FrontChooser(1, lanes=2)

    def lookups(ones: int, twos: int) -> np.ndarray:
        return np.repeat(np.array([1, 2], U), [ones, twos])

    assert chooser.choose(lookups(12, 8))
    assert not chooser.choose(lookups(8, 12)), "nearly as frequent"
    assert not chooser.choose(lookups(12, 0)) and not chooser.choose(lookups(0, 4))
    assert chooser.table.tolist() == [1]
    assert chooser.choose(lookups(5, 12)) and chooser.table.tolist() == [2]
    chooser.emptied()
    assert not len(chooser.table) and chooser.choose(lookups(5, 12))


def test_when_it_looks():
    chooser = FrontChooser(4, lanes=2)
    assert [chooser.due() for _ in range(18)] == [True, *[False] * 15, True, False]
    chooser.selected()
    assert chooser.due() and not chooser.due()


def test_the_sample_is_spread_over_all_tables():
    chooser = FrontChooser(16, lanes=16)
    for lookups, tables in ((2048 * 26, 26), (2048 * 8, 8), (2048 * 2, 2)):
        places = chooser.positions(lookups)
        assert len(places) == 2048 and places.min() >= 0 and places.max() < lookups
        counts = np.bincount(places % tables, minlength=tables)
        assert counts.min() > 0.8 * 2048 / tables and counts.max() < 1.25 * 2048 / tables
        quarters = np.bincount(places * 4 // lookups)
        assert quarters.max() - quarters.min() < 20
    assert chooser.positions(5).tolist() == [0, 1, 2, 3, 4]
