"""How fast everything is, side by side, on one machine in one run.

    stream     the same mini-batches through the Verilated device, the golden model, and the device under cocotb
    training   the same steps with the Verilated device, with the golden model beside them, and the ordinary way
    gather     rows at random through the Verilated device, with one kind of memory after another behind it

Contenders take turns, so that a change of the machine's load reaches all of them, and medians are reported; only the
cocotb rival, which is slow, has its one round after the others.
"""

from __future__ import annotations

import os
import platform
from dataclasses import replace
from time import perf_counter
from typing import Any

from hotline_device.registry import open_device
from hotline_device.ring_entries import Descriptor
from hotline_host.data.delimited import Progress
from hotline_host.data.log import Batch, ClickLog
from hotline_host.data.minibatches import MiniBatches
from hotline_host.driver.driver import Driver
from hotline_host.experiments.settings import SettingsError
from hotline_host.experiments.split import log_figures
from hotline_hw.spec.descriptors import Flag, Opcode
from hotline_hw.spec.params import Geometry
from hotline_sim.memory.timing import PRESETS

from .gather import DIMENSIONS, dma_shares, measure_gather
from .return_path import compare
from .settings import BenchSettings
from .training import measure_training

__all__ = ["bench"]

CORE, MODEL = "verilated", "model"
PHASES = {
    "learn": (Opcode.LEARN, False), "classify": (Opcode.CLASSIFY, False), "relearn": (Opcode.CLASSIFY, True),
    "gather": (Opcode.CLASSIFY, False),
}  # fmt: skip
ROW_BYTES = 64
"""Of the rows that the phase `gather` brings: 16 float32."""
LIMITS = ("input_idle", "bank_stall", "split_beats", "output_stall")


def bench(
    log: ClickLog, geometry: Geometry, settings: BenchSettings, progress: Progress = lambda *_: None
) -> dict[str, Any]:
    """Measures, and returns the figures, ready for JSON.

    `stream` holds, by backend and phase, what `_stream_figures` gives; the phase `gather` is CLASSIFY with the GATHERs
    of every mini-batch behind it, rows of ROW_BYTES. `rival_ratio` holds lookups a second of the Verilated device over
    the rival's, by phase, None without a rival. `training` is what `measure_training` gives, `gather` what
    `measure_gather` gives. `memory` is what stands behind the accelerator in all but the last. `load_average` is that
    of 1, 5 and 15 minutes, before and after.

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
    batches = {"learn": learned, "classify": classified, "relearn": classified, "gather": classified}
    before = os.getloadavg()
    progress(f"opening {CORE}", 0, 1)
    timing = settings.device_options(CORE)
    with open_device(CORE, geometry, **timing) as core, open_device(MODEL, geometry) as model:
        drivers = {CORE: Driver(core), MODEL: Driver(model)}
        budget = settings.budget(log, geometry.hot_capacity)
        for driver in drivers.values():
            driver.check(MiniBatches(log, 0, log.size, settings.batch_size))
        stream = _measure_streams(drivers, log, budget, batches, settings.rounds, progress)
        if settings.rival:
            progress(f"opening {settings.rival}", 0, 1)
            few = {phase: members[: settings.rival_batches] for phase, members in batches.items()}
            with open_device(settings.rival, geometry, **timing) as device:
                stream |= _measure_streams({settings.rival: Driver(device)}, log, budget, few, 1, progress)
        training = measure_training(drivers, log, rest, budget, settings, progress)
    gather = measure_gather(geometry, list(PRESETS), settings.seed, progress)
    progress("applying gradients of cold rows", 0, 1)
    cold_rows = max(1, round(stream[CORE]["gather"]["rows"] / len(batches["gather"])))
    returned = {str(width): compare(cold_rows, width, settings.memory, settings.seed) for width in DIMENSIONS}
    return {
        **log_figures(log), "preset": geometry.name, "geometry": geometry.as_dict(), "hot_rows": budget,
        "batch_size": settings.batch_size, "rounds": settings.rounds, "steps": settings.steps, "model": settings.model,
        "dtype": settings.dtype, "device": str(settings.torch_device()), "machine": platform.machine(),
        "cores": os.cpu_count(), "load_average": {"before": before, "after": os.getloadavg()},
        "memory": settings.memory, "rival": settings.rival, "stream": stream, "training": training, "gather": gather,
        "return_path": returned,
        "rival_ratio": {phase: _ratio(stream, settings.rival, phase) for phase in batches} if settings.rival else None,
    }  # fmt: skip


def _measure_streams(
    drivers: dict[str, Driver], log: ClickLog, budget: int, batches: dict[str, list[Batch]], rounds: int,
    progress: Progress,
) -> dict[str, dict[str, dict[str, Any]]]:  # fmt: skip
    """Figures by backend and phase. Every round starts from an empty tracker."""
    figures: dict[str, dict[str, list[dict[str, Any]]]] = {name: {phase: [] for phase in batches} for name in drivers}
    gathers = {name: _set_tables(driver, log) for name, driver in drivers.items()}
    for name, driver in drivers.items():  # what is slow the first time: compiled code, pages of memory
        for phase in ("learn", "gather"):
            _stream(driver, batches[phase][:1], phase, gathers[name])
        progress(f"warming {name} up", 1, 1)
    for number in range(rounds):
        for name, driver in drivers.items():
            driver.set_hot_rows(budget)
            for phase in batches:
                progress(f"streaming through {name}, rounds", number, rounds)
                figures[name][phase].append(_stream(driver, batches[phase], phase, gathers[name]))
                if phase == "learn":
                    driver.settle()
    return {
        name: {phase: _stream_figures(runs, len(batches[phase]), driver.geometry) for phase, runs in phases.items()}
        for (name, phases), driver in zip(figures.items(), drivers.values(), strict=True)
    }


def _set_tables(driver: Driver, log: ClickLog) -> list[Descriptor]:
    """Tables of the log's shape, and the GATHERs that bring the cold rows of the mini-batch before."""
    memory = driver.device.memory
    table = memory.allocate("bench-tables", int(log.rows.sum()) * ROW_BYTES)
    target = memory.allocate("bench-rows", driver.geometry.working_rows * ROW_BYTES)
    address = table.address
    for number, rows in enumerate(log.rows.tolist()):
        driver.set_table(number, address, rows, ROW_BYTES)
        address += rows * ROW_BYTES
    driver.rings.windows.expose(target, read=False, write=True)
    return [
        Descriptor(opcode=Opcode.GATHER, flags=flags, operand=ROW_BYTES, targets=(target.address, 0, 0))
        for flags in (Flag(0), Flag.HELD)
    ]


