"""The accelerator as a pipeline sees it: one that is driven, or a recording of one.

Both split mini-batches and tell who gathers the rows. A recording needs no device: the host gathers in place of the
DMA, and nothing ends before the accelerator would have ended at its clock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from hotline_device.host_memory import HostMemory
from hotline_device.registry import open_device
from hotline_host.data.delimited import Progress
from hotline_host.data.log import Batch
from hotline_host.data.minibatches import to_check
from hotline_host.driver.driver import Driver
from hotline_host.driver.follow import learn
from hotline_host.errors import DriverError, SettingsError
from hotline_host.plan import Followed, Split
from hotline_host.pool.planner import StepPlan
from hotline_host.splitters.accelerated import AcceleratorSplitter
from hotline_host.splitters.replayed import ReplayedSplitter, recording_of
from hotline_host.splitters.splitter import Splitter
from hotline_host.training.pool import EmbeddingPool

from .gatherers import AcceleratorGatherer, Gatherer, HostGatherer
from .pipeline import AcceleratorOptions

__all__ = ["Accelerator", "DrivenAccelerator", "ReplayedAccelerator", "open_accelerator"]

_OF_TRACKER = ("banks", "ways", "entries_per_hot_row", "counter_bits", "table_bits", "row_bits", "front_rows")
"""Parameters of the accelerator. How many sets are in use follows from the number of hot rows."""


class Accelerator(ABC):
    """An accelerator, for one pipeline.

    Attributes:
        hot_rows: slots of the hot table.
        most_moves: most rows that become hot before one mini-batch.
        memory: that it reaches, for the rows; None if it reaches none.
    """

    hot_rows: int
    most_moves: int
    memory: HostMemory | None = None

    @abstractmethod
    def learn(self, learned: Sequence[Batch], coming: Sequence[Batch], progress: Progress) -> Splitter:
        """Learns popularity. Returns what splits the mini-batches to come.

        Raises:
            DriverError: a mini-batch is beyond the accelerator; its number counts through `learned` and `coming`.
        """

    @abstractmethod
    def gatherer(self, pool: EmbeddingPool) -> Gatherer:
        """What gathers the rows of the mini-batch that was split last."""

    def state(self) -> dict[str, Any]:
        """The tracker's contents, for a checkpoint; empty if there is no tracker."""
        return {}

    def check_state(self, state: dict[str, Any]) -> None:  # noqa: B027  # a recording takes any
        """Raises DriverError if `restore` cannot take what `state` gave."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Brings the tracker's contents back.

        Args:
            state: what `state` gave, and under "splitter" what `Splitter.state` gave.

        Returns:
            The rows that are hot now: tables, rows, slots. None: as before.
        """

    def close(self) -> None:  # noqa: B027  # a recording has nothing to end
        """Ends what is under way."""


