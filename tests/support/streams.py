"""Sources, sinks and memory, with random stalls, for components in Amaranth's simulator."""

from __future__ import annotations

import random
import warnings
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from hotline_hw.shell.layouts import ReadTarget
from hotline_hw.spec.descriptors import GRANULE_BYTES

__all__ = ["Reads", "collect", "feed", "pulse", "until_done"]


async def feed(ctx: Any, stream: Any, payloads: Iterable[Any], draw: random.Random, stall: float) -> None:
    """Offers `payloads` (dicts, or whole values of the payload) in order. Each is offered until it is taken."""
    for payload in payloads:
        while draw.random() < stall:
            await ctx.tick()
        ctx.set(stream.payload, payload)
        ctx.set(stream.valid, 1)
        ready = 0
        while not ready:
            _, _, ready = await ctx.tick().sample(stream.ready)
        ctx.set(stream.valid, 0)


async def pulse(ctx: Any, port: Any, **inputs: tuple[Any, Any]) -> None:
    """Sets `port` high for one cycle. inputs: pairs (port, value) that are set before, and stay so."""
    for other, value in inputs.values():
        ctx.set(other, value)
    ctx.set(port, 1)
    await ctx.tick()
    ctx.set(port, 0)


def collect(
    dut: Any,
    drive: Callable[[Any], Awaitable[None]],
    streams: dict[str, Any],
    draw: random.Random,
    stall: float,
    *processes: Callable[[Any], Awaitable[None]],
    quiet: int = 64,
    withdrawn: tuple[str, ...] = (),
) -> dict[str, list[Any]]:
    """Runs `drive`, and sinks that take the output of `streams` until `quiet` cycles after the last payload of all.

    Returns:
        The payloads of every stream. It is checked that an offered payload stays as it was, except for `withdrawn`.
    """
    found: dict[str, list[Any]] = {name: [] for name in streams}
    idle = 0

    async def sink(ctx: Any, name: str) -> None:
        nonlocal idle
        stream, offered = streams[name], None
        while True:
            ready = draw.random() >= stall
            ctx.set(stream.ready, ready)
            _, _, valid, payload = await ctx.tick().sample(stream.valid, stream.payload)
            assert offered is None or name in withdrawn or (valid and payload == offered), (
                f"{name}: what is offered stays"
            )
            offered = payload if valid and not ready else None
            if valid:
                idle = 0
            if valid and ready:
                found[name].append(payload)

    async def main(ctx: Any) -> None:
        nonlocal idle
        await drive(ctx)
        idle = 0
        while idle < quiet:
            await ctx.tick()
            idle += 1

    def background(name: str) -> Callable[[Any], Awaitable[None]]:
        async def run(ctx: Any) -> None:
            await sink(ctx, name)

        return run

    top = Module()
    top.submodules.dut = dut
    top.d.sync += Signal(name="alive").eq(1)  # combinational components need a clock too
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        simulator = Simulator(top)
    simulator.add_clock(1e-8)
    simulator.add_testbench(main)
    for name in streams:
        simulator.add_testbench(background(name), background=True)
    for process in processes:
        simulator.add_testbench(process, background=True)
    simulator.run()
    return found


async def until_done(ctx, port, limit: int = 20000) -> int:
    """Waits until `port` is high. Returns the number of cycles."""
    cycles = 0
    while not ctx.get(port):
        await ctx.tick()
        cycles += 1
        assert cycles < limit, "done in the end"
    return cycles


class Reads:
    """Takes read requests and returns their beats, one request at a time, in order.

    Args:
        content: the granule at an address. fault: addresses whose beat is a fault.
    """

    def __init__(self, dut, draw: random.Random, stall: float, content, fault: frozenset[int] = frozenset()) -> None:
        self.dut, self.draw, self.stall = dut, draw, stall
        self.content, self.fault = content, fault
        self.requests: list[tuple[int, int, ReadTarget]] = []
        self.most_due = 0
        self._due: deque[dict] = deque()

    async def serve(self, ctx) -> None:
        dut, size = self.dut, self.dut.geometry.axi_bytes
        asked = None
        while True:
            ready = self.draw.random() >= self.stall
            ctx.set(dut.request.ready, ready)
            bring = bool(self._due) and self.draw.random() >= self.stall
            ctx.set(dut.data.valid, bring)
            if bring:
                ctx.set(dut.data.payload, self._due.popleft())
            _, _, valid, request, data_ready = await ctx.tick().sample(
                dut.request.valid, dut.request.payload, dut.data.ready
            )
            assert data_ready, "takes its data whenever it comes"
            assert asked is None or (valid and request == asked), "a request that is offered stays"
            asked = request if valid and not ready else None
            if valid and ready:
                self._take(request.address, request.granules, request.target)
                self.most_due = max(self.most_due, len(self._due) * size)

    def _take(self, address: int, granules: int, target: ReadTarget) -> None:
        size = self.dut.geometry.axi_bytes
        assert granules > 0 and address % size == 0
        self.requests.append((address, granules, target))
        end = address + granules * GRANULE_BYTES
        for at in range(address, end, size):
            parts = range(at, at + size, GRANULE_BYTES)
            fault = at in self.fault
            value = sum(self.content(part) << 128 * place for place, part in enumerate(parts))
            self._due.append({"data": 0 if fault else value, "last": at + size >= end, "fault": fault})
