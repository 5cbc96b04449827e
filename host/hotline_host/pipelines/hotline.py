"""Hotline: hot rows on the device, cold rows gathered by the accelerator, which works beside training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hotline_host.data.delimited import Progress
from hotline_host.data.log import Batch
from hotline_host.driver.driver import Driver
from hotline_host.errors import SettingsError
from hotline_host.splitters.splitter import Splitter
from hotline_host.stopwatch import Stopwatch
from hotline_host.training.checkpoint import Checkpoint
from hotline_host.training.pool_trainer import PoolTrainer

from .accelerators import DrivenAccelerator
from .gatherers import Gatherer, PoolsGatherer
from .pipeline import Setup
from .pooled import PooledPipeline, size_of
from .shared_accelerator import open_for

__all__ = ["HotlinePipeline", "HotlineSplitPipeline"]


class HotlinePipeline(PooledPipeline):
    """Opens the accelerator of `setup.accelerator`, and owns it.

    Raises:
        SettingsError: there is no accelerator in `setup`.
        DeviceError: the backend cannot be built or started.
        DriverError: `setup.hot_rows` is beyond the accelerator.
    """

    accelerated = True

    def __init__(self, setup: Setup) -> None:
        watch = Stopwatch()
        if setup.accelerator is None:
            raise SettingsError("the pipeline hotline drives an accelerator; give Setup one")
        if setup.ranks.count > 1 and setup.schedule == "split":
            raise SettingsError(
                f"the schedule is split, which trains in one process, and there are {setup.ranks.count}; give "
                "--schedule pool, and no pipeline hotline-split"
            )
        self.accelerator = open_for(setup.ranks, setup.accelerator, setup.hot_rows, schedule=setup.schedule)
        watch.lap("build")
        try:
            trainer = PoolTrainer(
                setup.config, setup.rows, setup.hot_rows, size_of(setup, self.accelerator.most_moves),
                device=setup.device, dtype=setup.dtype, seed=setup.seed, ranks=setup.ranks,
                memory=self.accelerator.memory if setup.ranks.count == 1 else None,
                check=setup.check, folder=setup.folder, lazy=setup.lazy,
            )  # fmt: skip
        except BaseException:
            self.accelerator.close()
            raise
        watch.lap("place")
        super().__init__(setup, trainer, watch)

    @property
    def driver(self) -> Driver:
        """Of the accelerator, if there is one and not a recording."""
        assert isinstance(self.accelerator, DrivenAccelerator)
        return self.accelerator.driver

    def _learn(self, learned: Sequence[Batch], coming: Sequence[Batch], progress: Progress) -> Splitter:
        return self.accelerator.learn(learned, coming, progress)

    def _open_gatherer(self) -> Gatherer:
        if self.trainer.ranks.count > 1:
            return PoolsGatherer(self.trainer.embeddings)
        return self.accelerator.gatherer(self.trainer.pool)

    def state_dict(self) -> dict[str, Any]:
        """The trainer's, and the tracker's contents under "tracker". Other pipelines leave that aside.

        The tracker has already seen the mini-batches that were taken ahead.
        """
        return super().state_dict() | self.accelerator.state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As `Pipeline.load_state_dict`. A checkpoint without a tracker leaves the hot rows as they are.

        Raises:
            ValueError: the checkpoint is of another model.
            DriverError: its tracker is of another accelerator, or of another budget.
        """
        self.accelerator.check_state(state)
        super().load_state_dict(state)
        self.load_tracker(state)

    def splitter_state(self) -> dict[str, Any]:
        return self.accelerator.state() | {"splitter": self.splitter.state()}

    def resume(self, checkpoint: Checkpoint) -> None:
        self.load_tracker(checkpoint.state)
        super().resume(checkpoint)
        self.splitter.resume(checkpoint.state["splitter"])

    def load_tracker(self, state: dict[str, Any]) -> None:
        """Brings the tracker's contents back, if there are any, and places the rows that are hot in it.

        Raises:
            DriverError: it is of another accelerator, or of another budget.
        """
        self.accelerator.check_state(state)
        placed = self.accelerator.restore(state)
        if placed:
            self._placed = self.trainer.place(*placed)

    def close(self) -> None:
        self.accelerator.close()  # first: else the thread would go on to the end of a simulation
        super().close()


class HotlineSplitPipeline(HotlinePipeline):
    """The published schedule: popular micro-batch at once, the other one as its rows come."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(replace(setup, schedule="split"))
