"""How near GATHER comes to what memory can carry: random rows, by kind of memory and row width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hotline_device.registry import open_device
from hotline_host.data.delimited import Progress
from hotline_host.data.log import Batch
from hotline_host.driver.driver import Driver
from hotline_hw.spec.descriptors import Opcode
from hotline_hw.spec.params import Geometry

from .results import GatherFigures

__all__ = ["DIMENSIONS", "dma_shares", "measure_gather"]

DIMENSIONS = (16, 64, 128)
_TABLE_ROWS = 1 << 16
_MOST_ROWS = 1 << 14
_FLOAT_BYTES = 4
_CAUSES = ("dma_useful", "dma_core", "dma_read", "dma_write", "dma_overhead")


def measure_gather(
    geometry: Geometry, memories: Sequence[str], seed: int, progress: Progress
) -> dict[str, dict[str, GatherFigures]]:
    """Figures of one GATHER of many float32 rows, by memory and dimension. The accelerator is Verilated."""
    figures: dict[str, dict[str, GatherFigures]] = {}
    for number, memory in enumerate(memories):
        progress("gathering rows, kinds of memory", number, len(memories))
        with open_device("verilated", geometry, timing=memory, seed=seed) as device:
            figures[memory] = _measure(device, seed)
    return figures


def _measure(device: Any, seed: int) -> dict[str, GatherFigures]:
    """Figures by dimension. No row is hot, so all rows of the mini-batch are listed; each GATHER brings them again.

    Args:
        device: a Verilated one. The interface of devices lacks the statistics of its memory.
    """
    driver = Driver(device)
    driver.set_hot_rows(0)
    geometry = driver.geometry
    # A bank's list holds its share of working_rows, and some banks get more rows than others.
    rows = min(3 * geometry.working_rows // 4, geometry.max_samples, _MOST_ROWS)
    indices = np.random.default_rng(seed).permutation(_TABLE_ROWS)[:rows]
    driver.run(driver.prepare([_one_table(indices)], Opcode.CLASSIFY))
    widest = _FLOAT_BYTES * max(DIMENSIONS)
    table = device.memory.allocate("table", _TABLE_ROWS * widest)
    target = device.memory.allocate("target", geometry.working_rows * widest)
    figures = {}
    for dimension in DIMENSIONS:
        row_bytes = _FLOAT_BYTES * dimension
        driver.set_table(0, table.address, _TABLE_ROWS, row_bytes)
        driver.gather(row_bytes, target)  # sets windows up, and touches the pages of memory
        driver.reset_counters()
        device.clear_memory_statistics()
        done = driver.gather(row_bytes, target)
        statistics = device.memory_statistics()
        read, write = statistics.read, statistics.write
        pending = max(read.pending_cycles, write.pending_cycles)
        link = (sum if device.timing.shared else max)((read.busy_cycles, write.busy_cycles)) / pending
        bus = read.beats / pending
        figures[str(dimension)] = GatherFigures(
            rows=done.written, cycles=done.cycles, rows_per_cycle=done.written / done.cycles,
            gb_per_s=done.written * row_bytes / done.cycles * device.timing.clock_mhz / 1000,
            link_utilisation=link, bus_utilisation=bus, utilisation=max(link, bus),
            dma_shares=dma_shares({name: value or 0 for name, value in driver.counters().items()}),
        )  # fmt: skip
    return figures


def dma_shares(counters: Mapping[str, int]) -> dict[str, float]:
    """What the device did in its clock cycles, as shares of them all. Their sum is 1."""
    cycles = counters["dma_cycles"]
    return {name: counters[name] / cycles for name in _CAUSES}


def _one_table(indices: np.ndarray) -> Batch:
    """One sample for each row of table 0."""
    count = len(indices)
    return Batch(indices, np.ones((count, 1), np.int64), np.empty((count, 0), np.float32), np.zeros(count, np.float32))
