"""The row cache in software, against a plain one in Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotline_host.data.log import Batch
from hotline_host.errors import DataError, SettingsError
from hotline_host.splitters.set_cache import POLICIES, WAYS, SetCache, set_of
from tests.support.driving import batch_of
from tests.support.splitting import Key, check_split, keys
from tests.support.strategies import seeds

ROWS = np.array([150, 1, 90])
BASES = np.concatenate([[0], np.cumsum(ROWS)]).tolist()


class PlainCache:
    """The cache as its docstring tells it."""

    def __init__(self, hot_rows: int, policy: str) -> None:
        self.sets: list[list[Key | None]] = [[None] * WAYS for _ in range(hot_rows // WAYS)]
        self.policy, self.now = policy, 0
        self.used: dict[Key, int] = {}
        self.counts: dict[Key, int] = {}

    def slot_of(self) -> dict[Key, int]:
        rows = [row for ways in self.sets for row in ways]
        return {row: slot for slot, row in enumerate(rows) if row is not None}

    def take(self, lookups: list[Key]) -> list[tuple[int, Key, Key]]:
        """Moves the rows of the next mini-batch in. Returns (slot, row, evicted row or (-1, -1))."""
        cached, moves = self.slot_of(), []
        for row in lookups:
            self.used[row] = self.now
            self.counts[row] = self.counts.get(row, 0) + 1
        for row in dict.fromkeys(lookups):
            if row in cached:
                continue
            number = int(set_of(BASES[row[0]] + row[1], len(self.sets)))
            ways = self.sets[number]
            order = [(self._worth(there), way) for way, there in enumerate(ways) if not self._locked(there)]
            if not order:
                continue
            way = min(order)[1]
            victim = ways[way]
            if self.policy == "lfu" and victim and self.counts[victim] > self.counts[row]:
                continue
            ways[way] = row
            moves.append((number * WAYS + way, row, victim or (-1, -1)))
        self.now += 1
        return moves

    def _locked(self, row: Key | None) -> bool:
        return row is not None and self.used[row] >= self.now - 1

    def _worth(self, row: Key | None) -> tuple[int, int]:
        if row is None:
            return -1, -1
        return self.counts[row] if self.policy == "lfu" else 0, self.used[row]


def busy_batches(seed: int, count: int) -> list[Batch]:
    """Mini-batches of very different sizes: some need more rows of a set than it has ways."""
    rng = np.random.default_rng(seed)
    batches = []
    for _ in range(count):
        lengths = rng.integers(0, 3, (rng.choice([0, 3, 10, 40, 120]), len(ROWS)))
        tables = np.repeat(np.tile(np.arange(len(ROWS)), len(lengths)), lengths.ravel())
        batches.append(batch_of(lengths, (rng.random(len(tables)) ** 2 * ROWS[tables]).astype(int)))
    return batches


@settings(deadline=None, max_examples=60)  # the first example compiles
@given(seeds, st.integers(WAYS, 5 * WAYS), st.sampled_from(POLICIES), st.integers(0, 4))
def test_it_does_what_a_plain_cache_does(seed: int, hot_rows: int, policy: str, learned: int) -> None:
    cache = SetCache(ROWS, hot_rows, policy)
    plain = PlainCache(hot_rows, policy)
    assert cache.hot_rows == hot_rows // WAYS * WAYS and not any(len(part) for part in cache.placed())
    batches = busy_batches(seed, 12 + learned)
    cache.learn(batches[:learned])
    for batch in batches[:learned]:
        plain.take(keys(batch))
    plain.now += 1  # nothing is in training yet
    tables, rows, slots = cache.placed()
    slot_of = dict(zip(zip(tables.tolist(), rows.tolist(), strict=True), slots.tolist(), strict=True))
    assert slot_of == plain.slot_of()
    before: set[Key] = set()
    lookups = misses = conflicts = 0
    for batch in batches[learned:]:
        missing = len(set(keys(batch)) - set(slot_of))
        due = plain.take(keys(batch))
        followed = cache.split(batch)
        moves = followed.moves
        assert moves is not None and len(moves) <= cache.most_moves
        columns = (moves.slots, moves.tables, moves.rows, moves.evicted_tables, moves.evicted_rows)
        assert all(part.dtype == np.int64 for part in columns)
        came = [(slot, (t, r), (et, er)) for slot, t, r, et, er in np.array(columns).T.tolist()]
        assert came == due
        assert len(set(moves.slots.tolist())) == len(moves)
        for slot, row, evicted in came:
            assert row not in slot_of
            if evicted != (-1, -1):
                assert slot_of.pop(evicted) == slot
            assert slot not in slot_of.values()  # one row a slot, one slot a row
            slot_of[row] = slot
        assert slot_of == plain.slot_of() and moves.hot_count == len(slot_of)
        check_split(followed.split, batch, slot_of, before)
        lookups, misses = lookups + len(batch.indices), misses + missing
        conflicts += missing - len(moves)
        assert cache.counters() == {"lookups": lookups, "misses": misses, "conflicts": conflicts}


def rows_of(*rows: int) -> Batch:
    return batch_of(np.ones((len(rows), 1)), np.array(rows))


def moved(cache: SetCache, *rows: int) -> dict[int, int]:
    """Splits a mini-batch of these rows. Returns the rows that moved in, each with the row that it replaced."""
    moves = cache.split(rows_of(*rows)).moves
    assert moves is not None
    return dict(zip(moves.rows.tolist(), moves.evicted_rows.tolist(), strict=True))


def test_rows_of_this_mini_batch_and_the_one_before_are_locked() -> None:
    cache = SetCache(np.array([1000]), WAYS)
    assert moved(cache, *range(WAYS)) == dict.fromkeys(range(WAYS), -1)
    followed = cache.split(rows_of(100, 0))  # all 32 are still in training
    assert followed.split.slots[0] == -1 and followed.split.working is not None and len(followed.split.working) == 1
    assert moved(cache, 100, 1) == {100: 2}  # 0 was looked up by the mini-batch before, 1 is by this one
    assert followed.batch.indices.tolist() == [100, 0]


def test_what_is_learned_is_placed_and_not_locked() -> None:
    cache = SetCache(np.array([1000]), WAYS)
    cache.learn([rows_of(*range(100, 100 + WAYS)), rows_of(3)])
    tables, rows, slots = cache.placed()
    assert slots.tolist() == list(range(WAYS)) and tables.tolist() == [0] * WAYS
    assert 3 not in rows  # the first mini-batch locked all ways against the second
    followed = cache.split(rows_of(*rows.tolist()[1:], 3))
    assert followed.moves is not None and followed.split.working is not None
    assert followed.moves.rows.tolist() == [3] and followed.moves.evicted_rows.tolist() == [rows[0]]
    assert followed.split.popular.all() and len(followed.split.working) == 0
    assert cache.counters() == {"lookups": WAYS, "misses": 1, "conflicts": 0}


def test_lru_evicts_the_row_that_was_not_looked_up_longest() -> None:
    cache = SetCache(np.array([1000]), WAYS)
    moved(cache, *range(WAYS))
    for row in (*range(5), *range(6, WAYS)):
        assert moved(cache, row) == {}
    assert moved(cache, 500) == {500: 5}
    assert moved(cache, 501) == {501: 0}


def test_lfu_evicts_the_row_with_the_fewest_lookups_and_keeps_rarer_rows_out() -> None:
    cache = SetCache(np.array([1000]), WAYS, "lfu")
    moved(cache, *range(WAYS), *range(WAYS))
    assert moved(cache, 7) == {}
    for _ in range(2):
        for row in range(WAYS):
            if row != 9:
                moved(cache, row)
    assert moved(cache, 500) == {}  # one lookup, and row 9 has two
    assert moved(cache, 500) == {500: 9}


def test_what_cannot_be() -> None:
    with pytest.raises(SettingsError, match="cache policy is 'fifo'; it must be lru or lfu"):
        SetCache(ROWS, 64, "fifo")
    with pytest.raises(SettingsError, match="hot rows is 31; a cache of 32 ways needs at least 32"):
        SetCache(ROWS, 31)
    cache = SetCache(np.array([4]), WAYS)
    with pytest.raises(DataError, match="lookup 1 is of row 4 of table 0, which has 4 rows"):
        cache.split(rows_of(0, 4))
    assert moved(cache, 0, 1) == {0: -1, 1: -1}
