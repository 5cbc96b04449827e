"""AXI4-Lite accesses, and a run of a component, in Amaranth's simulator."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable
from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

__all__ = ["read", "simulate", "write"]


def simulate(dut: Any, drive: Callable[[Any], Awaitable[None]]) -> None:
    """Runs `drive` with the component."""
    top = Module()
    top.submodules.dut = dut
    top.d.sync += Signal(name="alive").eq(1)  # combinational components need a clock too
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        simulator = Simulator(top)
    simulator.add_clock(1e-8)
    simulator.add_testbench(drive)
    simulator.run()


async def read(ctx: Any, bus: Any, offset: int) -> tuple[int, int]:
    """Data and response."""
    ctx.set(bus.araddr, offset)
    ctx.set(bus.arvalid, 1)
    ctx.set(bus.rready, 1)
    ready = 0
    while not ready:
        _, _, ready = await ctx.tick().sample(bus.arready)
    ctx.set(bus.arvalid, 0)
    valid = 0
    while not valid:
        _, _, valid, data, response = await ctx.tick().sample(bus.rvalid, bus.rdata, bus.rresp)
    return data, response


async def write(ctx: Any, bus: Any, offset: int, value: int, watch: Callable[[], None] = lambda: None) -> int:
    """The response. `watch` is called in every cycle."""
    ctx.set(bus.awaddr, offset)
    ctx.set(bus.wdata, value)
    ctx.set(bus.wstrb, 0xF)
    ctx.set(bus.awvalid, 1)
    ctx.set(bus.wvalid, 1)
    ctx.set(bus.bready, 1)
    address = data = False
    valid = 0
    while not valid:
        _, _, took_address, took_data, valid, response = await ctx.tick().sample(
            bus.awready, bus.wready, bus.bvalid, bus.bresp
        )
        address, data = address or bool(took_address), data or bool(took_data)
        ctx.set(bus.awvalid, not address)
        ctx.set(bus.wvalid, not data)
        watch()
    return response
