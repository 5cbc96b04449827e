"""The accelerator alone over a log: it learns popularity from the front, and splits the rest while it follows it."""

from __future__ import annotations

import numpy as np

from hotline_device.registry import open_device
from hotline_host.data.delimited import Progress
from hotline_host.data.log import Log
from hotline_host.data.minibatches import MiniBatches, to_check
from hotline_host.driver.driver import Driver
from hotline_host.driver.follow import Follower, learn
from hotline_host.errors import SettingsError
from hotline_host.pipelines.steps import count_split
from hotline_host.stopwatch import Stopwatch
from hotline_hw.spec.params import Geometry

from .history import History
from .lanes import LaneUse
from .results import LogFigures, RunFigures, SplitResult
from .settings import Settings, check_lookups

__all__ = ["split_log"]


def split_log(
    log: Log, geometry: Geometry, backend: str, settings: Settings, progress: Progress = lambda *_: None,
    *, keep: bool = True,
) -> SplitResult:  # fmt: skip
    """Learns from the first `learn_share` of the log and classifies the rest.

    The whole log is checked first, so that no sample is refused later.

    Args:
        backend: one of `hotline_device.registry.BACKENDS`.
        keep: what became of every sample and lookup. It takes 5 bytes a lookup and 9 a sample.

    Raises:
        SettingsError: nothing is left to classify, or the log has no lookup.
        DeviceError: the backend cannot be built, or fails.
        DriverError: the log or the budget is beyond the accelerator.
    """
    check_lookups(log)
    follow = settings.follow()
    start = settings.learned(log)
    if start >= log.size:
        raise SettingsError(f"{log.name}: none of its {log.size} samples is left to classify after learning {start}")
    learned, rest = (MiniBatches(log, *part, settings.batch_size) for part in ((0, start), (start, log.size)))
    watch = Stopwatch()
    progress(f"opening {backend}", 0, 1)
    with open_device(backend, geometry, **settings.device_options(backend)) as device:
        watch.lap("build")
        driver = Driver(device)
        budget = settings.budget(log, driver.geometry.hot_capacity)
        driver.set_hot_rows(budget)
        driver.check(to_check(MiniBatches(log, 0, log.size, settings.batch_size)), by_bag=settings.by_bag)
        learn(driver, learned, follow, progress)
        watch.lap("learn")
        popular, slots, counts, history, lanes = [], [], [], History(), LaneUse(geometry)
        follower = Follower(driver, follow)
        for batch in rest:
            done = follower.split(batch)
            if keep:
                popular.append(done.split.popular)
                slots.append(done.split.slots)
                counts.append(batch.lengths.sum(axis=1))
            history.record(count_split(batch, done.split, len(done.moves or ()), done.cycles))
            lanes.record(batch, done.split.slots, driver.front, done.cycles, learned=follower.learned)
            progress("splitting, mini-batches", follower.steps, len(rest))
        watch.lap("accelerator")
        counters = driver.counters()
    return SplitResult(
        LogFigures.of(log),
        RunFigures.of(settings, geometry, backend, learned=start, samples=log.size - start, hot_rows=budget),
        history.split_figures(counters),
        lanes.figures(),
        np.concatenate(popular) if keep else None,
        np.concatenate(slots) if keep else None,
        np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64) if keep else None,
        watch.seconds,
    )
