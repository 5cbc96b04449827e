"""How fast everything is, side by side, on one machine in one run.

    stream     the same mini-batches through the Verilated core, the golden model, and the core under cocotb
    training   the same steps with the Verilated core, with the golden model beside them, and the ordinary way

Contenders take turns, so that a change of the machine's load reaches all of them, and medians are reported; only the
cocotb rival, which is slow, has its one round after the others.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from hotline_hw.dma.descriptors import Opcode
from hotline_hw.params import Geometry
from hotline_sim.backends import open_device

from .baseline import OrdinaryTrainer
from .bench_settings import BenchSettings
from .cosim import Accelerator
from .cosim_settings import DTYPES
from .data.delimited import Progress
from .data.log import Batch, ClickLog
from .driver import Driver
from .minibatches import MiniBatches
from .settings import SettingsError
from .split import log_figures
from .step import SplitTrainer

__all__ = ["bench"]

CORE, MODEL = "verilated", "model"
PHASES = {"learn": (Opcode.LEARN, False), "classify": (Opcode.CLASSIFY, False), "relearn": (Opcode.CLASSIFY, True)}
LIMITS = ("input_idle", "bank_stall", "split_beats", "output_stall")


def bench(
    log: ClickLog, geometry: Geometry, settings: BenchSettings, progress: Progress = lambda *_: None
) -> dict[str, Any]:
    """Measures, and returns the figures, ready for JSON.

    `stream` holds, by backend and phase, what `_stream_figures` gives. `rival_ratio` holds lookups a second of the
    Verilated core over the rival's, by phase, None without a rival. `training` holds the seconds of every step by
    contender, their medians, what the accelerator took to split a mini-batch beside a step (`accelerator_seconds`), and
    `verilated_to_model` and `verilated_to_ordinary`, ratios of two medians. `load_average` is that of 1, 5 and
    15 minutes, before and after.

    Raises:
        SettingsError: the log is too short to learn from and to train on.
        DeviceError: a backend cannot be built or fails.
        DriverError: the log or the budget is beyond the accelerator.
    """
    start = settings.learned(log)
    if not 0 < start < log.size:
        raise SettingsError(f"{log.name}: {start} of {log.size} samples are learned from; leave some for both parts")
    learned = list(MiniBatches(log, 0, start, settings.batch_size))[: settings.stream_batches]
    rest = MiniBatches(log, start, log.size, settings.batch_size)
    classified = list(rest)[: settings.stream_batches]
    batches = {"learn": learned, "classify": classified}
    if geometry.sample_aware:
        batches["relearn"] = classified
    before = os.getloadavg()
    progress(f"opening {CORE}", 0, 1)
    with open_device(CORE, geometry) as core, open_device(MODEL, geometry) as model:
        drivers = {CORE: Driver(core), MODEL: Driver(model)}
        budget = settings.budget(log, geometry.hot_capacity)
        for driver in drivers.values():
            driver.check(MiniBatches(log, 0, log.size, settings.batch_size))
        stream = _measure_streams(drivers, budget, batches, settings.rounds, progress)
        if settings.rival:
            progress(f"opening {settings.rival}", 0, 1)
            few = {phase: members[: settings.rival_batches] for phase, members in batches.items()}
            with open_device(settings.rival, geometry) as device:
                stream |= _measure_streams({settings.rival: Driver(device)}, budget, few, 1, progress)
        training = _measure_training(drivers, log, rest, budget, settings, progress)
    return {
        **log_figures(log), "preset": geometry.name, "geometry": geometry.as_dict(), "hot_rows": budget,
        "batch_size": settings.batch_size, "rounds": settings.rounds, "steps": settings.steps, "model": settings.model,
        "dtype": settings.dtype, "device": str(settings.torch_device()), "machine": platform.machine(),
        "cores": os.cpu_count(), "load_average": {"before": before, "after": os.getloadavg()},
        "rival": settings.rival, "stream": stream, "training": training,
        "rival_ratio": {phase: _ratio(stream, settings.rival, phase) for phase in batches} if settings.rival else None,
    }  # fmt: skip


def _measure_streams(
    drivers: dict[str, Driver], budget: int, batches: dict[str, list[Batch]], rounds: int, progress: Progress
) -> dict[str, dict[str, dict[str, Any]]]:
    """Figures by backend and phase. Every round starts from an empty tracker, and both phases stream at once."""
    figures: dict[str, dict[str, list[dict[str, Any]]]] = {name: {phase: [] for phase in batches} for name in drivers}
    for name, driver in drivers.items():  # what is slow the first time: compiled code, pages of memory
        _stream(driver, batches["learn"][:1], "learn")
        progress(f"warming {name} up", 1, 1)
    for number in range(rounds):
        for name, driver in drivers.items():
            driver.set_hot_rows(budget)
            for phase in batches:
                progress(f"streaming through {name}, rounds", number, rounds)
                figures[name][phase].append(_stream(driver, batches[phase], phase))
                if phase == "learn":
                    driver.settle()
    return {
        name: {phase: _stream_figures(runs, len(batches[phase]), driver.geometry) for phase, runs in phases.items()}
        for (name, phases), driver in zip(figures.items(), drivers.values(), strict=True)
    }


def _stream(driver: Driver, batches: list[Batch], phase: str) -> dict[str, Any]:
    """Seconds and counters of all mini-batches, handed over at once: neither packing nor checking is in them."""
    opcode, relearn = PHASES[phase]
    work = driver.prepare(batches, opcode, relearn=relearn)
    driver.reset_counters()
    start = perf_counter()
    driver.run(work)
    seconds = perf_counter() - start
    return {"seconds": seconds} | driver.counters()


def _stream_figures(runs: list[dict[str, Any]], batches: int, geometry: Geometry) -> dict[str, Any]:
    """`seconds` is the median round. Figures of cycles are None on a backend without; shares are of its cycles."""
    seconds = median(run["seconds"] for run in runs)
    lookups, cycles = runs[-1]["lookups"], runs[-1]["cycles"]
    figures = {
        "batches": batches, "lookups": lookups, "seconds": seconds, "lookups_per_second": lookups / seconds,
        "cycles": cycles, "cycles_per_second": None, "lookups_per_cycle_per_lane": None, "shares": None,
    }  # fmt: skip
    if cycles:
        figures["cycles_per_second"] = cycles / seconds
        figures["lookups_per_cycle_per_lane"] = lookups / cycles / geometry.lanes
        figures["shares"] = {name: runs[-1][name] / cycles for name in LIMITS}
    return figures


def _ratio(stream: dict[str, Any], rival: str, phase: str) -> float:
    return stream[CORE][phase]["lookups_per_second"] / stream[rival][phase]["lookups_per_second"]


def _measure_training(
    drivers: dict[str, Driver], log: ClickLog, batches: MiniBatches, budget: int, settings: BenchSettings,
    progress: Progress,
) -> dict[str, Any]:  # fmt: skip
    """Steps of three trainers on the same mini-batches. The trackers are as the last LEARN left them."""
    config = settings.train_config(log.dense.shape[1])
    options: dict[str, Any] = {
        "device": settings.torch_device(), "dtype": DTYPES[settings.dtype], "seed": settings.seed,
    }  # fmt: skip
    split = {}
    for name, driver in drivers.items():
        split[name] = SplitTrainer(config, log.rows, budget, **options)
        split[name].place(*driver.hot_set(driver.dump()))
    ordinary = OrdinaryTrainer(config, log.rows, **options)
    contenders = [*drivers, "ordinary"]
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    popular: list[float] = []
    steps = settings.steps + 2  # the first waits for its split, and the last has none beside it: both left out
    beside: dict[str, list[float]] = {name: [] for name in drivers}
    for number in range(settings.rounds):
        for name in contenders:
            progress(f"training, {name}, rounds", number, settings.rounds)
            if name == "ordinary":
                work = (ordinary.step(batches[step % len(batches)]) for step in range(steps))
                seconds[name] += _durations(work)[1:-1]
                continue
            with Accelerator(drivers[name]) as accelerator:
                seconds[name] += _durations(_split_steps(split[name], accelerator, batches, steps, popular))[1:-1]
            beside[name].append(accelerator.seconds / steps)
    medians = {name: median(values) for name, values in seconds.items()}
    return {
        "seconds": seconds, "median_seconds": medians,
        "accelerator_seconds": {name: median(values) for name, values in beside.items()},
        "popular_share": float(np.mean(popular)),
        "verilated_to_model": medians[CORE] / medians[MODEL],
        "verilated_to_ordinary": medians[CORE] / medians["ordinary"],
    }  # fmt: skip


def _split_steps(
    trainer: SplitTrainer, accelerator: Accelerator, batches: MiniBatches, steps: int, popular: list[float]
) -> Iterator[float]:
    for ready in accelerator.splits(batches, steps):
        popular.append(float(ready.split.popular.mean()))
        yield trainer.step(ready.batch, ready.split.popular, ready.split.slots)


def _durations(work: Iterable[Any]) -> list[float]:
    """Seconds that each item took, waiting for the accelerator included."""
    times = [perf_counter()]
    times += [perf_counter() for _ in work]
    return np.diff(times).tolist()
