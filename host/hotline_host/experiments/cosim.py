"""The training loop with the accelerator in it.

    log          |-- learn ------|-- train: mini-batches 0, 1, 2, ... and round again --|-- test --|
    accelerator     learn   dump    split 0 | split 1 | select, split 2 | ...
                                    gather  | gather  |                 | gather
    training                place           | step 0  | step 1          | move, step 2 ...  AUC

The accelerator (`accelerator.py`) splits the next mini-batch, and gathers its cold rows by DMA, while this one trains.
It also learns from some of them, and chooses the hot rows anew now and then: rows move between the steps. Training
begins after the learned part: on the samples that it has learned from, the tracker would look better than it is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from hotline_device.registry import open_device
from hotline_host.data.delimited import Progress
from hotline_host.data.log import ClickLog
from hotline_host.data.minibatches import MiniBatches
from hotline_host.driver.driver import Driver
from hotline_host.pipelines.accelerator import Accelerator, Ready
from hotline_host.pipelines.ordinary import OrdinaryTrainer
from hotline_host.training.metrics import auc
from hotline_host.training.step import SplitTrainer
from hotline_host.training.trainer import Trainer, max_parameter_difference
from hotline_hw.spec.params import Geometry

from .cosim_settings import DTYPES, CosimSettings
from .history import SplitHistory
from .settings import SettingsError
from .split import accelerator_figures, learn, log_figures, memory_figures, stopwatch

__all__ = ["CosimResult", "History", "cosim"]


@dataclass
class History(SplitHistory):
    """One entry for each step.

    Attributes:
        losses: mean BCE of the mini-batch before the step; `baseline_losses` those of the ordinary trainer.
        early_rows: cold rows that the accelerator gathered while the step before trained; `late_rows` after it. The
            host gathered all where these are none of `working_rows`.
        held_rows: cold rows that the mini-batch before had among its own, so that they could not be gathered early.
        gather_cycles: clock cycles that gathering took, 0 on a backend without cycles.
        Others as `SplitHistory`, of the step's mini-batch.
    """

    losses: list[float] = field(default_factory=list)
    baseline_losses: list[float] = field(default_factory=list)
    early_rows: list[int] = field(default_factory=list)
    late_rows: list[int] = field(default_factory=list)
    held_rows: list[int] = field(default_factory=list)
    gather_cycles: list[int] = field(default_factory=list)

    def record_step(self, ready: Ready, loss: float) -> None:
        """Takes in the next mini-batch, trained."""
        working, gathering = ready.split.working, ready.gathering
        self.record(ready.batch, ready.split, len(ready.moves or ()), ready.cycles)
        self.losses.append(loss)
        self.early_rows.append(gathering.early)
        self.late_rows.append(gathering.late)
        self.held_rows.append(working.held if working is not None else 0)
        self.gather_cycles.append(gathering.cycles)

    def gather_figures(self) -> dict[str, Any]:
        """Sums over all steps, and the share of the gathered rows that were early, None where none was gathered."""
        gathered = sum(self.early_rows) + sum(self.late_rows)
        return {
            "gathered_rows": gathered,
            "held_rows": sum(self.held_rows),
            "early_share": sum(self.early_rows) / gathered if gathered else None,
            "host_gathered_rows": sum(self.working_rows) - gathered,
        }


@dataclass(frozen=True)
class CosimResult:
    """`figures` are settings and results, ready for JSON, None where there is none; see `cosim`."""

    figures: dict[str, Any]
    history: History

    def as_dict(self) -> dict[str, Any]:
        """Figures, and the history under `history`."""
        return self.figures | {"history": asdict(self.history)}


def cosim(
    log: ClickLog, geometry: Geometry, backend: str, settings: CosimSettings, progress: Progress = lambda *_: None
) -> CosimResult:
    """Learns, then trains with the accelerator in the loop; with `settings.baseline` then also the ordinary way.

    In `figures`, `loss` and `baseline_loss` are means over the last tenth of the steps. `auc` is that of the test
    part, None unless it has samples of both classes. `max_loss_difference` is the largest of any step,
    `max_parameter_difference` that of parameters and optimizer state at the end. `seconds`: `build` is what opening
    the backend took; `learn` includes reading the hot set; `train` is the training loop's wall time, and
    `accelerator` the part of it in which the accelerator was at work beside a step, `between` that in which it was at
    work between two; `baseline` is the ordinary loop's. `gathered_rows` are the cold rows that the accelerator brought:
    `early_share` of them beside the step before, while `held_rows` had to wait for its end, as do all where rows have
    moved; `host_gathered_rows` are those of mini-batches whose rows the accelerator could not list.

    Raises:
        SettingsError: nothing is left to train on.
        DeviceError: the backend cannot be built or fails.
        DriverError: the log or the budget is beyond the accelerator.
    """
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
    with open_device(backend, geometry, **settings.device_options(backend)) as opened:
        lap("build")
        driver = Driver(opened)
        budget = learn(driver, log, settings, progress)
        hot_set = driver.hot_set(driver.dump())
        lap("learn")
        hotline = SplitTrainer(
            config, log.rows, budget, device=device, dtype=dtype, seed=settings.seed, memory=opened.memory
        )
        hotline.place(*hot_set)
        lap("place")
        with Accelerator(
            driver, hotline, settings.relearn_share, settings.select_every, by_bag=settings.by_bag
        ) as accelerator:
            _train(hotline, accelerator, batches, steps, history, progress)
        lap("train")
        seconds |= {"accelerator": accelerator.seconds, "between": accelerator.between}
        counters = driver.counters()
    test_auc = _test_auc(hotline, test, progress)
    lap("evaluate")

    figures: dict[str, Any] = {
        **log_figures(log), "backend": backend, **memory_figures(backend, settings),
        "preset": geometry.name, "geometry": geometry.as_dict(),
        "model": settings.model, "dimension": config.model.dimension, "optimizer": config.optimizer,
        "rate": config.rate, "eps": config.eps, "device": str(device), "dtype": settings.dtype, "seed": settings.seed,
        "batch_size": settings.batch_size, "learned_samples": start, "test_samples": test.samples, "steps": steps,
        "samples": sum(history.samples), "hot_rows": budget, "placed_rows": len(hot_set[0]),
        **settings.follow_figures(), **accelerator_figures(history, counters),
        **history.gather_figures(),
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
        history.record_step(ready, hotline.step(ready.batch, ready.split.popular, ready.split.slots, ready.working))
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
