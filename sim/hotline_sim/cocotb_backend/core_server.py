"""The cocotb test that runs in the simulator of the stream core: takes requests of `CocotbCore`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, Timer

from .link import Link, map_arrays
from .ports import Sink, Source
from .service import Failure, Service, connect


class Core(Service):
    """The DUT behind its requests."""

    def __init__(self, dut: Any, link: Link, folder: Path, quiet_limit: int) -> None:
        super().__init__(dut, link, quiet_limit)
        self.folder = folder
        self.moved = False
        self.rising = RisingEdge(dut.clk)
        self.sources = {name: Source(dut, f"s_axis_{name}") for name in ("lookup", "state")}
        self.sinks = {name: Sink(dut, f"m_axis_{name}") for name in ("popular", "nonpopular", "state")}

    async def settle(self) -> None:
        """To the next rising edge. Values read now are those before it, values written come after it."""
        await self.rising
        self.count_cycle()

    async def edge(self) -> None:
        pass

    def begin(self, request: dict[str, Any]) -> None:
        self.moved = False

    def end(self) -> dict[str, Any]:
        ports: list[Source | Sink] = [*self.sources.values(), *self.sinks.values()]
        for port in ports:
            if not port.done:
                port.cancel()
        return super().end() | {"moved": self.moved}

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
            await self.settle()
            if self.dut.irq.value == 1:
                return
        raise Failure("timeout")

    async def run(self, active: list[Source | Sink]) -> None:
        """Clock cycles until every port in `active` is done."""
        quiet = 0
        while active:
            await self.settle()
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
    link, folder, settings = connect()
    core = Core(dut, link, folder, settings["quiet_limit"])
    dut.rst.value = 1
    dut.clk.value = 0
    await Timer(1, "ns")  # the inputs are defined before the first edge
    Clock(dut.clk, 2, "ns").start()
    await core.serve()
