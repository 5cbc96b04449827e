"""EmbeddingPool and PoolTrainer: rows keep their value and optimizer state wherever they are, and have one owner."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hotline_device.host_memory import HostMemory
from hotline_host.pool.rows import OwnershipError, TableRows
from hotline_host.training.dlrm import ModelConfig
from hotline_host.training.inputs import StepSize
from hotline_host.training.pool_trainer import PoolTrainer
from hotline_host.training.trainer import TrainConfig

ROWS = np.array([5, 1, 9])
KEYS = int(ROWS.sum())
TABLE_OF = np.repeat(np.arange(3), ROWS)
ROW_OF = np.concatenate([np.arange(rows) for rows in ROWS])
SLOTS = 6


def trainer(**options: object) -> PoolTrainer:
    config = TrainConfig(ModelConfig(dimension=3, bottom=(2,), top=(2,)))
    size = StepSize(samples=2, lookups=6, tables=3, features=0, moves=2)
    return PoolTrainer(config, ROWS, SLOTS, size, **{"dtype": torch.float64, "seed": 7, "check": True} | options)


def place(target: PoolTrainer, keys: list | np.ndarray, slots: list | np.ndarray) -> int:
    return target.place(TABLE_OF[keys], ROW_OF[keys], np.array(slots))


@st.composite
def hot_sets(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    keys = draw(st.lists(st.integers(0, KEYS - 1), unique=True, max_size=SLOTS))
    slots = draw(st.permutations(range(SLOTS)))[: len(keys)]
    return np.array(keys, dtype=np.int64), np.array(slots, dtype=np.int64)


def write(target: PoolTrainer, key: int, value: float) -> None:
    """Writes row and state at the row's owner."""
    pool, slots = target.pool, np.flatnonzero(target.hot_keys == key)
    rows, state, at = (pool.rows, pool.state, slots[0]) if len(slots) else (pool.cold, pool.cold_state, key)
    rows[at], state[at] = value, -value


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(hot_sets(), st.lists(st.integers(0, KEYS - 1), max_size=4)), max_size=6))
def test_rows_and_states_survive_every_placement(history: list) -> None:
    target = trainer()
    pool = target.pool
    expected = torch.cat(trainer().export()[0])
    expected_state = torch.zeros(KEYS, dtype=torch.float64)
    for step, ((keys, slots), written) in enumerate(history):
        assert place(target, keys, slots) == len(keys)
        for number, key in enumerate(written):
            write(target, key, value := 100.0 * step + number + 1)
            expected[key], expected_state[key] = value, -value

        wanted = np.full(SLOTS, -1)
        wanted[slots] = keys
        np.testing.assert_array_equal(target.hot_keys, wanted)
        np.testing.assert_array_equal(target.planner.key_at[:SLOTS], wanted)
        assert torch.equal(torch.cat(target.export()[0]), expected)
        assert torch.equal(torch.cat(target.export()[1]), expected_state)
        assert torch.equal(pool.rows[slots], expected[keys])
        # A place that owns no row holds NaN.
        assert pool.cold[keys].isnan().all() and pool.cold_state[keys].isnan().all()
        assert pool.rows[:SLOTS][wanted < 0].isnan().all() and pool.rows[SLOTS : pool.shape.zero].isnan().all()
        assert not pool.cold[np.setdiff1d(np.arange(KEYS), keys)].isnan().any()
        assert not pool.rows[pool.shape.zero].any(), "the zero row"


@pytest.mark.parametrize(
    ("keys", "slots", "error", "message"),
    [
        ([5, 5], [1, 2], OwnershipError, "row 0 of table 1 is given two slots; a row has one owner"),
        ([5, 6], [2, 2], OwnershipError, "slot 2 is named twice"),
        ([5], [SLOTS], IndexError, "slot 6 is outside the hot table of 6 rows"),
        ([5], [-1], IndexError, "slot -1 is outside the hot table of 6 rows"),
        ([5, 6], [1], ValueError, "equally long"),
    ],
)
def test_a_placement_that_is_wrong_moves_nothing(keys, slots, error: type[Exception], message: str) -> None:
    target = trainer()
    place(target, [3], [0])
    before = [tensor.clone() for tensor in (target.pool.rows, target.pool.cold)]
    with pytest.raises(error, match=message):
        place(target, keys, slots)
    for tensor, was in zip((target.pool.rows, target.pool.cold), before, strict=True):
        torch.testing.assert_close(tensor, was, rtol=0, atol=0, equal_nan=True)
    assert target.hot_keys.tolist() == [3, -1, -1, -1, -1, -1] == target.planner.key_at[:SLOTS].tolist()


def test_without_check_nothing_is_poisoned() -> None:
    target = trainer(check=False)
    place(target, [3, 14], [5, 0])
    assert not target.pool.rows.isnan().any() and not target.pool.cold.isnan().any()


def test_halves_begin_where_the_accelerator_can_write() -> None:
    shape = trainer().pool.shape
    assert shape.working_rows % 64 == 0 and shape.working_rows >= 6 + 2 * 2
    assert shape.rows == SLOTS + 2 * shape.working_rows + 1 and shape.begin(1) == SLOTS + shape.working_rows
    assert trainer(all_hot=True).pool.shape.working_rows == 0


def test_rows_in_memory_that_is_shared() -> None:
    memory = HostMemory()
    shared, alone = trainer(memory=memory), trainer()
    pool = shared.pool
    assert alone.pool.region is alone.pool.staging is None and pool.row_bytes == 24
    assert [pool.region, pool.staging] == memory.regions
    there = pool.region.array((KEYS, 3), np.float64)
    assert torch.equal(pool.cold, alone.pool.cold) and (there == alone.pool.cold.numpy()).all()
    pool.cold[4] = 2.5
    assert (there[4] == 2.5).all()
    there[5] = 1.5
    place(shared, [5], [0])
    assert (pool.rows[0] == 1.5).all() and np.isnan(there[5]).all()
    working = pool.shape.working_rows
    gathered = pool.staging.array((2, working, 3), np.float64)
    gathered[1, 2] = 4.5
    assert (pool.staged[1][2] == 4.5).all() and len(pool.staged) == 2
    memory.close()
    assert pool.cold[4, 0] == 2.5 and torch.cat(shared.export()[0])[5, 0] == 1.5, "what is held stays"


def test_keys() -> None:
    tables = TableRows(ROWS)
    assert tables.keys(np.array([0, 0, 1, 2, 2]), np.array([0, 4, 0, 0, 8])).tolist() == [0, 4, 5, 6, 14]
    assert [tables.name(key) for key in (4, 5, 14)] == ["row 4 of table 0", "row 0 of table 1", "row 8 of table 2"]


@pytest.mark.parametrize(
    ("table", "row", "message"),
    [
        (1, 1, "lookup 1: row 1 of table 1, but table 1 has 1 rows"),
        (0, -1, "lookup 1: row -1 of table 0"),
        (3, 0, "table 3 is none of 3"),
    ],
)
def test_lookup_outside_its_table(table: int, row: int, message: str) -> None:
    with pytest.raises(IndexError, match=message):
        TableRows(ROWS).keys(np.array([0, table]), np.array([0, row]))
