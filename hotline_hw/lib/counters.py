"""CounterBank: event counters with a snapshot."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.spec.regmap import COUNTERS, Counter

__all__ = ["CounterBank"]


class CounterBank(wiring.Component):
    """64-bit counters, read through a snapshot, so that all values are of one instant.

    Ports:
        `name`: added to that counter in every cycle. It is as wide as the largest increment.
        `name`_value: its snapshot.
        snapshot: copies every counter.
        clear: zeroes every counter. The snapshot stays.
    """

    def __init__(self, increment_bits: dict[str, int], counters: tuple[Counter, ...] = COUNTERS) -> None:
        self.increment_bits = increment_bits
        self.counters = counters
        members: dict[str, wiring.Member] = {"snapshot": In(1), "clear": In(1)}
        for counter in counters:
            members[counter.name] = In(increment_bits.get(counter.name, 1))
            members[f"{counter.name}_value"] = Out(64)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for counter in self.counters:
            live = Signal(64, name=f"live_{counter.name}")
            m.d.sync += live.eq(live + getattr(self, counter.name))
            with m.If(self.clear):
                m.d.sync += live.eq(0)
            with m.If(self.snapshot):
                m.d.sync += getattr(self, f"{counter.name}_value").eq(live)
        return m
