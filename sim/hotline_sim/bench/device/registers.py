"""`DeviceRegisters`: the device and its golden model, with the same register writes and the same memory contents."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
from cocotb.triggers import ClockCycles, Timer
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from hotline_device.host_memory import PAGE_BYTES, HostMemory, Region
from hotline_hw.spec.descriptors import ENTRY_BYTES
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import register
from hotline_hw.spec.shell_registers import DmaCommand, DmaIrq, shell_register, window_offset
from hotline_sim.bench.settings import bench_geometry, bench_seed
from hotline_sim.bench.simulator import ICARUS
from hotline_sim.memory.timing import MemoryTiming
from hotline_sim.model.device import ModelDevice

from .clock import DeviceClock
from .coverage import DeviceCoverage
from .memory import CANARY, FAST, Extent, TwoMemories

__all__ = ["TABLES", "TABLE_ROWS", "TABLE_STRIDE", "DeviceRegisters", "offset_of", "shared_coverage"]

warnings.filterwarnings("ignore", category=DeprecationWarning, module="cocotbext")

TABLES, TABLE_ROWS, TABLE_STRIDE = 7, 256, 80


@cache
def shared_coverage(geometry: Geometry) -> DeviceCoverage:
    """The coverage of all benches of a simulation."""
    return DeviceCoverage(geometry, inside=ICARUS)


def offset_of(name: str) -> int:
    """Byte offset of a register of the core or of the shell."""
    try:
        return register(name).offset
    except KeyError:
        return shell_register(name).offset


class DeviceRegisters:
    """The DUT and the golden model: clocks, reset, memory, registers.

    Regions. All but `rings` and `table` hold canaries at first:

        rings    descriptors, then completions from a page of their own; window 0
        source   window 1, to read; `state`: 2; `results`: 3, to write; `rows`: 4, to write; `table`: 5, to read
        secret   no window
        nowhere  window 6, and no memory

    Args:
        dut: the simulator's handle of hotline_device.
        timing: the memory's timing at first.
        gated: core_clk stands still while core_clk_enable is low. If False, it is clk.
        ring_log2: log2 of the entries of each ring.
        leads: of a region, how many bytes of it are below a multiple of 4 GiB. If these are all, it is 2^64.

    Attributes:
        rng: the random generator of the bench, seeded with SEED.
        golden: the golden model. memory: both memories.
        produced: descriptors that were submitted since the rings started.
        gather_failed: a GATHER failed since the counters were reset. rows_gathered is unspecified then.
    """

    def __init__(
        self,
        dut: Any,
        *,
        timing: MemoryTiming = FAST,
        gated: bool = True,
        ring_log2: int = 4,
        leads: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        logging.getLogger("cocotb.hotline_device").setLevel(logging.ERROR)  # the bus model logs every access
        self.dut, self.geometry, self.ring_log2 = dut, bench_geometry(), ring_log2
        self.rng = np.random.default_rng(bench_seed())
        self.coverage = shared_coverage(self.geometry)
        self.golden = ModelDevice(self.geometry, reference=True)
        self.memory = TwoMemories(self.golden.memory, HostMemory())
        self.completions_at = max(PAGE_BYTES, ENTRY_BYTES << ring_log2)  # in region rings, on a page of their own
        self.rings, self.source, self.state, self.results, self.rows, self.table = (
            self._region(number, name, size, leads) for number, (name, size) in enumerate(
                (("rings", 2 * self.completions_at), ("source", 32 << 10), ("state", 16 << 10), ("results", 64 << 10),
                 ("rows", 128 << 10), ("table", 128 << 10))
            )
        )  # fmt: skip
        self.secret = self.memory.allocate("secret", 8 << 10)
        self.nowhere = Extent(self.secret.address + (self.secret.size << 8), 8192)
        values = self.rng.standard_normal(self.table.size // 4).astype(np.float32)  # whose sums are the same bits
        self.memory.put(self.table.address, values)
        self.clock = DeviceClock(dut, self.geometry, self.memory.theirs, self.coverage, self.rng)
        self.clock.gated = gated
        self.axil = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
        self.clock.use(timing)
        self.produced = self._tag = 0
        self.gather_failed = False

    def _region(self, number: int, name: str, size: int, leads: Mapping[str, int]) -> Region:
        fill = 0 if name == "rings" else CANARY
        if name not in leads:
            return self.memory.allocate(name, size, fill)
        end = 1 << 64 if leads[name] == size else 0x0FFF_FFF8 + number << 32
        return self.memory.allocate(name, size, fill, at=end - leads[name])

    # Beginning

    async def start(self) -> None:
        """Starts the clock, resets the device and sets up everything."""
        await Timer(1, "ns")
        self.clock.start()
        await self.clock.reset()
        await self.set_up()

    async def reset(self, cycles: int = 4, *, memory: bool = True) -> None:
        """Pulses `rst` at any time, and that of the memory too if asked. All registers get their reset values; then
        `set_up` sets them."""
        await self.clock.reset(cycles, memory=memory)
        self.golden.reset()
        self.produced = 0
        self.gather_failed = False

    async def soft_reset(self) -> None:
        """Resets the device by a register, and nothing else."""
        await self.write("DMA_COMMAND", DmaCommand.RESET)
        self.produced = 0
        self.gather_failed = False

    def forget(self) -> None:
        """Clears the memory of the rings, as the host does after a reset, because tags start again."""
        self.memory.put(self.rings.address, np.zeros(self.rings.size, np.uint8))

    async def reset_counters(self) -> None:
        """Issues RESET_COUNTERS to both shells while nothing is in progress."""
        await self.write("DMA_COMMAND", DmaCommand.RESET_COUNTERS)
        self.gather_failed = False
        self.clock.watch.read_bytes = self.clock.watch.written_bytes = 0

    async def set_up(self) -> None:
        """Sets up rings, windows and tables, and enables the rings."""
        ring, completions = self.rings.address, self.rings.address + self.completions_at
        for name, value in (
            ("RING_LO", ring), ("RING_HI", ring >> 32), ("CPL_LO", completions), ("CPL_HI", completions >> 32),
            ("RING_SIZE", self.ring_log2), ("DMA_IRQ_ENABLE", int(DmaIrq.COMPLETION | DmaIrq.ERROR)),
        ):  # fmt: skip
            await self.write(name, value & 0xFFFF_FFFF)
        for index, region in enumerate((self.rings, self.source, self.state, self.results, self.rows, self.table)):
            writes, reads = index not in (1, 5), index not in (3, 4)
            await self.window(index, Extent(region.address, region.size), read=reads, write=writes)
        await self.window(6, self.nowhere)
        for table in range(TABLES):
            await self.set_table(table, self.table_at(table))
        await self.write("DMA_CONTROL", 1)

    async def cycles(self, count: int) -> None:
        await ClockCycles(self.dut.clk, count)

    # Registers

    async def read(self, name: str) -> int:
        """Reads the DUT's register; the answer must be OKAY."""
        return await self.read_offset(offset_of(name))

    async def write(self, name: str, value: int) -> None:
        """Writes the register of both devices; the answer must be OKAY."""
        await self.tell(name, value)
        self.golden.write(offset_of(name), value)

    async def tell(self, name: str, value: int) -> None:
        """Writes the register of the DUT only."""
        await self._write_offset(offset_of(name), value)

    async def read_offset(self, offset: int) -> int:
        answer = await self.axil.read(offset, 4)
        assert answer.resp == AxiResp.OKAY, f"read of {offset:#x}: {answer.resp!r}"
        return int.from_bytes(answer.data, "little")

    async def _write_offset(self, offset: int, value: int) -> None:
        answer = await self.axil.write(offset, value.to_bytes(4, "little"))
        assert answer.resp == AxiResp.OKAY, f"write of {offset:#x}: {answer.resp!r}"

    async def window(self, index: int, extent: Extent, *, read: bool = True, write: bool = True) -> None:
        """Sets a window: the pages of `extent`."""
        pages = -(-extent.end // PAGE_BYTES) - extent.address // PAGE_BYTES
        parts = (extent.address & 0xFFFF_FFFF, extent.address >> 32, pages, read | write << 1)
        for place, value in enumerate(parts):
            await self._write_offset(window_offset(index) + 4 * place, value)
            self.golden.write(window_offset(index) + 4 * place, value)

    async def set_table(self, table: int, address: int, rows: int = TABLE_ROWS, stride: int = TABLE_STRIDE) -> None:
        """Sets up an embedding table. `rows` = 0 removes it."""
        for name, value in (
            ("TABLE_INDEX", table), ("TABLE_LO", address & 0xFFFF_FFFF), ("TABLE_HI", address >> 32),
            ("TABLE_ROWS", rows), ("TABLE_STRIDE", stride // 16),
        ):  # fmt: skip
            await self.write(name, value)

    def table_at(self, table: int) -> int:
        """The address at which `set_up` puts a table. Tables overlap."""
        return self.table.address + 16 * 1024 * table

    async def fail(self, extent: Extent, response: int = 2) -> None:
        """Makes memory answer these pages with SLVERR (2) or DECERR (3)."""
        self.memory.punch(extent)
        self.clock.answer(extent, response)

    def heal(self) -> None:
        """Makes all pages work again."""
        self.memory.heal()
        self.clock.clear_answers()
