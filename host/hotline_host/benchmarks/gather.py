"""How near GATHER comes to what memory can carry: rows at random, by kind of memory and row width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hotline_host.data.delimited import Progress
from hotline_host.data.log import Batch
from hotline_host.driver.driver import Driver
from hotline_hw.spec.descriptors import Opcode
from hotline_hw.spec.params import Geometry
from hotline_sim.verilated import VerilatedDevice

__all__ = ["DIMENSIONS", "dma_shares", "measure_gather"]

DIMENSIONS = (16, 64, 128)
_TABLE_ROWS = 1 << 16
_MOST_ROWS = 1 << 14
_FLOAT_BYTES = 4
_CAUSES = ("dma_useful", "dma_core", "dma_read", "dma_write", "dma_overhead")


def measure_gather(
    geometry: Geometry, memories: Sequence[str], seed: int, progress: Progress
) -> dict[str, dict[str, dict[str, Any]]]:
    """Figures of one GATHER of many rows, by memory and dimension (float32); the accelerator is Verilated.

    Of the time with reads or writes under way, `link_utilisation` is the share in which memory's link was busy, headers
    included: that of the busier direction (rows come one way, requests and the same rows go the other), or of both if
    they share it. `bus_utilisation` is the share in which a beat came over the bus, and `utilisation` the larger of the
    two: the nearer bound's.
    `gb_per_s` counts bytes of rows, over all clock cycles from the decoding of the descriptor to its completion.
    """
    figures: dict[str, dict[str, dict[str, Any]]] = {}
    for number, memory in enumerate(memories):
        progress("gathering rows, kinds of memory", number, len(memories))
        device = VerilatedDevice(geometry, timing=memory, seed=seed)
        with device:
            figures[memory] = _measure(device, seed)
    return figures


def _measure(device: VerilatedDevice, seed: int) -> dict[str, dict[str, Any]]:
    """Figures by dimension. With no row hot, the mini-batch's rows are all listed; each GATHER brings them anew."""
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
        driver.gather(row_bytes, target)  # windows are set up, and pages of memory there
        driver.reset_counters()
        device.clear_memory_statistics()
        done = driver.gather(row_bytes, target)
        statistics = device.memory_statistics()
        read, write = statistics.read, statistics.write
        pending = max(read.pending_cycles, write.pending_cycles)
        link = (sum if device.timing.shared else max)((read.busy_cycles, write.busy_cycles)) / pending
        bus = read.beats / pending
        figures[str(dimension)] = {
            "rows": done.written, "cycles": done.cycles, "rows_per_cycle": done.written / done.cycles,
            "gb_per_s": done.written * row_bytes / done.cycles * device.timing.clock_mhz / 1000,
            "link_utilisation": link, "bus_utilisation": bus, "utilisation": max(link, bus),
            "dma_shares": dma_shares(driver.counters()),
        }  # fmt: skip
    return figures


def dma_shares(counters: dict[str, Any]) -> dict[str, float]:
    """What the device's clock cycles were, as shares of them all; their sum is 1."""
    cycles = counters["dma_cycles"]
    return {name: counters[name] / cycles for name in _CAUSES}


def _one_table(indices: np.ndarray) -> Batch:
    """A sample for each row of table 0."""
    count = len(indices)
    return Batch(indices, np.ones((count, 1), np.int64), np.empty((count, 0), np.float32), np.zeros(count, np.float32))
