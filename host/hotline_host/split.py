"""The accelerator alone over a log: it learns popularity from the front, and splits the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from hotline_hw.params import Geometry
from hotline_sim.backends import open_device

from .data.delimited import Progress
from .data.log import ClickLog
from .driver import Driver
from .minibatches import MiniBatches
from .settings import Settings, SettingsError

__all__ = ["SplitResult", "accelerator_figures", "learn", "log_figures", "split_log", "stopwatch"]


@dataclass(frozen=True)
class SplitResult:
    """Of S classified samples, in input order.

    Attributes:
        popular: bool [S], every lookup of the sample hit.
        slots: int64 [n], slot of each lookup's row, -1 where it is cold.
        offsets: int64 [S + 1], sample s holds lookups `offsets[s]` to `offsets[s + 1]`.
        figures: settings and results, ready for JSON.
    """

    popular: np.ndarray
    slots: np.ndarray
    offsets: np.ndarray
    figures: dict[str, Any] = field(default_factory=dict)


def learn(driver: Driver, log: ClickLog, settings: Settings, progress: Progress) -> int:
    """Sets the budget and learns from the log's front with counters at zero before and after. Returns the budget.

    The whole log is checked first, so that no sample is refused later.

    Raises:
        DriverError: the budget is beyond the tracker, or a sample beyond the accelerator.
    """
    budget = settings.budget(log, driver.geometry.entries)
    driver.set_hot_rows(budget)
    driver.check(MiniBatches(log, 0, log.size, settings.batch_size))
    learned = MiniBatches(log, 0, settings.learned(log), settings.batch_size)
    driver.learn(learned, lambda done: progress("learning popularity, mini-batches", done, len(learned)))
    driver.reset_counters()
    return budget


def split_log(
    log: ClickLog, geometry: Geometry, backend: str, settings: Settings, progress: Progress = lambda *_: None
) -> SplitResult:
    """Learns on the first `learn_share` of the log and classifies the rest.

    Args:
        backend: one of `hotline_sim.backends.BACKENDS`.

    Raises:
        SettingsError: nothing is left to classify.
        DeviceError: the backend cannot be built or fails.
        DriverError: the log or the budget is beyond the accelerator.
    """
    start = settings.learned(log)
    if start >= log.size:
        raise SettingsError(f"{log.name}: none of its {log.size} samples is left to classify after learning {start}")
    rest = MiniBatches(log, start, log.size, settings.batch_size)
    seconds, lap = stopwatch()
    progress(f"opening {backend}", 0, 1)
    with open_device(backend, geometry) as device:
        lap("build")
        driver = Driver(device)
        budget = learn(driver, log, settings, progress)
        lap("learn")
        popular, slots = [], []
        for split in driver.classify_all(rest):
            popular.append(split.popular)
            slots.append(split.slots)
            progress("splitting, mini-batches", len(popular), len(rest))
        lap("accelerator")
        counters = driver.counters()

    batch = log.batch(start, log.size)
    result = SplitResult(np.concatenate(popular), np.concatenate(slots), batch.sample_offsets)
    result.figures.update(
        **log_figures(log), backend=backend, preset=geometry.name,
        geometry=geometry.as_dict(), batch_size=settings.batch_size, learned_samples=start,
        samples=log.size - start, hot_rows=budget,
        popular_share=float(result.popular.mean()),
        **accelerator_figures(len(result.slots), int((result.slots >= 0).sum()), counters), seconds=seconds,
    )  # fmt: skip
    return result


def log_figures(log: ClickLog) -> dict[str, Any]:
    """What a log is, and what was done to it."""
    return {
        "data": log.name, "rule": log.rule, "skipped_lines": log.skipped, "log_samples": log.size,
        "tables": len(log.tables), "rows": int(log.rows.sum()),
    }  # fmt: skip


def accelerator_figures(lookups: int, hits: int, counters: dict[str, int | None]) -> dict[str, Any]:
    """Figures of the mini-batches that were classified since the counters were reset; null without clock cycles."""
    cycles = counters["cycles"]
    return {
        "lookups": lookups,
        "lookup_hit_share": hits / lookups if lookups else None,
        "cycles": cycles,
        "lookups_per_cycle": lookups / cycles if cycles else None,
        "counters": counters,
    }


def stopwatch() -> tuple[dict[str, float], Callable[[str], None]]:
    """Seconds by name, and a function that adds those since it was last called under a name."""
    seconds: dict[str, float] = {}
    last = perf_counter()

    def lap(name: str) -> None:
        nonlocal last
        now = perf_counter()
        seconds[name], last = seconds.get(name, 0.0) + now - last, now

    return seconds, lap
