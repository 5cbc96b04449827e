"""Trains over a pool, with any splitter to say which rows are hot.

    schedule pool     main thread    step i                       | step i + 1
                      beside it      split, plan, pack, gather of mini-batch i + 1 | of i + 2
    schedule split    main thread    split, plan, pack | popular micro-batch | the others, update
                      beside it                        | gather              |

`pool` takes one mini-batch ahead. `split` needs to know no mini-batch but its own.
"""

from __future__ import annotations

from abc import abstractmethod
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
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="look-ahead")
        self._coming: Future[_Ready] | None = None  # schedule pool: the next mini-batch
        self._behind: Future[None] | None = None  # schedule split: rows on their way back
        self._times = dict.fromkeys(("accelerator", "plan", "wait", "launch"), 0.0)

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
        coming = self._coming or self._thread.submit(self._get_ready, next(batches))
        self._coming = None
        start = perf_counter()
        ready = coming.result()
        waited = perf_counter()
        following = next(batches, None)
        if following is not None:
            self._coming = self._thread.submit(self._get_ready, following)
        launched = perf_counter()
        self.trainer.launch(ready.plan)
        self._times["wait"] += waited - start
        self._times["launch"] += perf_counter() - launched
        return ready

    def _get_ready(self, batch: Batch) -> _Ready:
        """All that comes before the step. Runs beside the step before."""
        start = perf_counter()
        followed = self._followed(batch)
        split = perf_counter()
        plan = self.trainer.plan(batch, followed.split, followed.moves)
        self.trainer.bring_back(plan.half)
        self.trainer.pack(batch, plan)
        counts = _count(followed)
        planned = perf_counter()
        gather = self._gather(followed, plan)
        self._times["accelerator"] += perf_counter() - planned + split - start
        self._times["plan"] += planned - split
        return _Ready(plan, counts, gather)

    # Schedule split

    def _split(self, batch: Batch) -> _Ready:
        start = perf_counter()
        followed = self._followed(batch)
        split = perf_counter()
        plan = self.trainer.plan(batch, followed.split, followed.moves)
        if self._behind:
            self._behind.result()
        self.trainer.bring_back(plan.half)
        self.trainer.pack(batch, plan, followed.split.popular)
        gathering = self._thread.submit(self._gather, followed, plan)
        planned = perf_counter()
        self.trainer.launch_popular(plan)
        launched = perf_counter()
        gather = gathering.result()
        waited = perf_counter()
        self.trainer.launch_rest(plan)
        self._behind = self._thread.submit(self.trainer.bring_back, 1 - plan.half)
        self._times["accelerator"] += split - start
        self._times["plan"] += planned - split
        self._times["wait"] += waited - launched
        self._times["launch"] += perf_counter() - waited + launched - planned
        return _Ready(plan, _count(followed), gather)

    def _followed(self, batch: Batch) -> Followed:
        return self.splitter.split(batch)

    def _gather(self, followed: Followed, plan: StepPlan) -> GatherCounts:
        rows, host_rows = self._gatherer.rows, self._gatherer.host_rows
        cycles = self._gatherer.gather(followed.split, plan)
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
        if self._coming:
            self.trainer.give_up(self._coming.result().plan)
            self._coming = None
        super().load_state_dict(state)

    def figures(self) -> PipelineFigures:
        link = self.trainer.link
        return PipelineFigures(
            self._watch.seconds | self._times, self.splitter.counters(), self._placed,
            self.trainer.device_bytes, link.bytes_in, link.bytes_out,
        )  # fmt: skip

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)
        if hasattr(self, "splitter"):
            self.splitter.close()

    def _rest(self) -> None:
        """Returns once nothing runs beside the main thread."""
        if self._coming:
            wait([self._coming])
        if self._behind:
            wait([self._behind])


def size_of(setup: Setup, most_moves: int) -> StepSize:
    """The largest mini-batch of a set-up."""
    return StepSize(setup.batch_size, setup.batch_lookups, len(setup.rows), setup.config.dense_features, most_moves)


def _count(followed: Followed) -> SplitCounts:
    return count_split(followed.batch, followed.split, len(followed.moves or ()), followed.cycles)
