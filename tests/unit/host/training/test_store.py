"""EmbeddingStore: rows keep their value and optimizer state wherever they are, and have one owner."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hotline_device.host_memory import HostMemory
from hotline_host.training.store import EmbeddingStore, OwnershipError, TableRows, initial_table

ROWS = np.array([5, 1, 9])
KEYS = int(ROWS.sum())
SLOTS = 6


def store(**settings: object) -> EmbeddingStore:
    return EmbeddingStore(ROWS, 3, SLOTS, dtype=torch.float64, seed=7, **settings)


@st.composite
def hot_sets(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    keys = draw(st.lists(st.integers(0, KEYS - 1), unique=True, max_size=SLOTS))
    slots = draw(st.permutations(range(SLOTS)))[: len(keys)]
    return np.array(keys, dtype=np.int64), np.array(slots, dtype=np.int64)


def write(store: EmbeddingStore, key: int, value: float) -> None:
    """Writes row and accumulator at the row's owner."""
    slot = int(store.slot_of[key])
    rows, accumulators, at = (
        (store.hot, store.hot_accumulator, slot) if slot >= 0 else (store.cold, store.cold_accumulator, key)
    )
    rows[at], accumulators[at] = value, -value


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(hot_sets(), st.lists(st.integers(0, KEYS - 1), max_size=4)), max_size=6))
def test_rows_and_accumulators_survive_every_move(history: list) -> None:
    embeddings = store()
    expected = torch.cat(store().export()[0])
    expected_accumulators = torch.zeros(KEYS, dtype=torch.float64)
    for step, ((keys, slots), written) in enumerate(history):
        before = embeddings.slot_of.copy()
        moved = embeddings.place(keys, slots)
        for number, key in enumerate(written):
            write(embeddings, key, value := 100.0 * step + number + 1)
            expected[key], expected_accumulators[key] = value, -value

        wanted = np.full(KEYS, -1)
        wanted[keys] = slots
        np.testing.assert_array_equal(embeddings.slot_of, wanted)
        np.testing.assert_array_equal(embeddings.key_of[slots], keys)
        assert (embeddings.key_of >= 0).sum() == len(keys)
        changed = before != wanted
        assert moved == (changed & (before >= 0)).sum() + (changed & (wanted >= 0)).sum()
        assert torch.equal(torch.cat(embeddings.export()[0]), expected)
        assert torch.equal(torch.cat(embeddings.export()[1]), expected_accumulators)
        assert torch.equal(embeddings.hot[slots], expected[keys])
        # A place that owns no row holds NaN.
        assert embeddings.cold[keys].isnan().all()
        assert embeddings.cold_accumulator[keys].isnan().all()
        assert embeddings.hot[embeddings.key_of < 0].isnan().all()
        assert not embeddings.cold[wanted < 0].isnan().any()


def test_promote_then_demote_some() -> None:
    embeddings = store()
    start = torch.cat(embeddings.export()[0])
    embeddings.promote(np.array([3, 14]), np.array([5, 0]))
    embeddings.hot[5] = 2.0
    embeddings.demote(np.array([5]))
    assert embeddings.slot_of[3] == -1
    assert embeddings.slot_of[14] == 0
    assert embeddings.cold[3].tolist() == [2.0, 2.0, 2.0]
    assert torch.equal(embeddings.hot[0], start[14])
    assert torch.equal(embeddings.gather(torch.tensor([3, 2])), torch.stack([torch.full((3,), 2.0), start[2]]))


