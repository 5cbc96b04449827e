"""CycleAccounts: finds the cause of every clock cycle of the shell."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["CycleAccounts"]

_CAUSES = ("useful", "write", "core", "read")
"""The causes, in the order in which they are tried. The first that holds is the cause of the cycle."""


class CycleAccounts(wiring.Component):
    """Gives each busy cycle exactly one cause, so that the counters add up to `dma_cycles`.

    Ports:
        busy: there is something to do.
        useful, write, core, read: a cause holds, as the counters in `shell_registers` say.
        dma_cycles: follows `busy`.
        dma_*: exactly one of the others is high in a busy cycle.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "busy": In(1),
                **{cause: In(1) for cause in _CAUSES},
                "dma_cycles": Out(1),
                **{f"dma_{cause}": Out(1) for cause in (*_CAUSES, "overhead")},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.dma_cycles.eq(self.busy)
        earlier = Const(0)
        for cause in _CAUSES:
            holds = Signal(name=f"is_{cause}")
            m.d.comb += [holds.eq(getattr(self, cause) & ~earlier), getattr(self, f"dma_{cause}").eq(self.busy & holds)]
            earlier = earlier | getattr(self, cause)
        m.d.comb += self.dma_overhead.eq(self.busy & ~earlier)
        return m
