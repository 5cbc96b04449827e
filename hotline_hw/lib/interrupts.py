"""InterruptLine: an interrupt output that works as a level, as an edge and as the request of an MSI."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["LOW_CYCLES", "InterruptLine"]

LOW_CYCLES = 4
"""Clock cycles for which the line is low at least before it rises again: enough for a synchronizer into a clock that is
half as fast."""


class InterruptLine(wiring.Component):
    """A registered level that goes low for a while whenever software acknowledges.

    Without that, a cause that comes between the handler's read of the causes and its write that clears them would leave
    the line high: no edge, no MSI, and nobody would come again. So a cause that is left, or that came meanwhile, always
    gives a rising edge after the acknowledgement.

    Ports:
        causes: an enabled cause is set.
        acknowledged: high for a cycle when software has written a register of causes.
        irq: registered.

    Latency: a cycle from `causes`; LOW_CYCLES more after an acknowledgement.
    """

    def __init__(self) -> None:
        super().__init__({"causes": In(1), "acknowledged": In(1), "irq": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        low = Signal(LOW_CYCLES - 1)  # a one for each cycle for which the line stays low
        with m.If(self.acknowledged):
            m.d.sync += [low.eq(~0), self.irq.eq(0)]
        with m.Else():
            m.d.sync += [low.eq(low >> 1), self.irq.eq(self.causes & ~low[0])]
        return m
