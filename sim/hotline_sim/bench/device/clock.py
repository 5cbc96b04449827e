"""Drives the DUT's pins: both clocks, reset, and the memory behind the AXI manager."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge, Timer

from hotline_device.host_memory import HostMemory
from hotline_hw.spec.params import Geometry
from hotline_sim.memory.cocotb_port import CocotbMemory
from hotline_sim.memory.model import MemoryModel
from hotline_sim.memory.timing import MemoryTiming

from .coverage import DeviceCoverage
from .memory import FAST, Extent
from .watch import ManagerWatch

__all__ = ["CLOCK_NS", "DeviceClock"]

CLOCK_NS = 10


class DeviceClock:
    """Drives `clk`, `core_clk` and the memory's pins, cycle by cycle.

    Attributes:
        gated: core_clk rises only in cycles before which core_clk_enable was high. If False, it rises with every clk.
        cycles, core_cycles: cycles of clk and of core_clk so far.
        stopped: cycles in which core_clk stood still while reads were outstanding.
        watch: the watcher of the AXI manager.
    """

    def __init__(
        self, dut: Any, geometry: Geometry, memory: HostMemory, coverage: DeviceCoverage, rng: np.random.Generator
    ) -> None:
        self.dut, self.geometry, self.coverage = dut, geometry, coverage
        self.gated = True
        self.cycles = self.core_cycles = self.stopped = 0
        self.watch = ManagerWatch(geometry, coverage)
        self._memory, self._rng = memory, rng
        self._answers: list[tuple[Extent, int]] = []
        dut.rst.value = dut.bus_rst.value = 1
        dut.clk.value = dut.core_clk.value = 0
        self._connect(FAST)

    def start(self) -> None:
        cocotb.start_soon(self._run())

    async def reset(self, cycles: int = 4, *, memory: bool = True) -> None:
        """Pulses `rst` at any time. With `memory`, the memory is reset too, and drops bursts in progress."""
        self.dut.rst.value = 1
        self.dut.bus_rst.value = int(memory)
        await ClockCycles(self.dut.clk, cycles)
        if memory:
            self.watch.restart()
        self.watch.read_bytes = self.watch.written_bytes = 0
        self.dut.rst.value = self.dut.bus_rst.value = 0
        await RisingEdge(self.dut.clk)

    def use(self, timing: MemoryTiming) -> None:
        """Replaces the memory. No burst may be outstanding."""
        assert not self.watch.reads and not self.watch.writes, "the memory is changed with bursts outstanding"
        self.watch.statistics(self.model)
        self._connect(timing)

    def answer(self, extent: Extent, response: int) -> None:
        """Makes the memory answer accesses to this range with 2 (SLVERR) or 3 (DECERR)."""
        self._answers.append((extent, response))
        self.model.answer(*extent, response)

    def clear_answers(self) -> None:
        self._answers.clear()
        self.model.clear_answers()

    def _connect(self, timing: MemoryTiming) -> None:
        g = self.geometry
        self.model = MemoryModel(
            self._memory, axi_bits=g.axi_bits, id_bits=g.id_bits, timing=timing,
            seed=int(self._rng.integers(1 << 32)), max_beats=g.burst_beats,
        )  # fmt: skip
        self.port = CocotbMemory(self.dut, self.model)
        self.watch.restart()
        for extent, response in self._answers:
            self.model.answer(*extent, response)

    async def _run(self) -> None:
        """Runs forever. Raises AssertionError if a rule of AXI is broken.

        All pins settle in the low half of a cycle; they are sampled before the edge.
        """
        dut, half = self.dut, Timer(CLOCK_NS // 2, "ns")
        clk, core_clk, enable, bus_rst = dut.clk, dut.core_clk, dut.core_clk_enable, dut.bus_rst
        while True:
            resets = bus_rst.value == 1
            if resets:
                self.model.reset()
            else:
                self.model.offer()
            self.port.drive()
            await half
            if not resets:
                self.port.collect()
                self.watch.step(self.model)
                self.model.sample()
                assert not self.model.violations, f"the AXI4 manager broke a rule: {self.model.message}"
            clk.value = 1
            if not self.gated or enable.value == 1:
                core_clk.value = 1
                self.core_cycles += 1
            else:
                self.stopped += self.watch.reads > 0
            self.cycles += 1
            await half
            clk.value = core_clk.value = 0
