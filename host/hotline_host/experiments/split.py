"""The accelerator alone over a log: it learns popularity from the front, and splits the rest while it follows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from hotline_device.registry import open_device
from hotline_host.data.delimited import Progress
from hotline_host.data.log import ClickLog
from hotline_host.data.minibatches import MiniBatches
from hotline_host.driver.driver import Driver
from hotline_host.driver.follow import Follower
from hotline_host.tracking.aging import AgingControl
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.policy import Policy

from .history import SplitHistory
from .settings import Settings, SettingsError

__all__ = ["SplitResult", "accelerator_figures", "learn", "log_figures", "memory_figures", "split_log", "stopwatch"]


@dataclass(frozen=True)
class SplitResult:
    """Of S classified samples, in input order.

    Attributes:
        popular: bool [S], every lookup of the sample hit.
        slots: int64 [n], slot of each lookup's row, -1 where it is cold. Rows may move between mini-batches.
        offsets: int64 [S + 1], sample s holds lookups `offsets[s]` to `offsets[s + 1]`.
        figures: settings and results, ready for JSON; `working_rows` is the mean of a mini-batch.
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
    budget = settings.budget(log, driver.geometry.hot_capacity)
    driver.set_hot_rows(budget)
    driver.check(MiniBatches(log, 0, log.size, settings.batch_size), by_bag=settings.by_bag)
    learned = MiniBatches(log, 0, settings.learned(log), settings.batch_size)
    aging = AgingControl()
    driver.configure(Policy(), aging)
    report = partial(progress, "learning popularity, mini-batches")
    driver.learn(
        learned, lambda done: report(done, len(learned)), select_every=settings.select_every, by_bag=settings.by_bag
    )
    if settings.move_limit is not None:
        driver.configure(Policy(move_limit=settings.move_limit), aging)
    driver.reset_counters()
    return budget


def split_log(
    log: ClickLog, geometry: Geometry, backend: str, settings: Settings, progress: Progress = lambda *_: None
) -> SplitResult:
    """Learns on the first `learn_share` of the log and classifies the rest.

    Args:
        backend: one of `hotline_device.registry.BACKENDS`.

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
    with open_device(backend, geometry, **settings.device_options(backend)) as device:
        lap("build")
        driver = Driver(device)
        budget = learn(driver, log, settings, progress)
        lap("learn")
        popular, slots, history = [], [], SplitHistory()
        follower = Follower(driver, settings.relearn_share, settings.select_every, by_bag=settings.by_bag)
        for batch in rest:
            done = follower.split(batch)
            popular.append(done.split.popular)
            slots.append(done.split.slots)
            history.record(batch, done.split, len(done.moves or ()), done.cycles)
            progress("splitting, mini-batches", len(popular), len(rest))
        lap("accelerator")
        counters = driver.counters()

    offsets = log.batch(start, log.size).sample_offsets
    result = SplitResult(np.concatenate(popular), np.concatenate(slots), offsets)
    result.figures.update(
        **log_figures(log), backend=backend, **memory_figures(backend, settings), preset=geometry.name,
        geometry=geometry.as_dict(), batch_size=settings.batch_size, learned_samples=start,
        samples=log.size - start, hot_rows=budget, **settings.follow_figures(),
        **accelerator_figures(history, counters), seconds=seconds,
    )  # fmt: skip
    return result


def log_figures(log: ClickLog) -> dict[str, Any]:
    """What a log is, and what was done to it."""
    return {
        "data": log.name, "rule": log.rule, "skipped_lines": log.skipped, "log_samples": log.size,
        "tables": len(log.tables), "rows": int(log.rows.sum()),
    }  # fmt: skip


def memory_figures(backend: str, settings: Settings) -> dict[str, Any]:
    """The memory behind the accelerator; None on the golden model, which takes no time."""
    return {"memory": settings.device_options(backend).get("timing")}


def accelerator_figures(history: SplitHistory, counters: dict[str, int | None]) -> dict[str, Any]:
    """Figures of the mini-batches that were classified since the counters were reset; null without clock cycles."""
    figures, cycles = history.figures(), counters["cycles"]
    return {
        **figures,
        "cycles": cycles,
        **{name: counters[name] for name in ("dma_cycles", "bytes_read", "bytes_written")},
        "lookups_per_cycle": figures["lookups"] / cycles if cycles else None,
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
