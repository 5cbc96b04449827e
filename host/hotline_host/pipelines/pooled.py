"""Trains over a pool, with any splitter to say which rows are hot.

    schedule pool     main thread    step i
                      beside it      split i + 4 | plan i + 3 | pack i + 2 | rows of i back, those of i + 2 gathered
    schedule split    main thread    split, plan, pack i | popular micro-batch | the others, update
                      beside it                          | gather              |                  rows of i - 1 back

`pool` takes mini-batches ahead; each part has a thread of its own, so a step waits for the slowest part, not for their
sum. `split` needs to know no mini-batch but its own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

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

from .gatherers import Gatherer, HostGatherer
from .pipeline import Pipeline, Setup
from .steps import GatherCounts, PipelineFigures, SplitCounts, StepResult, count_split

__all__ = ["PooledPipeline"]


_FILLED = 2
"""Mini-batches that are packed and gathered ahead: as many as there are halves."""
_PLANNED = 2
"""Mini-batches behind these that are split and planned ahead."""


class _Coming(NamedTuple):
    """A mini-batch that is being prepared."""

    batch: Batch
    followed: Future[Followed]
    plan: Future[StepPlan]


class _Filling(NamedTuple):
    """A mini-batch whose inputs and rows are on their way into the buffers of its half."""

    plan: Future[StepPlan]
    packed: Future[SplitCounts]
    gathered: Future[GatherCounts]


class PooledPipeline(Pipeline):
    """Base of the pipelines with a splitter. The subclass says which one, in `_learn`.

    Attributes:
        splitter: says where rows are; there from `prepare` on.
        schedule: "pool" or "split".
    """

    trainer: PoolTrainer
    splitter: Splitter
    _gatherer: Gatherer

    def __init__(self, setup: Setup, trainer: PoolTrainer, watch: Stopwatch | None = None) -> None:
        self.setup, self.trainer, self.schedule = setup, trainer, setup.schedule
        self._watch = watch or Stopwatch()
        self._placed = 0
        self._threads = {
            name: ThreadPoolExecutor(1, thread_name_prefix=name) for name in ("split", "plan", "pack", "gather")
        }
        self._planned: deque[_Coming] = deque()
        self._filling: deque[_Filling] = deque()
        self._behind: Future[None] | None = None  # schedule split: rows on their way back
        self._parts = Parts(*self._threads, "wait", "launch")

    def prepare(self, learned: Sequence[Batch], coming: Sequence[Batch], progress: Progress = lambda *_: None) -> None:
        """Learns popularity, and places the hot rows."""
        self.splitter = self._learn(learned, coming, progress)
        self._watch.lap("learn")
        placed = self.splitter.placed()
        self._placed = self.trainer.place(*placed)
        self._gatherer = self._open_gatherer()
        self._watch.lap("place")

    @abstractmethod
    def _learn(self, learned: Sequence[Batch], coming: Sequence[Batch], progress: Progress) -> Splitter:
        """As `prepare`; returns the splitter."""

    def _open_gatherer(self) -> Gatherer:
        return HostGatherer(self.trainer.pool)

    def progress(self, batches: Iterator[Batch]) -> StepResult:
        return self._pool_step(batches) if self.schedule == "pool" else self._split_step(next(batches))

    def _pool_step(self, batches: Iterator[Batch]) -> StepResult:
        while len(self._filling) < _FILLED and (self._planned or self._take(batches)):
            self._fill()
        if not self._filling:
            raise StopIteration
        plan, packed, gathered = self._filling.popleft()
        with self._parts("wait"):
            result = StepResult(packed.result(), gathered.result())
        with self._parts("launch"):
            self.trainer.launch(plan.result())
        if self._planned or self._take(batches):  # only now: it takes the buffers of what was just launched
            self._fill()
        # The accelerator gathers the rows of no mini-batch but the one that it split last.
        while not self._gatherer.follows_split and len(self._planned) < _PLANNED and self._take(batches):
            pass
        return result

    def _take(self, batches: Iterator[Batch]) -> bool:
        """Takes a mini-batch, if there is one, and has it split and planned."""
        batch = next(batches, None)
        if batch is None:
            return False
        before = self._filling[-1].gathered if self._filling and self._gatherer.follows_split else None
        followed = self._threads["split"].submit(self._split, batch, before)
        self._planned.append(_Coming(batch, followed, self._threads["plan"].submit(self._plan, batch, followed)))
        return True

    def _fill(self) -> None:
        """Has the mini-batch that was planned first packed and gathered. The step before the last was launched."""
        batch, followed, plan = self._planned.popleft()
        packed = self._threads["pack"].submit(self._pack, batch, followed, plan)
        self._filling.append(_Filling(plan, packed, self._threads["gather"].submit(self._gather, followed, plan)))

    def _split_step(self, batch: Batch) -> StepResult:
        followed = _done(self._split(batch))
        plan = _done(self._plan(batch, followed))
        counts = self._pack(batch, followed, plan, popular=followed.result().split.popular)
        gathering = self._threads["gather"].submit(self._gather, followed, plan)
        with self._parts("launch"):
            self.trainer.launch_popular(plan.result())
        with self._parts("wait"):
            gathered = gathering.result()
        with self._parts("launch"):
            self.trainer.launch_rest(plan.result())
            if self._behind:
                self._behind.result()
            self._behind = self._threads["gather"].submit(self.trainer.bring_back, plan.result().number - 1)
        return StepResult(counts, gathered)

    # What comes before a step, in this order

    def _split(self, batch: Batch, before: Future[GatherCounts] | None = None) -> Followed:
        if before:
            wait([before])
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
            rows, host_rows = self._gatherer.rows, self._gatherer.host_rows
            cycles = self._gatherer.gather(split, planned)
        add_cycles("gather", cycles)
        return GatherCounts(self._gatherer.rows - rows, self._gatherer.host_rows - host_rows, planned.held, cycles)

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
        while self._filling or self._planned:
            if not self._filling:
                self._fill()
            plan, packed, gathered = self._filling.popleft()
            packed.result()
            gathered.result()
            self.trainer.give_up(plan.result())
        super().load_state_dict(state)

    def figures(self) -> PipelineFigures:
        link = self.trainer.link
        return PipelineFigures(
            self._watch.seconds | self._parts.seconds, self.splitter.counters(), self._placed,
            self.trainer.device_bytes, link.bytes_in, link.bytes_out,
        )  # fmt: skip

    def close(self) -> None:
        for thread in self._threads.values():
            thread.shutdown(cancel_futures=True)
        # A future that was cancelled before its turn never ends for those who wait for it.
        self._planned.clear()
        self._filling.clear()
        self._behind = None
        if hasattr(self, "splitter"):
            self.splitter.close()
        self.trainer.close()

    def _rest(self) -> None:
        """Returns once nothing runs beside the main thread."""
        futures: list[Future[Any]] = [each.plan for each in self._planned]
        for each in self._filling:
            futures += [each.packed, each.gathered]
        if self._behind:
            futures.append(self._behind)
        wait(futures)


def size_of(setup: Setup, most_moves: int) -> StepSize:
    """The largest mini-batch of a set-up."""
    return StepSize(setup.batch_size, setup.batch_lookups, len(setup.rows), setup.config.dense_features, most_moves)


def _done(value: Any) -> Future[Any]:
    """A future that has this result."""
    future: Future[Any] = Future()
    future.set_result(value)
    return future
