"""What ranks send each other for a mini-batch, against sets of rows in plain Python."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from hotline_host.plan import Moves, Split
from hotline_host.pool.exchange import Exchange, Route, Touched, exchange_of
from hotline_host.pool.planner import Planner, PoolShape
from hotline_host.pool.rows import TableRows
from hotline_host.pool.shards import Shards

RANKS, ROWS, HOT = 3, 50, 8
SHARDS = Shards(ROWS, RANKS)


def moves_to(planner: Planner, random: np.random.Generator) -> Moves:
    """Two cold rows take the slots of others."""
    hot = planner.key_at[:HOT]
    comes = random.permutation(np.setdiff1d(np.arange(ROWS), hot))[:2]
    slots = random.permutation(HOT)[:2]
    leaves, zero = hot[slots].copy(), np.zeros(2, np.int64)
    return Moves(slots, zero, comes, np.where(leaves < 0, -1, 0), leaves, HOT, 0, 0, 0)


def exchanged(seed: int, steps: int):
    """For each mini-batch the rows that each rank looks up, the slots of hot ones, moves, the rows by pool id, and the
    exchange of each rank."""
    random = np.random.default_rng(seed)
    planner, touched = Planner(TableRows(np.array([ROWS])), PoolShape(HOT, 128)), Touched()
    planner.place(np.arange(HOT), np.arange(HOT))
    for step in range(steps):
        moves = moves_to(planner, random) if step % 2 else None
        hot = {int(key): slot for slot, key in enumerate(planner.key_at[:HOT])}
        if moves:
            for slot, comes, leaves in zip(moves.slots, moves.rows, moves.evicted_rows, strict=True):
                hot.pop(int(leaves))
                hot[int(comes)] = int(slot)
        bounds = np.cumsum([0, *random.integers(0, 9, RANKS)])
        keys = random.integers(0, 20, bounds[-1])
        slots = np.array([hot.get(int(key), -1) for key in keys], np.int32)
        plan = planner.plan(Split(np.zeros(0, bool), slots), keys, moves)
        ids = touched.of(plan.ids, bounds, planner.shape.rows)
        exchanges = [
            exchange_of(plan, planner.shape, planner.key_at, ids, rank, (0, ROWS), SHARDS.owner)
            for rank in range(RANKS)
        ]
        looked_up = [{int(key) for key in keys[a:b]} for a, b in pairwise(bounds)]
        key_at, other = planner.key_at.copy(), planner.shape.begin(1 - plan.half)
        key_at[other : other + planner.shape.working_rows] = -1
        yield looked_up, hot, moves, key_at, exchanges


def sent(routes: list[Route], key_of: np.ndarray) -> set[tuple[int, int, int]]:
    """(from, to, row) of every message; what one rank sends is what the other takes in, in that order."""
    found = set()
    for rank, route in enumerate(routes):
        parts = np.split(route.send, np.cumsum(route.send_counts)[:-1])
        for to, part in enumerate(parts):
            taken = np.split(routes[to].receive, np.cumsum(routes[to].receive_counts)[:-1])[rank]
            assert part.tolist() == taken.tolist()
            found |= {(rank, to, int(key_of[at])) for at in part}
    assert all(route.rows == len(found) for route in routes)
    return found


@pytest.mark.parametrize("seed", range(8))
def test_every_rank_gets_the_rows_that_it_needs_from_their_owners(seed: int) -> None:
    moved_before = 0
    for looked_up, hot, moves, key_at, exchanges in exchanged(seed, 12):
        owner = {key: int(SHARDS.owner(np.array([key]))[0]) for key in range(ROWS)}
        by_place = exchanges[0].keys
        messages = sent([each.fetched for each in exchanges], by_place)
        moved = sent([each.moved for each in exchanges], key_at)
        assert not messages & moved
        comes = {int(key) for key in moves.rows} if moves else set()
        needed = {
            (owner[key], rank, key)
            for rank, rows in enumerate(looked_up)
            for key in {row for row in rows if row not in hot} | comes
            if owner[key] != rank
        }
        left = {int(key) for key in moves.evicted_rows} if moves else set()  # every rank has these
        assert {each for each in needed if each[2] not in left} == messages | moved
        states = sent([each.fetched_states for each in exchanges], by_place) | sent(
            [each.moved_states for each in exchanges], key_at
        )
        assert states == {each for each in needed if each[2] in comes}
        moved_before += len(moved)
    assert moved_before


@pytest.mark.parametrize("seed", range(8))
def test_gradients_go_to_all_ranks_or_to_the_owner(seed: int) -> None:
    for looked_up, hot, _, key_at, exchanges in exchanged(seed, 12):
        for rank, exchange in enumerate(exchanges):
            assert key_at[exchange.hot.ids].tolist() == sorted(
                {key for rows in looked_up for key in rows if key in hot}, key=lambda key: hot[key]
            )
            cold = {key for rows in looked_up for key in rows if key not in hot}
            assert {int(key) for key in key_at[exchange.cold.ids]} == {
                key for key in cold if SHARDS.owner(np.array([key]))[0] == rank
            }
            assert exchange.receive_counts == [each.send_counts[rank] for each in exchanges]
            assert exchange.receive_counts == [
                len(a) + len(b) for a, b in zip(exchange.hot.at, exchange.cold.at, strict=True)
            ]
        check_sums(looked_up, key_at, exchanges)


def check_sums(looked_up: list[set[int]], key_at: np.ndarray, exchanges: list[Exchange]) -> None:
    """Each row's sums arrive once from each rank that looks it up, at the places of that row."""
    place_of = {int(key): at for at, key in enumerate(key_at)}
    for rank, exchange in enumerate(exchanges):
        for peer, rows in enumerate(looked_up):
            ids = [*exchange.hot.ids[exchange.hot.at[peer]], *exchange.cold.ids[exchange.cold.at[peer]]]
            own = sorted(place_of[key] for key in rows)
            parts = np.split(exchanges[peer].send, np.cumsum(exchanges[peer].send_counts)[:-1])
            assert [own[at] for at in parts[rank]] == ids
