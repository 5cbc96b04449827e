"""Trains over a pool, with any splitter to say which rows are hot.

    schedule pool     main thread    step i
                      beside it      what comes before later steps: see `ahead.py`
    schedule split    main thread    split, plan, pack i | popular micro-batch | the others, update
                      beside it                          | gather              |                  rows of i - 1 back

`pool` takes mini-batches ahead. `split` needs to know no mini-batch but its own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import numpy as np

from hotline_host.data.delimited import Progress
from hotline_host.data.log import Batch
from hotline_host.plan import Followed
from hotline_host.pool.planner import StepPlan
from hotline_host.spans import add_cycles
from hotline_host.splitters.splitter import Splitter
from hotline_host.stopwatch import Parts, Stopwatch
from hotline_host.training.inputs import StepSize
from hotline_host.training.pool_trainer import PoolTrainer
from hotline_host.training.ranks import Ranks

from .ahead import Ahead, Work
from .gatherers import Gatherer, HostGatherer
from .pipeline import Pipeline, Setup
from .steps import GatherCounts, PipelineFigures, SplitCounts, StepResult, count_split

__all__ = ["PooledPipeline"]


class PooledPipeline(Pipeline):
    """Base of the pipelines with a splitter. The subclass says which one, in `_learn`.

    Attributes:
        splitter: says where rows are; there from `prepare` on.
        schedule: "pool" or "split".
    """

    trainer: PoolTrainer
    splitter: Splitter
    _gatherer: Gatherer
    _ahead: Ahead[Batch] | None = None

    def __init__(self, setup: Setup, trainer: PoolTrainer, watch: Stopwatch | None = None) -> None:
        self.setup, self.trainer, self.schedule = setup, trainer, setup.schedule
        self._watch = watch or Stopwatch()
        self._placed = 0
        self._behind: Future[None] | None = None  # schedule split: rows on their way back
        self._parts = Parts("split", "plan", "pack", "gather", "wait", "launch")

    def prepare(self, learned: Sequence[Batch], coming: Sequence[Batch], progress: Progress = lambda *_: None) -> None:
        """Learns popularity, and places the hot rows."""
        self.splitter = self._learn(learned, coming, progress)
        self._watch.lap("learn")
        placed = self.splitter.placed()
        self._placed = self.trainer.place(*placed)
        self._gatherer = self._open_gatherer()
        work = Work(self._split, self._plan, self._pack, self._gather, self._gatherer.follows_split)
        self._ahead = Ahead(work)
        self._watch.lap("place")

    @abstractmethod
    def _learn(self, learned: Sequence[Batch], coming: Sequence[Batch], progress: Progress) -> Splitter:
        """As `prepare`; returns the splitter."""

    def _open_gatherer(self) -> Gatherer:
        return HostGatherer(self.trainer.pool)

    def progress(self, batches: Iterator[Batch]) -> StepResult:
        return self._pool_step(batches) if self.schedule == "pool" else self._split_step(next(batches))

    def _pool_step(self, batches: Iterator[Batch]) -> StepResult:
        assert self._ahead, "prepare comes first"
        self._ahead.fill(batches)
        ready = self._ahead.pop()
        if ready is None:
            raise StopIteration
        with self._parts("wait"):
            result = StepResult(ready.packed.result(), ready.gathered.result())
        with self._parts("launch"):
            self.trainer.launch(ready.plan.result())
        self._ahead.refill(batches)
        return result

    def _split_step(self, batch: Batch) -> StepResult:
        assert self._ahead, "prepare comes first"
        followed = _done(self._split(batch))
        plan = _done(self._plan(batch, followed))
        counts = self._pack(batch, followed, plan, popular=followed.result().split.popular)
        gathering = self._ahead.threads["gather"].submit(self._gather, followed, plan)
        with self._parts("launch"):
            self.trainer.launch_popular(plan.result())
        with self._parts("wait"):
            gathered = gathering.result()
        with self._parts("launch"):
            self.trainer.launch_rest(plan.result())
            if self._behind:
                self._behind.result()
            self._behind = self._ahead.threads["gather"].submit(self.trainer.bring_back, plan.result().number - 1)
        return StepResult(counts, gathered)

    # What comes before a step, in this order

    def _split(self, batch: Batch) -> Followed:
        with self._parts("split"):
            followed = self.splitter.split(batch)
        add_cycles("split", followed.cycles)
        return followed

    def _plan(self, batch: Batch, followed: Future[Followed]) -> StepPlan:
        split, moves = followed.result().split, followed.result().moves
        with self._parts("plan"):
            return self.trainer.plan(batch, split, moves)

    def _pack(
        self, batch: Batch, followed: Future[Followed], plan: Future[StepPlan], *, popular: np.ndarray | None = None
    ) -> SplitCounts:
        planned, known = plan.result(), followed.result()
        with self._parts("pack"):
            self.trainer.pack(batch, planned, popular)
            return count_split(batch, known.split, len(known.moves or ()), known.cycles)

    def _gather(self, followed: Future[Followed], plan: Future[StepPlan]) -> GatherCounts:
        planned, split = plan.result(), followed.result().split
        with self._parts("gather"):
            self.trainer.bring_back(planned.number - 2)
            counts = self._gatherer.counted(split, planned)
        add_cycles("gather", counts.cycles)
        return counts

    # Between two steps

    def predict(self, batch: Batch) -> np.ndarray:
        self._rest()
        self.trainer.refresh()
        return self.trainer.predict(batch)

    def export(self) -> Any:
        self._rest()
        return super().export()

    def state_dict(self) -> dict[str, Any]:
        self._rest()
        return super().state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._rest()
        if self._ahead:
            for ready in self._ahead.drain():
                self.trainer.give_up(ready.plan.result())
        super().load_state_dict(state)

    def save(self, folder: Path, step: int, more: dict[str, Any], *, ranks: Ranks | None = None) -> None:
        self._rest()
        super().save(folder, step, more, ranks=ranks)

    def figures(self) -> PipelineFigures:
        link = self.trainer.link
        return PipelineFigures(
            self._watch.seconds | self._parts.seconds, self.splitter.counters(), self._placed,
            self.trainer.device_bytes, link.bytes_in, link.bytes_out,
        )  # fmt: skip

    def close(self) -> None:
        if self._ahead:
            self._ahead.close()
        self._behind = None
        if hasattr(self, "splitter"):
            self.splitter.close()
        self.trainer.close()

    def _rest(self) -> None:
        """Returns once nothing runs beside the main thread."""
        if self._ahead:
            self._ahead.rest()
        if self._behind:
            wait([self._behind])


def size_of(setup: Setup, most_moves: int) -> StepSize:
    """The largest mini-batch of a set-up."""
    return StepSize(setup.batch_size, setup.batch_lookups, len(setup.rows), setup.config.dense_features, most_moves)


def _done(value: Any) -> Future[Any]:
    """A future that has this result."""
    future: Future[Any] = Future()
    future.set_result(value)
    return future