@pytest.mark.parametrize(
    ("move", "error", "message"),
    [
        (
            lambda s: s.promote([3], [1]),
            OwnershipError,
            "row 3 of table 0 is taken to be cold, but it is hot in slot 0",
        ),
        (lambda s: s.promote([4], [0]), OwnershipError, "slot 0 already holds row 3 of table 0"),
        (lambda s: s.promote([5, 5], [1, 2]), OwnershipError, "row 0 of table 1 is given two slots"),
        (lambda s: s.promote([5, 6], [2, 2]), OwnershipError, "slot 2 is named twice"),
        (lambda s: s.promote([5], [SLOTS]), IndexError, "slot 6 is outside the hot table of 6 rows"),
        (lambda s: s.promote([KEYS], [1]), IndexError, "key 15 is none of the 15 rows"),
        (lambda s: s.promote([5, 6], [1]), ValueError, "equally long"),
        (lambda s: s.demote([4]), OwnershipError, "slot 4 holds no row"),
        (lambda s: s.demote([0, 0]), OwnershipError, "slot 0 is named twice"),
        (lambda s: s.demote([-1]), IndexError, "slot -1 is outside"),
        (lambda s: s.place([5, 5], [1, 2]), OwnershipError, "given two slots"),
        (lambda s: s.place([5, 6], [2, 2]), OwnershipError, "slot 2 is named twice"),
        (lambda s: s.apply([0], [5], [4]), OwnershipError, "slot 0 is taken to hold row 4 of .*, but it holds row 3"),
        (lambda s: s.apply([0], [5], [-1]), OwnershipError, "slot 0 is taken to hold no row, but it holds row 3"),
        (lambda s: s.apply([1], [5], [3]), OwnershipError, "slot 1 is taken to hold row 3 of table 0, but it holds no"),
        (lambda s: s.apply([1, 0], [6, 3], [-1, 3]), OwnershipError, "row 3 of table 0 is taken to be cold, but it is"),
        (lambda s: s.apply([1, 2], [6, 6], [-1, -1]), OwnershipError, "given two slots"),
        (lambda s: s.apply([1, 1], [6, 7], [-1, -1]), OwnershipError, "slot 1 is named twice"),
        (lambda s: s.apply([1], [6], [-1, -1]), ValueError, "equally long"),
        (lambda s: s.apply([SLOTS], [6], [-1]), IndexError, "slot 6 is outside"),
        (lambda s: s.check_owner(np.array([3]), np.array([-1])), OwnershipError, "taken to be cold"),
        (lambda s: s.check_owner(np.array([3]), np.array([2])), OwnershipError, "taken to be hot in slot 2"),
        (lambda s: s.check_owner(np.array([1, 6]), np.array([-1, 4])), OwnershipError, "lookup 1: row 0 of table 2"),
    ],
)
def test_violation_raises_and_moves_nothing(move, error: type[Exception], message: str) -> None:
    embeddings = store()
    embeddings.place(np.array([3]), np.array([0]))
    before = [tensor.clone() for tensor in (embeddings.hot, embeddings.cold)], embeddings.slot_of.copy()
    with pytest.raises(error, match=message):
        move(embeddings)
    for tensor, was in zip((embeddings.hot, embeddings.cold), before[0], strict=True):
        torch.testing.assert_close(tensor, was, rtol=0, atol=0, equal_nan=True)
    np.testing.assert_array_equal(embeddings.slot_of, before[1])


def test_apply_hands_slots_over_with_optimizer_state() -> None:
    embeddings = store()
    start = torch.cat(embeddings.export()[0])
    embeddings.promote(np.array([3, 14]), np.array([5, 0]))
    embeddings.hot[5], embeddings.hot_accumulator[5] = 2.0, 9.0
    embeddings.cold_accumulator[7] = 4.0
    assert embeddings.apply(np.array([5, 1]), np.array([7, 2]), np.array([3, -1])) == 3
    assert embeddings.slot_of[[3, 7, 2, 14]].tolist() == [-1, 5, 1, 0]
    assert embeddings.cold[3].tolist() == [2.0] * 3 and embeddings.cold_accumulator[3] == 9.0
    assert torch.equal(embeddings.hot[[5, 1, 0]], start[[7, 2, 14]]) and embeddings.hot_accumulator[5] == 4.0
    assert embeddings.cold[[7, 2, 14]].isnan().all()
    assert embeddings.apply(np.empty(0, int), np.empty(0, int), np.empty(0, int)) == 0


def test_initial_rows_come_from_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = initial_table(ROWS, 3, seed=7, dtype=torch.float64)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(first, initial_table(ROWS, 3, seed=7, dtype=torch.float64))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, initial_table(ROWS, 3, seed=7, dtype=torch.float32).double())
    assert not torch.equal(first, initial_table(ROWS, 3, seed=8, dtype=torch.float64))
    for table, rows in zip(first.split(ROWS.tolist()), ROWS, strict=True):
        assert 0.1 * rows**-0.5 < table.abs().max() <= rows**-0.5


def test_cold_rows_in_memory_that_is_shared() -> None:
    memory = HostMemory()
    shared, alone = store(memory=memory), store()
    assert alone.region is None and shared.region is memory.regions[0] and shared.row_bytes == 24
    there = shared.region.array((KEYS, 3), np.float64)
    assert torch.equal(shared.cold, alone.cold) and (there == alone.cold.numpy()).all()
    shared.cold[4] = 2.5
    assert (there[4] == 2.5).all()
    there[5] = 1.5
    shared.promote(np.array([5]), np.array([0]))
    assert (shared.hot[0] == 1.5).all() and np.isnan(there[5]).all()
    memory.close()
    assert shared.cold[4, 0] == 2.5 and torch.cat(shared.export()[0])[5, 0] == 1.5, "what is held stays"


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
