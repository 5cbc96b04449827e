"""How fast co-simulation is, side by side, on one machine in one run.

    stream     the same mini-batches through the Verilated device, the golden model, and the device under cocotb
    training   the same steps of the pipeline hotline, with the Verilated device and with the golden model
    gather     random rows through the Verilated device, with one kind of memory after another behind it

Contenders take turns, so a change of the machine's load reaches all of them. Medians are reported. The cocotb rival is
slow: it has one round, after the others.
"""

from __future__ import annotations

import os
import platform
from contextlib import ExitStack
from dataclasses import dataclass, replace
from time import perf_counter

from hotline_device.registry import open_device
from hotline_device.ring_entries import Descriptor
from hotline_host.data.delimited import Progress
from hotline_host.data.log import Batch, ClickLog
from hotline_host.data.minibatches import MiniBatches
from hotline_host.driver.driver import Driver
from hotline_host.driver.follow import FollowOptions
from hotline_host.errors import SettingsError
from hotline_host.experiments.results import LogFigures
from hotline_host.experiments.settings import MEMORIES, check_lookups
from hotline_host.pipelines.pipeline import AcceleratorOptions
from hotline_hw.spec.descriptors import Flag, Opcode
from hotline_hw.spec.params import Geometry

from .gather import DIMENSIONS, dma_shares, measure_gather
from .results import SimBenchResult, StreamFigures
from .return_path import compare
from .settings import CORE, MODEL, SimBenchSettings
from .training import measure_training

__all__ = ["bench_simulation"]

PHASES = {
    "learn": (Opcode.LEARN, False), "classify": (Opcode.CLASSIFY, False), "relearn": (Opcode.CLASSIFY, True),
    "gather": (Opcode.CLASSIFY, False),
}  # fmt: skip
ROW_BYTES = 64
"""Of the rows that the phase `gather` brings: 16 float32."""
LIMITS = ("input_idle", "bank_stall", "split_beats", "output_stall")


@dataclass(frozen=True)
class _Run:
    """One round of one phase. Counters that need a clock are 0 without one."""

    seconds: float
    counters: dict[str, int]


def bench_simulation(
    log: ClickLog, geometry: Geometry, settings: SimBenchSettings, progress: Progress = lambda *_: None
) -> SimBenchResult:
    """Measures everything.

    Raises:
        SettingsError: the log is too short to learn from and to train on, has no lookup, or does not fit into memory.
        DeviceError: a backend cannot be built, or fails.
        DriverError: the log or the budget is beyond the accelerator.
    """
    check_lookups(log)
    start = settings.learned(log)
    if not 0 < start < log.size:
        raise SettingsError(f"{log.name}: {start} of {log.size} samples are learned from; leave some for both parts")
    learned = list(MiniBatches(log, 0, start, settings.batch_size))[: settings.stream_batches]
    rest = MiniBatches(log, start, log.size, settings.batch_size)
    classified = list(rest)[: settings.stream_batches]
    batches = {"learn": learned, "classify": classified, "relearn": classified, "gather": classified}
    setup = replace(settings.setup(log, geometry, CORE), accelerator=None)
    accelerators = {
        name: AcceleratorOptions(
            backend=name,
            geometry=geometry,
            options=settings.device_options(name),
            follow=FollowOptions(select_every=settings.select_every, by_bag=settings.by_bag),
        )
        for name in (CORE, MODEL)
    }
    before = os.getloadavg()
    stream = _measure_all_streams(log, accelerators, setup.hot_rows, batches, settings, progress)
    training = measure_training(setup, accelerators, learned, rest, settings, progress)
    gather = measure_gather(geometry, MEMORIES, settings.seed, progress)
    progress("applying gradients of cold rows", 0, 1)
    cold_rows = max(1, round(stream[CORE]["gather"].rows / len(batches["gather"])))
    returned = {str(width): compare(cold_rows, width, settings.memory, settings.seed) for width in DIMENSIONS}
    return SimBenchResult(
        log=LogFigures.of(log), preset=geometry.name, geometry=geometry.as_dict(), hot_rows=setup.hot_rows,
        batch_size=settings.batch_size, rounds=settings.rounds, steps=settings.steps, model=settings.model,
        dtype=settings.dtype, device=str(setup.device), machine=platform.machine(), cores=os.cpu_count(),
        load_average={"before": before, "after": os.getloadavg()}, memory=settings.memory, rival=settings.rival,
        stream=stream, training=training, gather=gather, return_path=returned,
        rival_ratio={phase: _ratio(stream, settings.rival, phase) for phase in batches} if settings.rival else None,
    )  # fmt: skip


