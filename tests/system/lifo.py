"""A stack with the ports of a queue, for one of the mistakes in test_mutations.py."""

from __future__ import annotations

from amaranth.hdl import Array, Elaboratable, Module, Mux, Signal
from amaranth.lib.fifo import FIFOInterface

__all__ = ["Lifo"]


class Lifo(Elaboratable, FIFOInterface):
    """The newest item comes first."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        level = Signal(range(self.depth + 1))
        items = Array(Signal(self.width, name=f"item{index}") for index in range(self.depth))
        m.d.comb += [
            self.w_rdy.eq(level != self.depth),
            self.r_rdy.eq(level != 0),
            self.r_data.eq(items[Mux(level == 0, 0, level - 1)]),
        ]
        with m.If(self.w_en):
            m.d.sync += [items[level].eq(self.w_data), level.eq(level + 1)]
        with m.Elif(self.r_en & self.r_rdy):
            m.d.sync += level.eq(level - 1)
        return m
