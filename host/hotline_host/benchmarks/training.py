"""Training steps side by side: with an accelerator beside them, and the ordinary way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from hotline_host.data.delimited import Progress
from hotline_host.data.log import ClickLog
from hotline_host.data.minibatches import MiniBatches
from hotline_host.driver.driver import Driver
from hotline_host.experiments.cosim_settings import DTYPES
from hotline_host.pipelines.accelerator import Accelerator
from hotline_host.pipelines.ordinary import OrdinaryTrainer
from hotline_host.training.step import SplitTrainer

from .settings import BenchSettings

__all__ = ["measure_training"]


def measure_training(
    drivers: dict[str, Driver], log: ClickLog, batches: MiniBatches, budget: int, settings: BenchSettings,
    progress: Progress,
) -> dict[str, Any]:  # fmt: skip
    """Steps of every trainer on the same mini-batches. The hot rows are those that the last LEARN chose.

    In the figures, `seconds` holds those of every step by contender, waiting for the accelerator and gathering between
    steps included, and `median_seconds` their medians. `accelerator_seconds` is what an accelerator was at work for a
    mini-batch beside a step, `between_seconds` between two. `early_share` of the rows were gathered beside a step.
    """
    config = settings.train_config(log.dense.shape[1])
    options: dict[str, Any] = {
        "device": settings.torch_device(), "dtype": DTYPES[settings.dtype], "seed": settings.seed,
    }  # fmt: skip
    ordinary = OrdinaryTrainer(config, log.rows, **options)
    contenders = [*drivers, "ordinary"]
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    beside: dict[str, list[float]] = {name: [] for name in drivers}
    between: dict[str, list[float]] = {name: [] for name in drivers}
    popular: list[float] = []
    rows = {"early": 0, "late": 0}
    steps = settings.steps + 2  # the first waits for its split, and the last has none beside it: both left out
    with ExitStack() as opened:
        accelerators = {}
        for name, driver in drivers.items():
            trainer = SplitTrainer(config, log.rows, budget, memory=driver.device.memory, **options)
            trainer.place(*driver.hot_set(driver.dump()))
            accelerators[name] = opened.enter_context(Accelerator(driver, trainer))
        for number in range(settings.rounds):
            for name in contenders:
                progress(f"training, {name}, rounds", number, settings.rounds)
                if name == "ordinary":
                    work: Iterable[Any] = (ordinary.step(batches[step % len(batches)]) for step in range(steps))
                    seconds[name] += _durations(work)[1:-1]
                    continue
                accelerator = accelerators[name]
                before = accelerator.seconds, accelerator.between
                seconds[name] += _durations(_steps(accelerator, batches, steps, popular, rows))[1:-1]
                beside[name].append((accelerator.seconds - before[0]) / steps)
                between[name].append((accelerator.between - before[1]) / steps)
    medians = {name: median(values) for name, values in seconds.items()}
    core, model = (medians[name] for name in drivers)
    gathered = rows["early"] + rows["late"]
    return {
        "seconds": seconds, "median_seconds": medians,
        "accelerator_seconds": {name: median(values) for name, values in beside.items()},
        "between_seconds": {name: median(values) for name, values in between.items()},
        "popular_share": float(np.mean(popular)), "gathered_rows_per_step": gathered / len(popular),
        "early_share": rows["early"] / gathered if gathered else None,
        "verilated_to_model": core / model, "verilated_to_ordinary": core / medians["ordinary"],
    }  # fmt: skip


def _steps(
    accelerator: Accelerator, batches: MiniBatches, steps: int, popular: list[float], rows: dict[str, int]
) -> Iterator[float]:
    for ready in accelerator.splits(batches, steps):
        popular.append(float(ready.split.popular.mean()))
        rows["early"] += ready.gathering.early
        rows["late"] += ready.gathering.late
        yield accelerator.trainer.step(ready.batch, ready.split.popular, ready.split.slots, ready.working)


def _durations(work: Iterable[Any]) -> list[float]:
    """Seconds that each item took, waiting for the accelerator included."""
    times = [perf_counter()]
    times += [perf_counter() for _ in work]
    return np.diff(times).tolist()
