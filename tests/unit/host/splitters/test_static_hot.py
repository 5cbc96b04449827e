"""Splitters with hot rows that never change, against dictionaries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotline_host.errors import DataError, SettingsError
from hotline_host.splitters.splitter import Splitter
from hotline_host.splitters.static_hot import AllHot, StaticHot
from tests.support.driving import batch_of
from tests.support.splitting import ROWS, Key, check_split, hot_set, keys, log_batches
from tests.support.strategies import seeds


@settings(deadline=None)  # the first example compiles
@given(seeds, st.integers(0, 40))
def test_the_most_frequent_rows_are_hot(seed: int, hot_rows: int) -> None:
    learned, batches = log_batches(seed), log_batches(seed + 1)
    splitter = StaticHot(ROWS, hot_rows, learned)
    counts = dict.fromkeys(sorted(key for batch in learned for key in keys(batch)), 0)
    for batch in learned:
        for key in keys(batch):
            counts[key] += 1
    due = sorted(counts, key=lambda key: (-counts[key], key))[:hot_rows]
    slot_of = hot_set(splitter)
    assert slot_of == {key: slot for slot, key in enumerate(due)}
    before: set[Key] = set()
    for batch in batches:
        followed = splitter.split(batch)
        assert followed.batch is batch and followed.moves is None and followed.cycles == 0
        check_split(followed.split, batch, slot_of, before)
    assert splitter.most_moves == 0 and splitter.counters() is None
    splitter.close()


@settings(deadline=None)  # the first example compiles
@given(seeds)
def test_all_rows_are_hot(seed: int) -> None:
    splitter = AllHot(ROWS)
    assert splitter.hot_rows == ROWS.sum()
    slot_of = hot_set(splitter)
    assert sorted(slot_of.values()) == list(range(splitter.hot_rows))
    for batch in log_batches(seed):
        check_split(splitter.split(batch).split, batch, slot_of, set())


@pytest.mark.parametrize("splitter", [AllHot(ROWS), StaticHot(ROWS, 0, [])], ids=["all", "none"])
def test_a_row_beyond_its_table_is_named_and_changes_nothing(splitter: Splitter) -> None:
    lengths, good = np.ones((2, 3)), np.array([0, 0, 1, 2, 0, 3])
    before: set[Key] = set()
    check_split(splitter.split(batch_of(lengths, good)).split, batch_of(lengths, good), hot_set(splitter), before)
    for bad, row, table, there in ((4, 1, 1, 1), (5, 30, 2, 30), (3, -1, 0, 9)):
        indices = good.copy()
        indices[bad] = row
        with pytest.raises(DataError, match=f"lookup {bad} is of row {row} of table {table}, which has {there} rows"):
            splitter.split(batch_of(lengths, indices))
    with pytest.raises(DataError, match="a mini-batch has 2 tables, not 3"):
        splitter.split(batch_of(np.ones((1, 2)), np.zeros(2)))
    with pytest.raises(DataError, match="has 2 lookups, but its bags hold 3"):
        splitter.split(batch_of(np.ones((1, 3)), np.zeros(2)))
    check_split(splitter.split(batch_of(lengths, good)).split, batch_of(lengths, good), hot_set(splitter), before)


def test_what_cannot_be() -> None:
    with pytest.raises(SettingsError, match="hot rows is -1; it must be 0 or more"):
        StaticHot(ROWS, -1, [])
    with pytest.raises(DataError, match="rows in all; a splitter in software takes at most 2147483647"):
        AllHot(np.array([1 << 30, 1 << 30]))
