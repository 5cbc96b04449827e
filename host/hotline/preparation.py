"""What is done for a mini-batch before its step, in threads beside the loop."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np

from hotline_host.data.log import Batch
from hotline_host.pipelines.ahead import Ready, Work
from hotline_host.pipelines.steps import GatherCounts, SplitCounts, count_split
from hotline_host.plan import Followed
from hotline_host.pool.planner import StepPlan
from hotline_host.training.embeddings import PooledEmbeddings
from hotline_host.training.optim import RowOptimizer
from hotline_host.training.ranks import Ranks
from hotline_host.training.row_inputs import RowInputs

from .lookups import Lookups, batch_of, sizes_of
from .splitting import Splitting
from .tables import Tables
from .training_step import PartOfStep, TrainingStep

__all__ = ["Item", "Preparation"]

_SPARE = 1.25
"""More room than what was asked for, as the mini-batches to come may be larger."""


@dataclass
class _Prepared:
    """What the threads made of a mini-batch.

    Attributes:
        lookups: of each of its batches.
        batch: of all of them.
        places: of each batch, where its lookups are in `batch`.
        weighted: the lookups have weights.
        parts: its batches, for the step; empty before they are packed.
    """

    lookups: list[Lookups]
    batch: Batch
    places: list[np.ndarray]
    weighted: bool
    parts: list[PartOfStep]


class Item:
    """Batches that make up one mini-batch. More is found out about it on its way.

    Attributes:
        batches: as the loader gave them.
        features: the KeyedJaggedTensor of each.
        room: lookups and bags of the mini-batch, of all ranks.
        prepared: what the threads made of it.
    """

    def __init__(self, batches: list[Any], features: list[Any]) -> None:
        self.batches, self.features = batches, features
        self.room = (0, 0)
        self.prepared: Any = None

    @property
    def sizes(self) -> tuple[int, int]:
        """Lookups and bags, of all features."""
        lookups, bags = zip(*map(sizes_of, self.features), strict=True)
        return sum(lookups), sum(bags)


class Preparation:
    """What is done, and on whose behalf.

    Attributes:
        work: what `Ahead` is to call.
        ranks: who trains. The mini-batch is split and planned for all of them, and packed for this one.
    """

    def __init__(self, tables: Tables, rows: PooledEmbeddings, splitting: Splitting, ranks: Ranks) -> None:
        self._tables, self._rows, self._splitting, self.ranks = tables, rows, splitting, ranks
        self._room = (0, 0)
        self._inputs: list[list[RowInputs]] = [[], []]  # of each half, for each D
        self._latest: _Prepared | None = None  # of the step that was opened last
        self.work: Work[Item] = Work(
            self._split, self._plan, self._pack, self._gather, splitting.gatherer.follows_split
        )

    def has_room(self, lookups: int, bags: int) -> bool:
        return lookups <= self._room[0] and bags <= self._room[1]

    def make_room(self, lookups: int, bags: int) -> None:
        """For mini-batches with so many lookups and bags. No mini-batch may be in preparation."""
        room = tuple(max(was, int(_SPARE * asked)) for was, asked in zip(self._room, (lookups, bags), strict=True))
        self._rows.make_room(room[0])
        # A lookup of a feature that is not pooled is a bag.
        bags = room[1] + (room[0] if any(feature.pooling is None for feature in self._tables.features) else 0)
        moves, link = self._rows.shape.working_rows + self._rows.moves, self._rows.link
        self._inputs = [
            [RowInputs(room[0], bags, moves, self._rows.shape.rows, link) for _ in self._tables.groups]
            for _ in range(2)
        ]
        link.synchronize()
        self._room = room[0], room[1]

    def place_anew(self) -> None:
        """Brings every row where the splitter takes it to be, and forgets what was planned."""
        self._splitting.place(self._rows)

    def step(self, ready: Ready[Item], optimizer: RowOptimizer) -> TrainingStep:
        """The step on a mini-batch that is ready."""
        self._latest, plan = ready.item.prepared, ready.plan.result()
        assert self._latest is not None
        return TrainingStep(self._rows, optimizer, plan, self._inputs[plan.half], self._latest.parts)

    def lookups(self, number: int) -> Lookups:
        """Of a batch of the step that was opened last."""
        assert self._latest is not None
        return self._latest.lookups[number]

    def _split(self, item: Item) -> Followed:
        try:
            lookups = [Lookups.of(features, self._tables) for features in item.features]
        except BaseException as error:
            return self._splitting.splitter.split(self.ranks.whole(None, error))
        weighted = any(getattr(features, "weights_or_none", lambda: None)() is not None for features in item.features)
        item.prepared = _Prepared(lookups, *batch_of(lookups), weighted, [])
        return self._splitting.splitter.split(self.ranks.whole(item.prepared.batch))

    def _plan(self, item: Item, followed: Future[Followed]) -> StepPlan:
        known = followed.result()
        return self._rows.plan(known.batch, known.split, known.moves)

    def _pack(self, item: Item, followed: Future[Followed], plan: Future[StepPlan]) -> SplitCounts:
        planned, known, prepared = plan.result(), followed.result(), item.prepared
        self._rows.link.sent(planned.half)
        prepared.parts = [PartOfStep(features, [], []) for features in item.features]
        inputs_of = zip(self._tables.groups, self._rows.pools, self._inputs[planned.half], strict=True)
        for group, pool, inputs in inputs_of:
            ids: list[np.ndarray] = []
            lengths: list[np.ndarray] = []
            bag = lookup = 0
            for part, lookups, places in zip(prepared.parts, prepared.lookups, prepared.places, strict=True):
                ids.append(planned.ids[places[lookups.in_group(group)]] - np.int32(pool.first_id))
                bags = lookups.bags(self._tables, group)
                lengths += bags
                part.bags.append(slice(bag, bag := bag + sum(map(len, bags))))
                part.lookups.append(slice(lookup, lookup := lookup + len(ids[-1])))
            inputs.pack_rows(
                np.concatenate(ids), np.concatenate(lengths), (planned.source, planned.target), picks=prepared.weighted
            )
        return count_split(known.batch, known.split, len(known.moves or ()), known.cycles)

    def _gather(self, followed: Future[Followed], plan: Future[StepPlan]) -> GatherCounts:
        planned, split = plan.result(), followed.result().split
        self._rows.bring_back(planned.number - 2)
        return self._splitting.gatherer.counted(split, planned)
