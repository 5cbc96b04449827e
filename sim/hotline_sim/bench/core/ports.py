"""`CorePorts`: the core's clock, reset, streams and registers."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, Timer, with_timeout
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiResp,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)
from cocotbext.axi.axil_channels import AxiLiteAWTransaction, AxiLiteWTransaction

from hotline_hw.spec.regmap import register
from hotline_sim.bench.settings import bench_geometry, bench_seed

from .coverage import SIDES
from .protocol import OutputRules

__all__ = ["QUIET_CYCLES", "CorePorts"]

# cocotbext-axi uses functions that cocotb 2.1 deprecates.
warnings.filterwarnings("ignore", category=DeprecationWarning, module="cocotbext")

_CLOCK_NS = 10
QUIET_CYCLES = 20_000
"""A bench fails if nothing comes for so many clock cycles while something is expected."""


class CorePorts:
    """The DUT with clock, reset, stream sources and sinks, and registers by name.

    Every output is checked against AXI's rules in the background.

    Args:
        dut: the simulator's handle of hotline_core.

    Attributes:
        rng: the randomness of the bench, seeded with SEED.
        rules: the checks of the outputs.
    """

    def __init__(self, dut: Any) -> None:
        logging.getLogger("cocotb.hotline_core").setLevel(logging.ERROR)  # the bus models log every frame
        self.dut = dut
        self.geometry = bench_geometry()
        self.rng = np.random.default_rng(bench_seed())
        dut.rst.value = 1
        dut.clk.value = 0
        entry = {"byte_size": 64}
        self.lookup = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis_lookup"), dut.clk, dut.rst)
        self.state_in = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis_state"), dut.clk, dut.rst, **entry)
        self.results = {
            side: AxiStreamSink(AxiStreamBus.from_prefix(dut, f"m_axis_{side}"), dut.clk, dut.rst) for side in SIDES
        }
        self.state_out = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis_state"), dut.clk, dut.rst, **entry)
        self.axil = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
        self.rules = OutputRules(dut)

    # Clock and reset

    async def start(self) -> None:
        """Starts the clock and the background tasks, and resets the core."""
        await Timer(1, "ns")
        cocotb.start_soon(Clock(self.dut.clk, _CLOCK_NS, "ns").start())
        cocotb.start_soon(self.rules.watch())
        await self.reset()

    async def reset(self, cycles: int = 4) -> None:
        """Pulses `rst` at any time, and empties the sources and sinks."""
        self.dut.rst.value = 1
        await ClockCycles(self.dut.clk, cycles)
        for port in (self.lookup, self.state_in, *self.results.values(), self.state_out):
            port.clear()
        self.rules.output_stall = 0
        self.dut.rst.value = 0
        await RisingEdge(self.dut.clk)

    async def cycles(self, count: int) -> None:
        await ClockCycles(self.dut.clk, count)

    # Registers

    async def read(self, name: str) -> int:
        """A register by name; the answer must be OKAY."""
        value, response = await self.read_offset(register(name).offset)
        assert response == AxiResp.OKAY, f"read of {name}: {response!r}"
        return value

    async def write(self, name: str, value: int) -> None:
        """A register by name; the answer must be OKAY."""
        response = await self.write_offset(register(name).offset, value)
        assert response == AxiResp.OKAY, f"write of {name}: {response!r}"

    async def read_offset(self, offset: int) -> tuple[int, AxiResp]:
        answer = await self.axil.read(offset, 4)
        return int.from_bytes(answer.data, "little"), answer.resp

    async def write_offset(self, offset: int, value: int) -> AxiResp:
        answer = await self.axil.write(offset, value.to_bytes(4, "little"))
        return answer.resp

    async def write_strobed(self, offset: int, value: int, strobes: int) -> AxiResp:
        """Writes the bytes that `strobes` has bits for, any of them, while no other write goes on."""
        port = self.axil.write_if
        await port.aw_channel.send(AxiLiteAWTransaction(awaddr=offset, awprot=0))
        await port.w_channel.send(AxiLiteWTransaction(wdata=value, wstrb=strobes))
        return AxiResp(int((await port.b_channel.recv()).bresp))

    async def status(self) -> dict[str, int]:
        return register("STATUS").unpack(await self.read("STATUS"))

    async def until_idle(self) -> None:
        """Reads STATUS until the core is idle."""
        for _ in range(QUIET_CYCLES):
            if not (await self.status())["busy"]:
                return
        raise AssertionError(f"STATUS.busy stays set: {await self.status()}")

    # Streams

    def set_pauses(self, idle: float = 0.0, stall: float = 0.0) -> None:
        """Share of the cycles in which inputs are held back (`idle`) and outputs are (`stall`), at random."""
        for source in (self.lookup, self.state_in):
            self.pause(source, idle)
        for sink in (*self.results.values(), self.state_out):
            self.pause(sink, stall)

    def pause(self, port: Any, share: float) -> None:
        """Holds one source, sink or channel back in a share of the cycles."""
        if share:
            port.set_pause_generator(_random_pauses(np.random.default_rng(self.rng.integers(1 << 32)), share))
        else:
            port.clear_pause_generator()
            port.pause = False

    async def receive_state(self) -> np.ndarray:
        """The next packet of m_axis_state, uint64 [rows, ways]."""
        frame = await with_timeout(self.state_out.recv(), _CLOCK_NS * QUIET_CYCLES, "ns")
        return np.array(frame.tdata, np.uint64).reshape(-1, self.geometry.ways)

    def send_state(self, rows: np.ndarray) -> None:
        self.state_in.send_nowait(AxiStreamFrame(rows.ravel().tolist()))


def _random_pauses(rng: np.random.Generator, share: float) -> Iterator[bool]:
    while True:
        yield from (rng.random(1024) < share).tolist()
