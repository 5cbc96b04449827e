"""Which rows the ranks send each other for a mini-batch, where several processes train together.

Every rank knows the plan of the whole mini-batch, and what each rank looks up in it. So each works out by itself what
it sends and what it receives; no names of rows cross the network, and no counts.

    fetched    beside the step before    a cold row, from its owner to each other rank that looks it up
    moved      before the step           the same for rows that were in the pool, as the step before updated them there
    sums       after the backward pass   gradients: of hot rows to every rank, of cold rows to their owner

A row that becomes hot goes to every rank, with its optimizer state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hotline_device.compiled import compiled

from .planner import PoolShape, StepPlan

__all__ = ["Exchange", "Gradients", "Route", "Touched", "exchange_of"]


@dataclass(frozen=True)
class Route:
    """Rows that ranks send to each other. A rank sends none to itself.

    Attributes:
        send: int64 [s], where the rows are that this rank sends: those for rank 0 first, then those for rank 1, ...
        send_counts: of each rank.
        receive: int64 [r], where the rows go that this rank receives: those of rank 0 first.
        receive_counts: of each rank.
        rows: that cross the network, of all ranks.
    """

    send: np.ndarray
    send_counts: list[int]
    receive: np.ndarray
    receive_counts: list[int]
    rows: int

    @classmethod
    def of(cls, at: np.ndarray, owners: np.ndarray, needed: np.ndarray, rank: int) -> Route:
        """The route of m rows.

        Args:
            at: int64 [m], where each row is, on every rank.
            owners: int64 [m], the rank that sends it.
            needed: bool [N, m], the ranks that need it.
            rank: this one.
        """
        ranks = len(needed)
        needed = needed & (owners != np.arange(ranks)[:, None])
        mine = needed & (owners == rank)
        here = np.flatnonzero(needed[rank])
        here = here[np.argsort(owners[here], kind="stable")]
        return cls(
            at[np.nonzero(mine)[1]], mine.sum(axis=1).tolist(),
            at[here], np.bincount(owners[here], minlength=ranks).tolist(), int(needed.sum()),
        )  # fmt: skip


@dataclass(frozen=True)
class Gradients:
    """Sums of gradients, to be added in the order of the ranks.

    Attributes:
        ids: int64 [u], the rows that any rank has a sum for, by pool id, ascending.
        at: for each rank, where its sums are among them.
    """

    ids: np.ndarray
    at: list[np.ndarray]

    @classmethod
    def of(cls, parts: list[np.ndarray]) -> Gradients:
        """Of the ids of each rank, ascending."""
        ids = np.unique(np.concatenate(parts)).astype(np.int64)
        return cls(ids, [np.searchsorted(ids, part) for part in parts])


@dataclass(frozen=True)
class Exchange:
    """What a rank exchanges with the others for a mini-batch, of one pool.

    Attributes:
        keys: int64 [c], the rows that come from host memory, by place in the half.
        fetched: by place in the half; `fetched_states` of those that become hot.
        moved: by pool id, after rows have moved; `moved_states` of those that become hot.
        send, send_counts: which of its sums a rank sends, to itself too: hot ones, then cold ones, for each rank.
        receive_counts: sums of each rank.
        hot: rows that every rank updates. `cold`: those that this rank owns.
        least: rows that must cross the network, of all ranks, whatever is sent: a cold row and its gradient once for
            each rank that looks it up and does not own it, and one sum for each hot row and rank that others look up.
    """

    keys: np.ndarray
    fetched: Route
    fetched_states: Route
    moved: Route
    moved_states: Route
    send: np.ndarray
    send_counts: list[int]
    receive_counts: list[int]
    hot: Gradients
    cold: Gradients
    least: int


class Touched:
    """Finds which rows of the pool each rank looks up."""

    def __init__(self) -> None:
        self._seen = np.empty(0, np.int32)
        self._stamp = 0

    def of(self, ids: np.ndarray, bounds: np.ndarray, pool_rows: int) -> list[np.ndarray]:
        """For each rank, int64: the pool ids of its lookups, each once, ascending.

        Args:
            ids: int32 [n], of all lookups.
            bounds: int64 [N + 1], the first lookup of each rank.
            pool_rows: ids are below it.
        """
        if len(self._seen) < pool_rows:
            self._seen, self._stamp = np.zeros(pool_rows, np.int32), 0
        touched = []
        for begin, end in pairwise(bounds.tolist()):
            self._stamp += 1
            out = np.empty(end - begin, np.int64)
            count = _once(ids[begin:end], self._seen, self._stamp, out)
            touched.append(np.sort(out[:count]))
        return touched


def exchange_of(
    plan: StepPlan, shape: PoolShape, key_at: np.ndarray, touched: list[np.ndarray], rank: int,
    own: tuple[int, int], owner: Callable[[np.ndarray], np.ndarray],
) -> Exchange:  # fmt: skip
    """What a rank exchanges for a mini-batch.

    Args:
        plan: of the whole mini-batch, the newest.
        key_at: the planner's, right after it.
        touched: for each rank, the pool ids that it looks up, ascending.
        own: the first key of the pool's tables, and that behind the last.
        owner: gives the ranks that keep rows, by the place of their keys in `own`.
    """
    first, end = own
    hot_rows, begin, other = shape.hot_rows, shape.begin(plan.half), shape.begin(1 - plan.half)
    ids = [each[_between(key_at[each], first, end)] for each in touched]
    hot, cold = [each[each < hot_rows] for each in ids], [each[each >= hot_rows] for each in ids]
    used = np.zeros((len(ids), len(plan.keys)), bool)
    for row, each in zip(used, cold, strict=True):
        row[each - begin] = True

    keys = np.concatenate([plan.keys[: plan.free], plan.fetched])
    places = np.flatnonzero(_between(keys, first, end))
    owners, becomes = owner(keys[places] - first), plan.keys[places] < 0
    fetched = Route.of(places, owners, used[:, places] | becomes, rank)
    fetched_states = _to_all(places[becomes], owners[becomes], len(ids), rank)

    target = plan.target[_between(plan.source, other, other + shape.working_rows)].astype(np.int64)
    target = target[_between(key_at[target], first, end)]
    owners, becomes = owner(key_at[target] - first), target < hot_rows
    needed = np.ones((len(ids), len(target)), bool)
    needed[:, ~becomes] = used[:, target[~becomes] - begin]
    moved = Route.of(target, owners, needed, rank)
    moved_states = _to_all(target[becomes], owners[becomes], len(ids), rank)

    owners_of = [owner(key_at[each] - first) for each in cold]
    every = np.arange(len(hot[rank]))
    sends = [np.concatenate([every, len(every) + np.flatnonzero(owners_of[rank] == peer)]) for peer in range(len(ids))]
    own_cold = [each[owners == rank] for each, owners in zip(cold, owners_of, strict=True)]
    sums = Gradients.of(hot)
    by = np.bincount(np.concatenate(sums.at), minlength=len(sums.ids))  # ranks that look each hot row up
    away = sum(int((owners != number).sum()) for number, owners in enumerate(owners_of))
    least = fetched.rows + moved.rows + away + int(np.where(by > 1, len(ids), len(ids) - 1).sum())
    return Exchange(
        keys, fetched, fetched_states, moved, moved_states, np.concatenate(sends), [len(each) for each in sends],
        [len(each) + len(more) for each, more in zip(hot, own_cold, strict=True)], sums, Gradients.of(own_cold), least,
    )  # fmt: skip


def _to_all(at: np.ndarray, owners: np.ndarray, ranks: int, rank: int) -> Route:
    return Route.of(at, owners, np.ones((ranks, len(at)), bool), rank)


def _between(values: np.ndarray, first: int, end: int) -> np.ndarray:
    return (values >= first) & (values < end)


@compiled()
def _once(ids, seen, stamp, out):
    count = 0
    for at in range(len(ids)):
        if seen[ids[at]] != stamp:
            seen[ids[at]] = stamp
            out[count] = ids[at]
            count += 1
    return count
