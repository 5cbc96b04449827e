"""The request loop in the simulator, and the AXI4-Lite port.

Simulated time stands still between requests. See `link` for what they are.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from .link import SETTINGS_VARIABLE, SOCKET_VARIABLE, Link, new_socket

__all__ = ["Failure", "Gone", "Service", "connect"]

_CYCLES_PER_LOOK = 64  # between two checks whether the device is still there


class Gone(Exception):
    """The device was closed in the middle of a request."""


class Failure(Exception):
    """A request that failed; the text is the reply's `error`."""


class Service(ABC):
    """The DUT behind its requests, each a method `op_<name>`.

    A clock cycle is settle(), after which values from before the edge can be read, and then edge(). Values that are
    written after settle() take effect after the edge.
    """

    def __init__(self, dut: Any, link: Link, quiet_limit: int) -> None:
        self.dut, self.link, self.quiet_limit = dut, link, quiet_limit
        self.cycles = 0
        self.release_registers()
        dut.s_axil_awprot.value = dut.s_axil_arprot.value = 0

    @abstractmethod
    async def settle(self) -> None: ...

    @abstractmethod
    async def edge(self) -> None: ...

    async def op_reset(self) -> None:
        self.release_registers()
        self.dut.rst.value = 1
        for _ in range(4):
            await self.settle()
            await self.edge()
        self.dut.rst.value = 0

    async def op_read(self, offset: int) -> dict[str, int]:
        dut = self.dut
        dut.s_axil_araddr.value = offset
        value = await self._access(
            [(dut.s_axil_arvalid, dut.s_axil_arready)], (dut.s_axil_rvalid, dut.s_axil_rready), dut.s_axil_rresp,
            dut.s_axil_rdata,
        )  # fmt: skip
        return {"value": value}

    async def op_write(self, offset: int, value: int) -> None:
        dut = self.dut
        dut.s_axil_awaddr.value = offset
        dut.s_axil_wdata.value = value
        dut.s_axil_wstrb.value = 0xF
        send = [(dut.s_axil_awvalid, dut.s_axil_awready), (dut.s_axil_wvalid, dut.s_axil_wready)]
        await self._access(send, (dut.s_axil_bvalid, dut.s_axil_bready), dut.s_axil_bresp)

    def release_registers(self) -> None:
        """Drives all inputs of the AXI4-Lite port to 0."""
        for name in ("awaddr", "awvalid", "wdata", "wstrb", "wvalid", "bready", "araddr", "arvalid", "rready"):
            getattr(self.dut, f"s_axil_{name}").value = 0

    async def serve(self) -> None:
        """Resets the DUT, replies, then answers requests until the device is closed."""
        try:
            self.link.send(await self._answer({"op": "reset"}))
            while (request := self.link.receive()) is not None:
                number = request.pop("number")
                self.link.send(await self._answer(request) | {"number": number})
        except (Gone, ConnectionError):
            pass
        finally:
            self.link.close()

    def begin(self, request: dict[str, Any]) -> None:  # noqa: B027
        """Called before a request; removes what is not an argument of the operation."""

    def end(self) -> dict[str, Any]:
        """Called after a request. Returns what to add to its reply."""
        return {"cycles": self.cycles}

    def count_cycle(self) -> None:
        """Call once a clock cycle. Raises Gone."""
        self.cycles += 1
        if self.cycles % _CYCLES_PER_LOOK == 0 and self.link.gone():
            raise Gone

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reply to a request."""
        self.begin(request)
        reply: dict[str, Any] = {"error": None}
        try:
            operation = getattr(self, f"op_{request.pop('op')}")
            reply |= await operation(**request) or {}
        except Failure as failure:
            reply["error"] = str(failure)
        return reply | self.end()

    async def _access(
        self, send: list[tuple[Any, Any]], answer: tuple[Any, Any], response: Any, data: Any = None
    ) -> int:
        """One access: a handshake on each (valid, ready) of `send`, then one on `answer`. Returns what `data` was."""
        valid, ready = answer
        for driven in (ready, *(offered for offered, _ in send)):
            driven.value = 1
        pending = list(send)
        try:
            for _ in range(self.quiet_limit + 1):
                await self.settle()
                taken = [channel for channel in pending if channel[1].value == 1]
                answered, refused, value = valid.value == 1, False, 0
                if answered:
                    refused = response.value != 0
                    value = int(data.value) if data is not None and not refused else 0
                await self.edge()
                for channel in taken:
                    channel[0].value = 0
                    pending.remove(channel)
                if refused:
                    raise Failure("slverr")
                if answered:
                    return value
            raise Failure("timeout")
        finally:
            ready.value = 0
            for offered, _ in pending:
                offered.value = 0


def connect() -> tuple[Link, Path, dict[str, Any]]:
    """The link to the device, the folder shared with it, and its settings."""
    path = Path(os.environ[SOCKET_VARIABLE])
    connection = new_socket()
    connection.connect(str(path))
    return Link(connection), path.parent, json.loads(os.environ[SETTINGS_VARIABLE])
