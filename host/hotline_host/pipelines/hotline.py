"""Hotline: hot rows on the device, cold rows gathered by the accelerator, which works beside training.

prepare     learn -> dump -> place the hot rows
progress    step i                          | step i + 1
beside it   split i + 1, gather its rows    | split i + 2, ...
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from hotline_device.registry import open_device
from hotline_host.data.delimited import Progress
from hotline_host.data.log import Batch
from hotline_host.driver.driver import Driver
from hotline_host.driver.follow import learn
from hotline_host.errors import DriverError, SettingsError
from hotline_host.stopwatch import Stopwatch
from hotline_host.training.step import SplitTrainer

from .lookahead import LookAhead
from .pipeline import Pipeline, Setup
from .steps import GatherCounts, PipelineFigures, StepResult, count_split

__all__ = ["HotlinePipeline"]


class HotlinePipeline(Pipeline):
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
        self._watch = Stopwatch()
        self._placed = 0
        self._ahead: LookAhead | None = None
        device = open_device(accelerator.backend, accelerator.geometry, **accelerator.options)
        try:
            self._watch.lap("build")
            self.driver = Driver(device)
            self.driver.set_hot_rows(setup.hot_rows)
            self.trainer: SplitTrainer = SplitTrainer(
                setup.config, setup.rows, setup.hot_rows, device=setup.device, dtype=setup.dtype, seed=setup.seed,
                memory=device.memory,
            )  # fmt: skip
            self._watch.lap("place")
        except BaseException:
            device.close()
            raise

    def prepare(self, learned: Sequence[Batch], coming: Sequence[Batch], progress: Progress = lambda *_: None) -> None:
        """Learns popularity, and places the hot rows. Counters are zero afterwards.

        Raises:
            DriverError: a mini-batch is beyond the accelerator; its number counts through `learned` and `coming`.
        """
        self.driver.check(chain(learned, coming), by_bag=self._follow.by_bag)
        learn(self.driver, learned, self._follow, progress)
        self._watch.lap("learn")
        self._place()
        self._watch.lap("place")

    def progress(self, batches: Iterator[Batch]) -> StepResult:
        ready = self._look_ahead().next(batches)
        split, gathering = ready.split, ready.gathering
        loss = self.trainer.step(ready.batch, split.popular, split.slots, ready.working)
        held = split.working.held if split.working is not None else 0
        return StepResult(
            loss,
            count_split(ready.batch, split, len(ready.moves or ()), ready.cycles),
            GatherCounts(gathering.early, gathering.late, held, gathering.cycles),
        )

    def state_dict(self) -> dict[str, Any]:
        """The trainer's, and the tracker's contents under "tracker". Other pipelines leave that aside.

        The tracker has already seen the mini-batch that was taken ahead. Its policy is not in the checkpoint.
        """
        if self._ahead:
            self._ahead.wait()
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
        if self._ahead:
            self._ahead.drop()
        super().load_state_dict(state)
        if tracker:
            self.driver.restore(tracker["dump"])
            self._place()

    def figures(self) -> PipelineFigures:
        ahead = self._ahead
        beside = {"accelerator": ahead.seconds, "between": ahead.between} if ahead else {}
        return PipelineFigures(self._watch.seconds | beside, self.driver.counters(), self._placed)

    def close(self) -> None:
        self.driver.device.close()  # first: else the thread would go on to the end of a simulation
        if self._ahead:
            self._ahead.close()

    def _place(self) -> None:
        tables, rows, slots = self.driver.hot_set(self.driver.dump())
        self.trainer.place(tables, rows, slots)
        self._placed = len(slots)

    def _look_ahead(self) -> LookAhead:
        """Built when it is first needed: cycles are counted from here on."""
        if self._ahead is None:
            self._ahead = LookAhead(self.driver, self.trainer, self._follow)
        return self._ahead
