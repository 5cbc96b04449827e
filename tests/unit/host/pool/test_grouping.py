"""Lookups grouped by row, against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotline_host.pool.grouping import CHUNK, Grouping


def check(grouping: Grouping, ids: np.ndarray, of: np.ndarray | None, skip: int) -> None:
    """Groups the lookups, and compares rows, bags and chunks."""
    n = len(ids)
    bags, rows, row_chunks, chunk_starts = (np.full(length, -9, np.int32) for length in (n, n, n + 1, n + 1))
    u, c = grouping.group(ids, of, skip, bags, rows, row_chunks, chunk_starts)
    expected: dict[int, list[int]] = {}
    for row, bag in zip(ids.tolist(), range(n) if of is None else of.tolist(), strict=True):
        if row != skip:
            expected.setdefault(row, []).append(bag)
    assert rows[:u].tolist() == sorted(expected)
    for i, row in enumerate(sorted(expected)):
        first, last = row_chunks[i : i + 2]
        assert bags[chunk_starts[first] : chunk_starts[last]].tolist() == expected[row]
        lengths = np.diff(chunk_starts[first : last + 1])
        assert (lengths[:-1] == CHUNK).all() and 0 < lengths[-1] <= CHUNK  # as few chunks as can be
    kept = sum(map(len, expected.values()))
    assert row_chunks[0] == chunk_starts[0] == 0 and row_chunks[u] == c and chunk_starts[c] == kept
    for array, used in ((bags, kept), (rows, u), (row_chunks, u + 1), (chunk_starts, c + 1)):
        assert (array[used:] == -9).all()


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_against_a_loop(data: st.DataObject) -> None:
    """Pools of one digit and of several; the zero row may be looked up, or none may be left out."""
    limit = data.draw(st.sampled_from([1, 2, 5, 300, 2048, 2049, 3_400_000, 2**31 - 1]))
    few = st.lists(st.integers(0, limit - 1), min_size=1, max_size=4)
    ids = data.draw(st.lists(st.sampled_from(data.draw(few)) | st.integers(0, limit - 1), max_size=300))
    bags = np.sort(np.random.default_rng(len(ids)).integers(0, 50, len(ids))).astype(np.int32)
    grouping = Grouping(len(ids) + data.draw(st.integers(0, 3)), limit)
    check(grouping, np.array(ids, np.int32), data.draw(st.sampled_from([None, bags])), data.draw(
        st.sampled_from([-1, limit - 1])
    ))  # fmt: skip


def test_it_is_used_again() -> None:
    rng = np.random.default_rng(1)
    grouping = Grouping(5000, 401)
    for lookups in (5000, 10, 0, 4999):
        ids = rng.integers(0, 401, lookups).astype(np.int32)
        ids[rng.random(lookups) < 0.4] = 7  # the hottest row has thousands of lookups
        check(grouping, ids, None, 400)


@pytest.mark.parametrize("lookups", [CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1])
def test_full_chunks(lookups: int) -> None:
    ids = np.repeat(np.arange(3, dtype=np.int32), lookups)
    check(Grouping(len(ids), 3), ids, None, -1)
