"""Hotline: hot rows on the device, cold rows gathered by the accelerator, which works beside training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from hotline_device.registry import open_device
from hotline_host.data.delimited import Progress
from hotline_host.data.log import Batch
from hotline_host.driver.driver import Driver
from hotline_host.driver.follow import learn
from hotline_host.errors import DriverError, SettingsError
from hotline_host.splitters.accelerated import AcceleratorSplitter
from hotline_host.splitters.splitter import Splitter
from hotline_host.stopwatch import Stopwatch
from hotline_host.training.pool_trainer import PoolTrainer

from .gatherers import AcceleratorGatherer, Gatherer
from .pipeline import Setup
from .pooled import PooledPipeline, size_of

__all__ = ["HotlinePipeline", "HotlineSplitPipeline"]


class HotlinePipeline(PooledPipeline):
    """Opens the accelerator of `setup.accelerator`, and owns it.

    Attributes:
        driver: of the accelerator.

    Raises:
        SettingsError: there is no accelerator in `setup`.
        DeviceError: the backend cannot be built or started.
        DriverError: `setup.hot_rows` is beyond the accelerator.
    """

    accelerated = True

    def __init__(self, setup: Setup) -> None:
        accelerator = setup.accelerator
        if accelerator is None:
            raise SettingsError("the pipeline hotline drives an accelerator; give Setup one")
        self._follow = accelerator.follow
        watch = Stopwatch()
        device = open_device(accelerator.backend, accelerator.geometry, **accelerator.options)
        try:
            watch.lap("build")
            self.driver = Driver(device)
            self.driver.set_hot_rows(setup.hot_rows)
            trainer = PoolTrainer(
                setup.config, setup.rows, setup.hot_rows, size_of(setup, accelerator.geometry.max_moves),
                device=setup.device, dtype=setup.dtype, seed=setup.seed, memory=device.memory, check=setup.check,
            )  # fmt: skip
            watch.lap("place")
            super().__init__(setup, trainer, watch)
        except BaseException:
            device.close()
            raise

    def prepare(self, learned: Sequence[Batch], coming: Sequence[Batch], progress: Progress = lambda *_: None) -> None:
        """Learns popularity, and places the hot rows. Counters are zero afterwards.

        Raises:
            DriverError: a mini-batch is beyond the accelerator; its number counts through `learned` and `coming`.
        """
        super().prepare(learned, coming, progress)

    def _learn(self, learned: Sequence[Batch], coming: Sequence[Batch], progress: Progress) -> Splitter:
        self.driver.check(chain(learned, coming), by_bag=self._follow.by_bag)
        learn(self.driver, learned, self._follow, progress)
        return AcceleratorSplitter(self.driver, self._follow)

    def _open_gatherer(self) -> Gatherer:
        return AcceleratorGatherer(self.driver, self.trainer.pool)

    def state_dict(self) -> dict[str, Any]:
        """The trainer's, and the tracker's contents under "tracker". Other pipelines leave that aside.

        The tracker has already seen the mini-batch that was taken ahead. Its policy is not in the checkpoint.
        """
        return super().state_dict() | {"tracker": {"hot_rows": self.driver.hot_rows, "dump": self.driver.dump()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As `Pipeline.load_state_dict`. A checkpoint without a tracker leaves the hot rows as they are.

        Raises:
            ValueError: the checkpoint is of another model.
            DriverError: its tracker is of another accelerator, or of another budget.
        """
        tracker = state.get("tracker")
        if tracker and tracker["hot_rows"] != self.driver.hot_rows:
            raise DriverError(
                f"the checkpoint's tracker has {tracker['hot_rows']} hot rows, and this one {self.driver.hot_rows}"
            )
        super().load_state_dict(state)
        if tracker:
            self.driver.restore(tracker["dump"])
            self._placed = self.trainer.place(*self.driver.hot_set(self.driver.dump()))

    def close(self) -> None:
        self.driver.device.close()  # first: else the thread would go on to the end of a simulation
        super().close()


class HotlineSplitPipeline(HotlinePipeline):
    """The published schedule: popular micro-batch at once, the other one as its rows come."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(replace(setup, schedule="split"))