def _measure_all_streams(
    log: ClickLog, accelerators: dict[str, AcceleratorOptions], hot_rows: int, batches: dict[str, list[Batch]],
    settings: SimBenchSettings, progress: Progress,
) -> dict[str, dict[str, StreamFigures]]:  # fmt: skip
    """Figures by backend and phase: of all accelerators in turns, then of the rival."""
    few = {phase: members[: settings.rival_batches] for phase, members in batches.items()}
    with ExitStack() as opened:
        drivers = {}
        for name, each in accelerators.items():
            progress(f"opening {name}", 0, 1)
            drivers[name] = Driver(opened.enter_context(open_device(name, each.geometry, **each.options)))
            drivers[name].check(MiniBatches(log, 0, log.size, settings.batch_size))
        stream = _measure_streams(drivers, log, hot_rows, batches, settings.rounds, progress)
    if settings.rival:
        progress(f"opening {settings.rival}", 0, 1)
        core = accelerators[CORE]
        with open_device(settings.rival, core.geometry, **core.options) as device:
            stream |= _measure_streams({settings.rival: Driver(device)}, log, hot_rows, few, 1, progress)
    return stream


def _measure_streams(
    drivers: dict[str, Driver], log: ClickLog, budget: int, batches: dict[str, list[Batch]], rounds: int,
    progress: Progress,
) -> dict[str, dict[str, StreamFigures]]:  # fmt: skip
    """Figures by backend and phase. Every round starts from an empty tracker."""
    figures: dict[str, dict[str, list[_Run]]] = {name: {phase: [] for phase in batches} for name in drivers}
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
    driver.rings.windows.expose(target, write=True)
    return [
        Descriptor(opcode=Opcode.GATHER, flags=flags, operand=ROW_BYTES, targets=(target.address, 0, 0))
        for flags in (Flag(0), Flag.HELD)
    ]


def _stream(driver: Driver, batches: list[Batch], phase: str, gathers: list[Descriptor]) -> _Run:
    """All mini-batches, handed over at once. Neither packing nor checking is in the seconds."""
    opcode, relearn = PHASES[phase]
    work = driver.prepare(batches, opcode, relearn=relearn)
    if phase == "gather":
        descriptors = []
        for each in work.descriptors:
            descriptors += [each, *gathers] if each.opcode == Opcode.CLASSIFY else [each]
        work = replace(work, descriptors=descriptors)
    driver.reset_counters()
    start = perf_counter()
    driver.run(work)
    seconds = perf_counter() - start
    return _Run(seconds, {name: value or 0 for name, value in driver.counters().items()})


def _stream_figures(runs: list[_Run], batches: int, geometry: Geometry) -> StreamFigures:
    run = sorted(runs, key=lambda each: each.seconds)[(len(runs) - 1) // 2]
    seconds, counters = run.seconds, run.counters
    lookups, rows, cycles, dma_cycles = (
        counters[name] for name in ("lookups", "rows_gathered", "cycles", "dma_cycles")
    )  # fmt: skip
    return StreamFigures(
        batches=batches,
        lookups=lookups,
        rows=rows,
        seconds=seconds,
        lookups_per_second=lookups / seconds,
        rows_per_second=rows / seconds,
        cycles=cycles or None,
        dma_cycles=dma_cycles or None,
        cycles_per_second=dma_cycles / seconds if cycles else None,
        lookups_per_cycle_per_lane=lookups / cycles / geometry.lanes if cycles else None,
        lookups_per_dma_cycle_per_lane=lookups / dma_cycles / geometry.lanes if cycles else None,
        shares={name: counters[name] / cycles for name in LIMITS} if cycles else None,
        dma_shares=dma_shares(counters) if cycles else None,
    )


def _ratio(stream: dict[str, dict[str, StreamFigures]], rival: str, phase: str) -> float:
    return stream[CORE][phase].lookups_per_second / stream[rival][phase].lookups_per_second
