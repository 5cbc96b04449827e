"""The training loop with the accelerator in it.

    log          |-- learn ------|-- train: mini-batches 0, 1, 2, ... and round again --|-- test --|
    accelerator     learn   dump    split 0 | split 1 | select, split 2 | ...
    training                place           | step 0  | step 1          | move, step 2 ...  AUC

The accelerator, in a thread of its own, splits the next mini-batch while this one trains. A sample-aware one also
learns from some of them, and chooses the hot rows anew now and then: rows move between the steps. Training begins
after the learned part: on the samples that it has learned from, the tracker would look better than it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from time import perf_counter
from types import TracebackType
from typing import Any

import numpy as np

from hotline_hw.params import Geometry
from hotline_sim.backends import open_device

from .baseline import OrdinaryTrainer
from .cosim_settings import DTYPES, CosimSettings
from .data.delimited import Progress
from .data.log import Batch, ClickLog
from .driver import Driver
from .follow import Followed, Follower
from .history import SplitHistory
from .metrics import auc
from .minibatches import MiniBatches
from .settings import SettingsError
from .split import accelerator_figures, learn, log_figures, stopwatch
from .step import SplitTrainer
from .trainer import Trainer, max_parameter_difference

__all__ = ["Accelerator", "CosimResult", "History", "cosim"]


@dataclass
class History(SplitHistory):
    """One entry for each step.

    Attributes:
        losses: mean BCE of the mini-batch before the step; `baseline_losses` those of the ordinary trainer.
        Others as `SplitHistory`, of the step's mini-batch.
    """

    losses: list[float] = field(default_factory=list)
    baseline_losses: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class CosimResult:
    """`figures` are settings and results, ready for JSON, None where there is none; see `cosim`."""

    figures: dict[str, Any]
    history: History

    def as_dict(self) -> dict[str, Any]:
        """Figures, and the history under `history`."""
        return self.figures | {"history": asdict(self.history)}


class Accelerator:
    """Splits mini-batches in a thread of its own. Left by an exception, it closes the device in the midst of its work.

    Args:
        driver: of the accelerator that learned.
        relearn_share, select_every, by_bag: as `Follower`.

    Attributes:
        seconds: that it was at work.
    """

    def __init__(
        self, driver: Driver, relearn_share: float = 0.0, select_every: int = 1, *, by_bag: bool = False
    ) -> None:
        self.driver, self.seconds = driver, 0.0
        self._follower = Follower(driver, relearn_share, select_every, by_bag=by_bag)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="accelerator")

    def __enter__(self) -> Accelerator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.driver.device.close()  # else the pool would wait for the end of a simulation
        self._pool.shutdown(cancel_futures=True)

    def splits(self, batches: MiniBatches, steps: int) -> Iterator[Followed]:
        """Yields the split of each step's mini-batch; the next one is under way meanwhile.

        Where it comes with moves, they are to be made before its step, and after the step before.
        """
        coming = self._pool.submit(self._split, batches[0])
        for step in range(steps):
            now = coming.result()
            if step + 1 < steps:
                coming = self._pool.submit(self._split, batches[(step + 1) % len(batches)])
            yield now

    def _split(self, batch: Batch) -> Followed:
        start = perf_counter()
        split = self._follower.split(batch)
        self.seconds += perf_counter() - start
        return split


def cosim(
    log: ClickLog, geometry: Geometry, backend: str, settings: CosimSettings, progress: Progress = lambda *_: None
) -> CosimResult:
    """Learns, then trains with the accelerator in the loop; with `settings.baseline` then also the ordinary way.

    In `figures`, `loss` and `baseline_loss` are means over the last tenth of the steps. `auc` is that of the test
    part, None unless it has samples of both classes. `max_loss_difference` is the largest of any step,
    `max_parameter_difference` that of parameters and optimizer state at the end. `seconds`: `build` is what opening
    the backend took; `learn` includes reading the hot set; `train` is the training loop's wall time, and
    `accelerator` the part of it in which the accelerator was at work beside; `baseline` is the ordinary loop's.

    Raises:
        SettingsError: nothing is left to train on, or the tracker cannot follow as it is told to.
        DeviceError: the backend cannot be built or fails.
        DriverError: the log or the budget is beyond the accelerator.
    """
    relearn_share = settings.relearned(geometry)
    start, stop = settings.learned(log), log.size - int(settings.test_share * log.size)
    if start >= stop:
        raise SettingsError(
            f"{log.name}: of {log.size} samples {start} are learned from and {log.size - stop} kept for the test, "
            "which leaves none to train on; lower the learn share, or take more samples"
        )
    batches = MiniBatches(log, start, stop, settings.batch_size)
    test = MiniBatches(log, stop, log.size, settings.batch_size)
    steps = settings.steps or settings.passes * len(batches)
    config = settings.train_config(log.dense.shape[1])
    device, dtype = settings.torch_device(), DTYPES[settings.dtype]
    history = History()
    seconds, lap = stopwatch()

    progress(f"opening {backend}", 0, 1)
    with open_device(backend, geometry) as opened:
        lap("build")
        driver = Driver(opened)
        budget = learn(driver, log, settings, progress)
        hot_set = driver.hot_set(driver.dump())
        lap("learn")
        hotline = SplitTrainer(config, log.rows, budget, device=device, dtype=dtype, seed=settings.seed)
        hotline.place(*hot_set)
        lap("place")
        with Accelerator(driver, relearn_share, settings.select_every, by_bag=settings.by_bag) as accelerator:
            _train(hotline, accelerator, batches, steps, history, progress)
        lap("train")
        seconds["accelerator"] = accelerator.seconds
        counters = driver.counters()
    test_auc = _test_auc(hotline, test, progress)
    lap("evaluate")

    figures: dict[str, Any] = {
        **log_figures(log), "backend": backend, "preset": geometry.name, "geometry": geometry.as_dict(),
        "model": settings.model, "dimension": config.model.dimension, "optimizer": config.optimizer,
        "rate": config.rate, "eps": config.eps, "device": str(device), "dtype": settings.dtype, "seed": settings.seed,
        "batch_size": settings.batch_size, "learned_samples": start, "test_samples": test.samples, "steps": steps,
        "samples": sum(history.samples), "hot_rows": budget, "placed_rows": len(hot_set[0]),
        **settings.follow_figures(geometry), **accelerator_figures(history, counters),
        "loss": _final(history.losses), "baseline_loss": None, "max_loss_difference": None,
        "max_parameter_difference": None, "auc": test_auc, "baseline_auc": None,
        "seconds": seconds | {"baseline": None},
    }  # fmt: skip
    if settings.baseline:
        ordinary = OrdinaryTrainer(config, log.rows, device=device, dtype=dtype, seed=settings.seed)
        lap("place")
        for step in range(steps):
            history.baseline_losses.append(ordinary.step(batches[step % len(batches)]))
            progress("training the ordinary way, steps", step + 1, steps)
        lap("baseline")
        figures |= {
            "baseline_loss": _final(history.baseline_losses),
            "max_loss_difference": float(np.abs(np.subtract(history.losses, history.baseline_losses)).max()),
            "max_parameter_difference": max_parameter_difference(hotline, ordinary),
            "baseline_auc": _test_auc(ordinary, test, progress),
            "seconds": seconds,
        }
    return CosimResult(figures, history)


def _train(
    hotline: SplitTrainer,
    accelerator: Accelerator,
    batches: MiniBatches,
    steps: int,
    history: History,
    progress: Progress,
) -> None:
    for ready in accelerator.splits(batches, steps):
        if ready.moves:
            hotline.move(ready.moves)
        history.losses.append(hotline.step(ready.batch, ready.split.popular, ready.split.slots))
        history.record(ready.batch, ready.split, len(ready.moves or ()), ready.cycles)
        progress("training, steps", len(history.losses), steps)


def _final(losses: list[float]) -> float:
    """Mean over the last tenth, one at least."""
    return float(np.mean(losses[-max(1, len(losses) // 10) :]))


def _test_auc(trainer: Trainer, test: MiniBatches, progress: Progress) -> float | None:
    logits, labels = [], []
    for batch in test:
        logits.append(trainer.predict(batch))
        labels.append(batch.label)
        progress("testing, mini-batches", len(labels), len(test))
    try:
        return auc(np.concatenate(labels), np.concatenate(logits))
    except ValueError:  # one class only, labels between the two, no sample, or a model that has diverged
        return None
