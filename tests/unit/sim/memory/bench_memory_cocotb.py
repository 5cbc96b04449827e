"""Runs in the simulator for test_memory_cocotb.py: the stand-in device copies through a `CocotbMemory`."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import cocotb
import numpy as np
import pytest
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from cocotb.types import LogicArray

from hotline_device.host_memory import PAGE_BYTES, HostMemory
from hotline_sim.memory.cocotb_port import CocotbMemory
from hotline_sim.memory.model import MemoryModel
from hotline_sim.memory.timing import PRESETS, Latency

UNTIDY = replace(
    PRESETS["ideal"], ar_stall=0.5, aw_stall=0.5, w_stall=0.5, r_gap=0.3, b_gap=0.3, write_latency=Latency(80)
)


class Bench:
    """The stand-in (standin_device.v) with a clock, its registers, and memory."""

    def __init__(self, dut, timing) -> None:
        self.dut, self.memory = dut, HostMemory()
        self.region = self.memory.allocate("r", 2 * PAGE_BYTES)
        self.model = MemoryModel(self.memory, axi_bits=128, id_bits=2, timing=timing)
        self.port = CocotbMemory(dut, self.model)
        for name in ("awvalid", "wvalid", "arvalid", "rready"):
            getattr(dut, f"s_axil_{name}").value = 0
        dut.s_axil_bready.value = dut.rst.value = dut.bus_rst.value = 1
        cocotb.start_soon(Clock(dut.clk, 4, "ns").start())

    async def reset(self) -> None:
        self.dut.rst.value = self.dut.bus_rst.value = 1
        for _ in range(3):
            await self.edge()
        self.dut.rst.value = self.dut.bus_rst.value = 0

    async def edge(self) -> None:
        await RisingEdge(self.dut.clk)
        self.port.step()

    async def write(self, offset: int, value: int | LogicArray) -> None:
        dut = self.dut
        dut.s_axil_awaddr.value, dut.s_axil_wdata.value = offset, value
        dut.s_axil_awvalid.value = dut.s_axil_wvalid.value = 1
        await self.edge()
        while dut.s_axil_awready.value != 1:
            await self.edge()
        dut.s_axil_awvalid.value = dut.s_axil_wvalid.value = 0
        await self.edge()

    async def copy(self, beats: int) -> None:
        """Copies from the region's first page to the second."""
        await self.write(0x1000, self.region.address & 0xFFFFFFFF)
        await self.write(0x1004, self.region.address + PAGE_BYTES & 0xFFFFFFFF)
        await self.write(0x100C, 0)
        await self.write(0x1010, beats - 1)
        for _ in range(500):
            await self.edge()
            if self.dut.irq.value == 1:
                return
        raise AssertionError("no irq")


@cocotb.test()
@cocotb.parametrize(timing=["ideal", UNTIDY])
async def test_copies(dut, timing):
    bench = Bench(dut, timing)
    await bench.reset()
    data = bench.region.data
    data[:PAGE_BYTES] = np.random.default_rng(2).integers(0, 256, PAGE_BYTES)
    for beats in (1, 16, 3):
        data[PAGE_BYTES:] = 0
        await bench.copy(beats)
        assert (data[PAGE_BYTES:][: 16 * beats] == data[: 16 * beats]).all() and not data[
            PAGE_BYTES + 16 * beats :
        ].any()
    counted = bench.model.statistics()
    assert counted.read.beats == counted.write.beats == 20
    bench.memory.close()


@cocotb.test()
async def test_broken_rule(dut):
    bench = Bench(dut, replace(PRESETS["ideal"], ar_stall=0.99))
    await bench.reset()
    await bench.write(0x1018, 2)
    with pytest.raises(AssertionError, match="m_axi_arvalid fell before arready"):
        await bench.copy(1)
    bench.memory.close()


@cocotb.test()
async def test_undefined_pin(dut):
    bench = Bench(dut, "ideal")
    await bench.reset()
    await bench.write(0x1000, LogicArray("X" * 32))
    with pytest.raises(AssertionError, match="m_axi_araddr is 0000[01]*X+"):
        await bench.write(0x1010, 0)
    bench.memory.close()


@cocotb.test()
async def test_undefined_bytes(dut):
    """Only bytes with a strobe need be defined."""
    bench = Bench(dut, "ideal")
    bits = "00000101" + "X" * 8 + "1111Z000" + "00000011" * 13
    bench.port._ports["wdata"] = SimpleNamespace(value=LogicArray(bits))
    assert bench.port._data(0x9FFF) == bytes([3] * 13 + [0, 0, 5])
    with pytest.raises(AssertionError, match=r"m_axi_wdata: bytes \[13\] have a strobe and undefined bits"):
        bench.port._data(0xBFFF)
    bench.memory.close()
