"""A memory of registers, for proofs that state what the memories of a block hold."""

from __future__ import annotations

from types import SimpleNamespace

from amaranth.hdl import Array, Module, Signal
from amaranth.lib import wiring

__all__ = ["Store"]


class Store(wiring.Component):
    """Stands in for `amaranth.lib.memory.Memory`, with any number of ports of whole rows.

    Attributes:
        rows: the contents.
    """

    def __init__(self, *, shape, depth: int, init: list, attrs: dict | None = None) -> None:
        super().__init__({})
        self.rows = Array(Signal(shape, name=f"row{index}", reset_less=True) for index in range(depth))
        self._shape = shape
        self._writes: list[SimpleNamespace] = []
        self._reads: list[SimpleNamespace] = []
        self._looks: list[SimpleNamespace] = []

    def write_port(self) -> SimpleNamespace:
        port = SimpleNamespace(addr=Signal(range(len(self.rows))), data=Signal(self._shape), en=Signal())
        self._writes.append(port)
        return port

    def read_port(self, domain: str = "sync") -> SimpleNamespace:
        port = SimpleNamespace(
            addr=Signal(range(len(self.rows))), data=Signal(self._shape, reset_less=True), en=Signal(init=1)
        )
        (self._reads if domain == "sync" else self._looks).append(port)
        return port

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for port in self._looks:
            m.d.comb += port.data.eq(self.rows[port.addr])
        for port in self._reads:
            with m.If(port.en):
                m.d.sync += port.data.eq(self.rows[port.addr])
        for port in self._writes:
            with m.If(port.en):
                m.d.sync += self.rows[port.addr].eq(port.data)
        return m
