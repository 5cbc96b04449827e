"""The cocotb test that runs in the simulator: it carries out the requests of a `CocotbDevice`.

In each clock cycle the memory model, in C++, is stepped between the DUT's pins. `core_clk`, the stream core's clock,
rises with `clk` in the cycles in which the device enables it.
"""

from __future__ import annotations

import mmap
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import Timer

from hotline_device.host_memory import HostMemory, Region
from hotline_sim.memory.cocotb_port import CocotbMemory
from hotline_sim.memory.model import MemoryModel, ProtocolError
from hotline_sim.memory.timing import Latency, MemoryTiming

from .link import Link, map_flag
from .service import Failure, Service, connect


class SharedMemory(HostMemory):
    """The device's regions, mapped from their files. It creates none."""

    def __init__(self) -> None:
        self.regions: list[Region] = []

    def add(self, name: str, address: int, size: int, path: str) -> None:
        with open(path, "r+b") as file:
            mapped = mmap.mmap(file.fileno(), size)
        self.regions.append(Region(name, address, np.frombuffer(mapped, np.uint8), Path(path)))


class DeviceServer(Service):
    """The DUT behind its requests, with its memory."""

    def __init__(self, dut: Any, link: Link, folder: Path, settings: dict[str, Any]) -> None:
        super().__init__(dut, link, settings["quiet_limit"])
        self.memory, self.flag = SharedMemory(), map_flag(folder)
        bus = settings["memory"]
        timing: dict[str, Any] = bus.pop("timing")
        timing |= {name: Latency(**value) for name, value in timing.items() if isinstance(value, dict)}
        self.model = MemoryModel(self.memory, timing=MemoryTiming(**timing), **bus)
        self.port = CocotbMemory(dut, self.model)
        self.half_cycle = Timer(1, "ns")
        self.core_cycles = self.quiet = 0
        self.resets = self.offered = False  # in reset, memory not stepped; memory's pins decided in this cycle
        self.undefined: str | None = None  # the first undefined pin that matters
        dut.clk.value = dut.core_clk.value = 0

    async def settle(self) -> None:
        if not self.offered and not self.resets:
            self.model.offer()
            self.port.drive()
        self.offered = True
        await self.half_cycle

    async def edge(self) -> None:
        dut = self.dut
        if not self.resets:
            self.quiet = 0 if self._sample() else self.quiet + 1
        self.offered = False
        dut.clk.value = 1
        if dut.core_clk_enable.value == 1:
            dut.core_clk.value = 1
            self.core_cycles += 1
        await self.half_cycle
        dut.clk.value = dut.core_clk.value = 0
        self.count_cycle()

    def begin(self, request: dict[str, Any]) -> None:
        for region in request.pop("regions", []):
            self.memory.add(**region)

    def end(self) -> dict[str, Any]:
        violation = self.undefined
        try:
            self.model.check()
        except ProtocolError as error:
            violation = str(error)
        return super().end() | {"core_cycles": self.core_cycles, "violation": violation}

    async def op_reset(self) -> None:
        """Resets the device. Memory works on in the meantime, but for the first reset, which is of both."""
        self.resets = not self.cycles
        if self.resets:
            self.model.reset()
            self.port.drive()
        self.dut.bus_rst.value = int(self.resets)
        await super().op_reset()
        self.dut.bus_rst.value = 0
        self.resets = self.offered = False
        self.quiet = 0

    async def op_read(self, offset: int) -> dict[str, int]:
        self.quiet = 0
        return await super().op_read(offset)

    async def op_write(self, offset: int, value: int) -> None:
        self.quiet = 0
        await super().op_write(offset, value)

    async def op_run(self, seconds: float) -> dict[str, bool]:
        end = time.monotonic() + seconds
        while True:
            await self.settle()
            if self.dut.irq.value == 1:
                return {"irq": True}
            await self.edge()
            if self.model.violations or self.undefined:
                return {"irq": False}
            if self.quiet > self.quiet_limit:
                self.quiet = 0
                raise Failure("timeout")
            if self.flag[0] or time.monotonic() >= end:
                return {"irq": False}

    async def op_memory(self, call: str, arguments: list[int]) -> dict[str, Any]:
        result = getattr(self.model, call)(*arguments)
        return {"result": asdict(result) if result is not None else None}

    def _sample(self) -> bool:
        """Returns whether anything was transferred on the AXI manager's port."""
        try:
            self.port.collect()
        except AssertionError as error:
            self.undefined = self.undefined or f"the AXI4 manager broke a rule: cycle {self.cycles}: {error}"
            return False
        return self.model.sample()


@cocotb.test()
async def serve(dut: Any) -> None:
    link, folder, settings = connect()
    await DeviceServer(dut, link, folder, settings).serve()