class DrivenAccelerator(Accelerator):
    """An accelerator behind its driver.

    Raises:
        DeviceError: the backend cannot be built or started.
        DriverError: `hot_rows` is beyond the accelerator.
    """

    def __init__(self, options: AcceleratorOptions, hot_rows: int) -> None:
        self._follow = options.follow
        device = open_device(options.backend, options.geometry, **options.options)
        try:
            self.driver = Driver(device)
            self.driver.set_hot_rows(hot_rows)
        except BaseException:
            device.close()
            raise
        self.hot_rows, self.most_moves, self.memory = hot_rows, self.driver.geometry.max_moves, device.memory

    def learn(self, learned: Sequence[Batch], coming: Sequence[Batch], progress: Progress) -> Splitter:
        self.driver.check(chain(to_check(learned), to_check(coming)), by_bag=self._follow.by_bag)
        learn(self.driver, learned, self._follow, progress)
        return AcceleratorSplitter(self.driver, self._follow)

    def gatherer(self, pool: EmbeddingPool) -> Gatherer:
        return AcceleratorGatherer(self.driver, pool)

    def state(self) -> dict[str, Any]:
        return {"tracker": self.driver.tracker_state() | {"built": self._built}}

    @property
    def _built(self) -> dict[str, int]:
        """The parameters that the tracker's contents depend on."""
        return {name: getattr(self.driver.geometry, name) for name in _OF_TRACKER}

    def check_state(self, state: dict[str, Any]) -> None:
        tracker = state.get("tracker")
        if not tracker:
            return
        for name, here in self._built.items():
            if (was := tracker["built"][name]) != here:
                raise DriverError(
                    f"the checkpoint's tracker is of another accelerator: its {name} is {was}, and here it is {here}"
                )
        if tracker["hot_rows"] != self.hot_rows:
            raise DriverError(
                f"the checkpoint's tracker has {tracker['hot_rows']} hot rows, and this one {self.hot_rows}"
            )

    def restore(self, state: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        if "tracker" not in state:
            return None
        self.driver.load_tracker_state(state["tracker"])
        return self.driver.hot_set(self.driver.dump())

    def close(self) -> None:
        self.driver.device.close()


class ReplayedAccelerator(Accelerator):
    """A recording in place of an accelerator. Popularity was learned when it was made.

    Raises:
        SettingsError: it was made with another number of hot rows.
        DataError: the file is no recording.
    """

    def __init__(self, path: Path, hot_rows: int) -> None:
        self._splitter = _PacedSplitter(path)
        if self._splitter.hot_rows != hot_rows:
            raise SettingsError(
                f"hot rows is {hot_rows}, but {path} was recorded with {self._splitter.hot_rows}; give --hot-rows "
                f"{self._splitter.hot_rows}"
            )
        self.hot_rows, self.most_moves = hot_rows, self._splitter.most_moves

    def learn(self, learned: Sequence[Batch], coming: Sequence[Batch], progress: Progress) -> Splitter:
        return self._splitter

    def gatherer(self, pool: EmbeddingPool) -> Gatherer:
        return _PacedGatherer(pool, self._splitter)

    def restore(self, state: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Goes on in the recording where its splitter was, whatever accelerator that was of."""
        if "splitter" not in state:
            return None
        self._splitter.resume(state["splitter"])
        return self._splitter.placed()


class _PacedSplitter(ReplayedSplitter):
    """Answers no sooner than the accelerator would."""

    def split(self, batch: Batch) -> Followed:
        start = perf_counter()
        followed = super().split(batch)
        cycles = self.cycles()
        self.pace.wait(start, cycles.select + cycles.classify)
        return followed

    def counters(self) -> dict[str, int | None]:
        """What the replay waited for: the accelerator, or the host where that was later."""
        pace = self.pace
        return {
            "waits": pace.waits, "waited_us": round(1e6 * pace.waited_seconds),
            "late": pace.late, "late_us": round(1e6 * pace.late_seconds),
        }  # fmt: skip


class _PacedGatherer(HostGatherer):
    """The host gathers, and is done no sooner than the accelerator would be."""

    follows_split = True

    def __init__(self, pool: EmbeddingPool, splitter: ReplayedSplitter) -> None:
        super().__init__(pool)
        self._splitter = splitter

    def _free(self, split: Split, plan: StepPlan) -> int:
        start = perf_counter()
        self._pool.fetch(plan.half, 0, plan.keys[: plan.free])
        cycles = self._splitter.cycles().gather
        self._splitter.pace.wait(start, cycles)
        self.rows += plan.free
        return cycles


def open_accelerator(options: AcceleratorOptions, hot_rows: int, *, schedule: str = "pool") -> Accelerator:
    """The accelerator of a set-up: driven, or recorded.

    Args:
        schedule: what it splits for, unless `options.follow` has an objective.
    """
    recording = recording_of(options.backend)
    # Over the pool a popular sample trains no sooner than another; fewer rows to fetch are what is left to gain.
    objective = options.follow.objective or ("rows" if schedule == "pool" else "samples")
    options = replace(options, follow=replace(options.follow, objective=objective))
    return ReplayedAccelerator(recording, hot_rows) if recording else DrivenAccelerator(options, hot_rows)
