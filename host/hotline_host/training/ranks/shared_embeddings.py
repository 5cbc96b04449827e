"""The embedding rows of several ranks: hot rows on every one, cold rows with their owner.

Every rank plans the whole mini-batch, so all have one hot set, one numbering of the pool, and one list of moves. A rank
has the values of the rows that it looks up or owns; other working places of its pool are empty. The owner of a cold row
updates it, and writes it back. `pool/exchange.py` says what ranks send each other, and when.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hotline_host.data.log import Batch
from hotline_host.plan import Moves, Split
from hotline_host.pool.exchange import Exchange, Gradients, Route, Touched, exchange_of
from hotline_host.pool.planner import PoolShape, StepPlan
from hotline_host.pool.rows import TableRows
from hotline_host.training.embeddings import PooledEmbeddings
from hotline_host.training.kernels import Groups
from hotline_host.training.optim import RowOptimizer
from hotline_host.training.pool import EmbeddingPool
from hotline_host.training.resident_pool import ResidentPool

from .ranks import ROW_TRAFFIC
from .sharded_pool import ShardedPool
from .together import Together

__all__ = ["SharedEmbeddings"]

_ROWS, _STATES, _MOVED, _GRADIENTS = ROW_TRAFFIC


class SharedEmbeddings(PooledEmbeddings):
    """Arguments as `PooledEmbeddings`; `lookups` are those of all ranks.

    `place`, `read`, `export`, `load` and `shards` are called by all ranks together. `shards` are for rank 0; the others
    get empty ones.
    """

    def __init__(self, ranks: Together, *arguments: Any, **options: Any) -> None:
        self._ranks, self._touched = ranks, Touched()
        self._exchanges: dict[int, list[Exchange]] = {}  # for each pool, by mini-batch
        super().__init__(*arguments, **options)

    def _pool(
        self, tables: TableRows, dimension: int, shape: PoolShape, first_key: int, *, only: bool, resident: bool,
        **options: Any,
    ) -> EmbeddingPool:  # fmt: skip
        if resident:
            return ResidentPool(tables, dimension, first_key=first_key, **options)
        return ShardedPool(self._ranks, tables, dimension, shape, first_key=first_key, link=self.link, **options)

    @property
    def saves_beside(self) -> bool:
        """No: ranks give rank 0 their rows, and wait for it."""
        return False

    # Beside the step before

    def plan(self, batch: Batch, split: Split, moves: Moves | None = None) -> StepPlan:
        """Plans the next mini-batch of all ranks. The ids of the plan are those of this rank's lookups."""
        plan = super().plan(batch, split, moves)
        bounds = batch.sample_offsets[self._ranks.bounds(batch)]
        touched = self._touched.of(plan.ids, bounds, self.shape.rows)
        exchanges, first = [], 0
        for pool in self.pools:
            end = first + pool.count
            exchanges.append(
                exchange_of(
                    plan, self.shape, self.planner.key_at, touched, self._ranks.number, (first, end), _owner(pool)
                )
            )
            first = end
        self._exchanges[plan.number] = exchanges
        own = slice(bounds[self._ranks.number], bounds[self._ranks.number + 1])
        return replace(plan, ids=plan.ids[own])

    def fetch(self, plan: StepPlan) -> None:
        """From this rank, and from the others."""
        for pool, exchange in self._of(plan):
            pool.fetch(plan.half, 0, exchange.keys)
            if isinstance(pool, ShardedPool):
                for what, table, route, to in (
                    (_ROWS, pool.cold, exchange.fetched, pool.staged),
                    (_STATES, pool.cold_state, exchange.fetched_states, pool.staged_state),
                ):
                    self._send("rows", what, pool.copies(table, exchange.keys[route.send]), route, to[plan.half])

    # The step

    def arrive(self, plan: StepPlan, moving: tuple[Tensor, Tensor]) -> None:
        super().arrive(plan, moving)
        traffic = self._ranks.traffic
        traffic.steps += 1
        with self.link.computing(plan.half):
            for pool, exchange in self._of(plan):
                traffic.least += exchange.least * pool.row_bytes
                for what, table, route in (
                    (_MOVED, pool.rows, exchange.moved),
                    (_STATES, pool.state, exchange.moved_states),
                ):
                    self._send("step", what, table.index_select(0, _ids(route.send, table)), route, table)

    def update(
        self, optimizer: RowOptimizer, plan: StepPlan, number: int, gradient: Tensor, groups: Groups,
        weights: Tensor | None = None,
    ) -> None:  # fmt: skip
        """Updates rows by the mean over the ranks of their gradients: hot ones alike on all ranks, cold ones here if
        this rank owns them."""
        exchange, pool = self._exchanges[plan.number][number], self.pools[number]
        sums = self.kernels.row_sums(gradient, groups, weights) / self._ranks.count
        received = self._ranks.exchange(
            "step", _GRADIENTS, sums.index_select(0, _ids(exchange.send, sums)), exchange.send_counts,
            exchange.receive_counts,
        )  # fmt: skip
        parts = received.split(exchange.receive_counts)
        hot = [part[: len(at)] for part, at in zip(parts, exchange.hot.at, strict=True)]
        cold = [part[len(at) :] for part, at in zip(parts, exchange.hot.at, strict=True)]
        # Hot rows in a call of their own: what a row becomes may depend on its place in a vectorised loop.
        for sent, gradients in ((hot, exchange.hot), (cold, exchange.cold)):
            self._update(optimizer, pool, sent, gradients)
        if pool.check:
            self._poison(pool, plan, exchange)

    def depart(self, plan: StepPlan) -> None:
        super().depart(plan)
        self._exchanges.pop(plan.number)

    # Between two steps

    def settle(self) -> None:
        super().settle()
        self._exchanges.clear()

    # Within

    def _of(self, plan: StepPlan) -> Iterator[tuple[EmbeddingPool, Exchange]]:
        return zip(self.pools, self._exchanges[plan.number], strict=True)

    def _send(self, group: str, what: str, rows: Tensor, route: Route, to: Tensor) -> None:
        """Rows to other ranks, and theirs into `to`."""
        if route.rows:
            received = self._ranks.exchange(group, what, rows, route.send_counts, route.receive_counts)
            to.index_copy_(0, _ids(route.receive, to), received)

    def _update(self, optimizer: RowOptimizer, pool: EmbeddingPool, sent: list[Tensor], gradients: Gradients) -> None:
        if not len(gradients.ids):
            return
        total = pool.rows.new_zeros(len(gradients.ids), pool.rows.shape[1])
        for part, at in zip(sent, gradients.at, strict=True):  # in the order of the ranks, on every rank
            total.index_add_(0, _ids(at, total), part)
        optimizer.update(pool.rows, pool.state, _ids(gradients.ids - pool.first_id, total), total)

    def _poison(self, pool: EmbeddingPool, plan: StepPlan, exchange: Exchange) -> None:
        """Working rows that another rank updated show if they are read here."""
        begin = self.shape.begin(plan.half)
        mine = pool._own(plan.keys) if isinstance(pool, ShardedPool) else np.arange(len(plan.keys))
        others = np.setdiff1d(np.arange(len(plan.keys)), mine)
        for table in (pool.rows, pool.state):
            table.index_fill_(0, _ids(others + begin, table), torch.nan)


def _owner(pool: EmbeddingPool) -> Any:
    return pool.share_of.owner if isinstance(pool, ShardedPool) else lambda keys: np.zeros(len(keys), np.int64)


def _ids(values: np.ndarray, beside: Tensor) -> Tensor:
    return torch.from_numpy(values).to(beside.device)
