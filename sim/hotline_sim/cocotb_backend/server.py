"""The cocotb test that runs in the simulator: takes requests of the device, one after another, until it has gone.

Simulated time stands still between requests. See `link` for what they are.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, Timer

from hotline_sim.cocotb_backend.link import LIMIT_VARIABLE, SOCKET_VARIABLE, Link, map_arrays
from hotline_sim.cocotb_backend.ports import Sink, Source

_CYCLES_PER_LOOK = 64  # between two looks whether the device is still there


class Gone(Exception):
    """The device has gone in the middle of a request."""


class Failure(Exception):
    """A request that failed; the text is the reply's `error`."""


class Core:
    """The DUT behind its requests."""

    def __init__(self, dut: Any, link: Link, folder: Path, quiet_limit: int) -> None:
        self.dut, self.link, self.folder, self.quiet_limit = dut, link, folder, quiet_limit
        self.cycles = 0
        self.moved = False
        self.edge = RisingEdge(dut.clk)
        self.sources = {name: Source(dut, f"s_axis_{name}") for name in ("lookup", "state")}
        self.sinks = {name: Sink(dut, f"m_axis_{name}") for name in ("popular", "nonpopular", "state")}
        for name in ("awaddr", "awprot", "awvalid", "wdata", "wstrb", "wvalid", "bready",
                     "araddr", "arprot", "arvalid", "rready"):  # fmt: skip
            getattr(dut, f"s_axil_{name}").value = 0

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reply to a request."""
        reply: dict[str, Any] = {"error": None}
        self.moved = False
        try:
            operation = getattr(self, f"op_{request.pop('op')}")
            reply |= await operation(**request) or {}
        except Failure as failure:
            reply |= {"error": str(failure), "moved": self.moved}
        ports: list[Source | Sink] = [*self.sources.values(), *self.sinks.values()]
        for port in ports:
            if not port.done:
                port.cancel()
        return reply | {"cycles": self.cycles}

    async def op_reset(self) -> None:
        self.dut.rst.value = 1
        for _ in range(4):
            await self.tick()
        self.dut.rst.value = 0

    async def op_read(self, offset: int) -> dict[str, int]:
        dut = self.dut
        dut.s_axil_araddr.value = offset
        await self.channels(send=[(dut.s_axil_arvalid, dut.s_axil_arready)],
                            answer=(dut.s_axil_rvalid, dut.s_axil_rready), response=dut.s_axil_rresp)  # fmt: skip
        return {"value": int(dut.s_axil_rdata.value)}

    async def op_write(self, offset: int, value: int) -> None:
        dut = self.dut
        dut.s_axil_awaddr.value = offset
        dut.s_axil_wdata.value = value
        dut.s_axil_wstrb.value = 0xF
        send = [(dut.s_axil_awvalid, dut.s_axil_awready), (dut.s_axil_wvalid, dut.s_axil_wready)]
        await self.channels(send=send, answer=(dut.s_axil_bvalid, dut.s_axil_bready), response=dut.s_axil_bresp)

    async def op_stream(self, words: int, batches: int) -> None:
        arrays = map_arrays(self.folder, [words, batches] * 3)
        self.sinks["popular"].start(*arrays[2:4])
        self.sinks["nonpopular"].start(*arrays[4:6])
        self.sources["lookup"].start(*arrays[0:2])
        await self.run([self.sources["lookup"], self.sinks["popular"], self.sinks["nonpopular"]])

    async def op_receive(self, entries: int) -> None:
        self.sinks["state"].start(*map_arrays(self.folder, [entries, 1]))
        await self.run([self.sinks["state"]])

    async def op_send(self, entries: int) -> None:
        self.sources["state"].start(*map_arrays(self.folder, [entries, 1]))
        await self.run([self.sources["state"]])

    async def op_wait_irq(self) -> None:
        for _ in range(self.quiet_limit):
            await self.tick()
            if self.dut.irq.value == 1:
                return
        raise Failure("timeout")

    async def tick(self) -> None:
        """To the next rising edge. Values read now are those before it, values written come after it."""
        await self.edge
        self.cycles += 1
        if self.cycles % _CYCLES_PER_LOOK == 0 and self.link.readable():
            raise Gone

    async def channels(self, send: list[tuple[Any, Any]], answer: tuple[Any, Any], response: Any) -> None:
        """One AXI4-Lite access: each (valid, ready) of `send` once, then the answer."""
        valid, ready = answer
        ready.value = 1
        for offered, _ in send:
            offered.value = 1
        pending = list(send)
        try:
            for _ in range(self.quiet_limit):
                await self.tick()
                for channel in [channel for channel in pending if channel[1].value == 1]:
                    channel[0].value = 0
                    pending.remove(channel)
                if valid.value == 1:
                    if response.value != 0:
                        raise Failure("slverr")
                    return
            raise Failure("timeout")
        finally:
            ready.value = 0
            for offered, _ in pending:
                offered.value = 0

    async def run(self, active: list[Source | Sink]) -> None:
        """Clock cycles until every port in `active` is done."""
        quiet = 0
        while active:
            await self.tick()
            moved = [port for port in active if port.step()]
            if moved:
                self.moved, quiet = True, 0
                if any(port.done for port in moved):
                    active = [port for port in active if not port.done]
                if any(isinstance(port, Sink) and port.overflow for port in moved):
                    raise Failure("overflow")
            elif (quiet := quiet + 1) > self.quiet_limit:
                raise Failure("timeout")


@cocotb.test()
async def serve(dut: Any) -> None:
    path = Path(os.environ[SOCKET_VARIABLE])
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    link = Link(connection)
    core = Core(dut, link, path.parent, int(os.environ[LIMIT_VARIABLE]))
    dut.rst.value = 1
    dut.clk.value = 0
    await Timer(1, "ns")  # the inputs are defined before the first edge
    Clock(dut.clk, 2, "ns").start()
    await core.op_reset()
    link.send({"error": None, "cycles": core.cycles})
    try:
        while (request := link.receive()) is not None:
            link.send(await core.answer(request))
    except (Gone, ConnectionError):
        pass
    finally:
        link.close()