def _stream(driver: Driver, batches: list[Batch], phase: str, gathers: list[Descriptor]) -> dict[str, Any]:
    """Seconds and counters of all mini-batches, handed over at once: neither packing nor checking is in them."""
    opcode, relearn = PHASES[phase]
    work = driver.prepare(batches, opcode, relearn=relearn)
    if phase == "gather":
        work = replace(work, descriptors=[each for one in work.descriptors for each in (one, *gathers)])
    driver.reset_counters()
    start = perf_counter()
    driver.run(work)
    seconds = perf_counter() - start
    return {"seconds": seconds} | driver.counters()


def _stream_figures(runs: list[dict[str, Any]], batches: int, geometry: Geometry) -> dict[str, Any]:
    """Figures of the median round (of two, the faster one). Those of cycles are None on a backend without.

    `cycles` are those with a mini-batch in the core, and `shares` are of these: what held the core up; `dma_cycles` are
    those with a descriptor under way, and `dma_shares`, which sum up to 1, are of these: what the device was doing.
    """
    run = sorted(runs, key=lambda each: each["seconds"])[(len(runs) - 1) // 2]
    seconds, lookups, cycles = run["seconds"], run["lookups"], run["cycles"]
    figures = {
        "batches": batches, "lookups": lookups, "rows": run["rows_gathered"], "seconds": seconds,
        "lookups_per_second": lookups / seconds, "rows_per_second": run["rows_gathered"] / seconds,
        "cycles": cycles, "dma_cycles": run["dma_cycles"], "cycles_per_second": None,
        "lookups_per_cycle_per_lane": None, "lookups_per_dma_cycle_per_lane": None, "shares": None, "dma_shares": None,
    }  # fmt: skip
    if cycles:
        figures["cycles_per_second"] = run["dma_cycles"] / seconds
        figures["lookups_per_cycle_per_lane"] = lookups / cycles / geometry.lanes
        figures["lookups_per_dma_cycle_per_lane"] = lookups / run["dma_cycles"] / geometry.lanes
        figures["shares"] = {name: run[name] / cycles for name in LIMITS}
        figures["dma_shares"] = dma_shares(run)
    return figures


def _ratio(stream: dict[str, Any], rival: str, phase: str) -> float:
    return stream[CORE][phase]["lookups_per_second"] / stream[rival][phase]["lookups_per_second"]
