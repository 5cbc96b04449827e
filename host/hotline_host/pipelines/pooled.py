"""Trains over a pool, with any splitter to say which rows are hot.

    schedule pool     main thread    step i                        | step i + 1
                      beside it      split, plan, pack i + 2       | i + 3
                      beside it      rows of i - 1 back, gather those of i + 1 | of i back, gather those of i + 2
    schedule split    main thread    split, plan, pack i | popular micro-batch | the others, update
                      beside it                          | gather              |                  rows of i - 1 back

`pool` takes two mini-batches ahead. `split` needs to know no mini-batch but its own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from hotline_host.data.delimited import Progress
from hotline_host.data.log import Batch
from hotline_host.plan import Followed
from hotline_host.pool.planner import StepPlan
from hotline_host.splitters.splitter import Splitter
from hotline_host.stopwatch import Stopwatch
from hotline_host.training.inputs import StepSize
from hotline_host.training.pool_trainer import PoolTrainer

from .gatherers import Gatherer, HostGatherer
from .pipeline import Pipeline, Setup
from .steps import GatherCounts, PipelineFigures, SplitCounts, StepResult, count_split

__all__ = ["PooledPipeline"]


_AHEAD = 2
"""Mini-batches that are taken ahead with the schedule pool: as many as there are halves."""


@dataclass(frozen=True)
class _Ready:
    """A mini-batch that is ready for its step."""

    plan: StepPlan
    split: SplitCounts
    gather: GatherCounts


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
        self._planning = ThreadPoolExecutor(1, thread_name_prefix="plan")
        self._gathering = ThreadPoolExecutor(1, thread_name_prefix="gather")
        self._coming: deque[Future[_Ready]] = deque()  # schedule pool: the next mini-batches, in order
        self._behind: Future[None] | None = None  # schedule split: rows on their way back
        self._times = dict.fromkeys(("split", "plan", "gather", "wait", "launch"), 0.0)

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
        ready = self._look_ahead(batches) if self.schedule == "pool" else self._split(next(batches))
        return StepResult(ready.split, ready.gather)

    # Schedule pool

    def _look_ahead(self, batches: Iterator[Batch]) -> _Ready:
        while len(self._coming) < _AHEAD and self._take(batches):
            pass
        if not self._coming:
            raise StopIteration
        start = perf_counter()
        ready = self._coming.popleft().result()
        waited = perf_counter()
        self.trainer.launch(ready.plan)
        self._times["wait"] += waited - start
        self._times["launch"] += perf_counter() - waited
        self._take(batches)  # only now: its inputs take the place of those that were just launched
        return ready

    def _take(self, batches: Iterator[Batch]) -> bool:
        """Takes a mini-batch, if there is one, and has it prepared beside the steps."""
        batch = next(batches, None)
        if batch is None:
            return False
        before = self._coming[-1] if self._coming and self._gatherer.follows_split else None
        planned = self._planning.submit(self._plan, batch, before)
        self._coming.append(self._gathering.submit(self._get_ready, planned))
        return True

    def _plan(self, batch: Batch, before: Future[_Ready] | None) -> tuple[Followed, StepPlan]:
        """Splits a mini-batch and packs it, in a thread of its own.

        Args:
            before: the accelerator still has to gather the rows of this one, and knows those of one mini-batch only.
        """
        if before:
            wait([before])
        return self._split_and_pack(batch, split=False)

    def _get_ready(self, planned: Future[tuple[Followed, StepPlan]]) -> _Ready:
        """Brings rows back and gathers rows, in a thread of its own."""
        followed, plan = planned.result()
        self.trainer.bring_back(plan.number - 2)
        return _Ready(plan, _count(followed), self._gather(followed, plan))

    # Schedule split

    def _split(self, batch: Batch) -> _Ready:
        followed, plan = self._split_and_pack(batch, split=True)
        gathering = self._gathering.submit(self._gather, followed, plan)
        start = perf_counter()
        self.trainer.launch_popular(plan)
        launched = perf_counter()
        if self._behind:
            self._behind.result()
        gather = gathering.result()
        waited = perf_counter()
        self.trainer.launch_rest(plan)
        self._behind = self._gathering.submit(self.trainer.bring_back, plan.number - 1)
        self._times["wait"] += waited - launched
        self._times["launch"] += perf_counter() - waited + launched - start
        return _Ready(plan, _count(followed), gather)

    # Both

    def _split_and_pack(self, batch: Batch, *, split: bool) -> tuple[Followed, StepPlan]:
        start = perf_counter()
        followed = self.splitter.split(batch)
        done = perf_counter()
        plan = self.trainer.plan(batch, followed.split, followed.moves)
        self.trainer.pack(batch, plan, followed.split.popular if split else None)
        self._times["split"] += done - start
        self._times["plan"] += perf_counter() - done
        return followed, plan

    def _gather(self, followed: Followed, plan: StepPlan) -> GatherCounts:
        start = perf_counter()
        rows, host_rows = self._gatherer.rows, self._gatherer.host_rows
        cycles = self._gatherer.gather(followed.split, plan)
        self._times["gather"] += perf_counter() - start
        return GatherCounts(self._gatherer.rows - rows, self._gatherer.host_rows - host_rows, plan.held, cycles)

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
        while self._coming:
            self.trainer.give_up(self._coming.popleft().result().plan)
        super().load_state_dict(state)

    def figures(self) -> PipelineFigures:
        link = self.trainer.link
        return PipelineFigures(
            self._watch.seconds | self._times, self.splitter.counters(), self._placed,
            self.trainer.device_bytes, link.bytes_in, link.bytes_out,
        )  # fmt: skip

    def close(self) -> None:
        for thread in (self._planning, self._gathering):
            thread.shutdown(cancel_futures=True)
        if hasattr(self, "splitter"):
            self.splitter.close()
        self.trainer.close()

    def _rest(self) -> None:
        """Returns once nothing runs beside the main thread."""
        wait(self._coming)
        if self._behind:
            wait([self._behind])


def size_of(setup: Setup, most_moves: int) -> StepSize:
    """The largest mini-batch of a set-up."""
    return StepSize(setup.batch_size, setup.batch_lookups, len(setup.rows), setup.config.dense_features, most_moves)


def _count(followed: Followed) -> SplitCounts:
    return count_split(followed.batch, followed.split, len(followed.moves or ()), followed.cycles)
