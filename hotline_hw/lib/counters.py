"""CounterBank: event counters with a snapshot."""

from __future__ import annotations

from itertools import pairwise

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.lib.pipelines import follow
from hotline_hw.spec.regmap import COUNTERS, Counter

__all__ = ["CounterBank"]


_PARTS = (22, 21, 21)  # bits of a counter, from the lowest, that are added in one cycle


class CounterBank(wiring.Component):
    """64-bit counters, read through a snapshot, so that all values are of one instant.

    A counter has three parts. Each part adds in the cycle after the one below it, and takes the snapshot and
    the clearing in that cycle too. So a value is as if it was taken at once. A reset clears counters as `clear` does,
    a cycle later: the hundreds of bits then have no reset besides, which would be a late input of their clearing.

    Ports:
        `name`: added to that counter in every cycle. It is as wide as the largest increment.
        `name`_value: its snapshot. It holds from `SETTLE` cycles after `snapshot`.
        snapshot: copies every counter, without the increments of this cycle.
        clear: zeroes every counter. The snapshot stays.
    """

    SETTLE = len(_PARTS) + 1

    def __init__(self, increment_bits: dict[str, int], counters: tuple[Counter, ...] = COUNTERS) -> None:
        self.increment_bits = increment_bits
        self.counters = counters
        members: dict[str, wiring.Member] = {"snapshot": In(1), "clear": In(1)}
        for counter in counters:
            if increment_bits.get(counter.name, 1) > _PARTS[0]:
                bits, most = increment_bits[counter.name], _PARTS[0]
                raise ValueError(f"{counter.name} has increments of {bits} bits; a counter takes {most} at most")
            members[counter.name] = In(increment_bits.get(counter.name, 1))
            members[f"{counter.name}_value"] = Out(64)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        snapshots = follow(m, "snapshot", self.snapshot, len(_PARTS))[1:]
        clears = [Signal(init=1, name=f"clear{part}") for part in range(len(_PARTS))]
        m.d.sync += [later.eq(sooner) for sooner, later in pairwise([self.clear, *clears])]
        for counter in self.counters:
            increment = getattr(self, counter.name)
            carry = Signal(len(increment), name=f"{counter.name}_comes")
            m.d.sync += carry.eq(increment)
            value, low = getattr(self, f"{counter.name}_value"), 0
            for part, bits in enumerate(_PARTS):
                live = Signal(bits, name=f"live_{counter.name}{part}", reset_less=True)
                total = Signal(bits + 1, name=f"total_{counter.name}{part}")
                over = Signal(name=f"over_{counter.name}{part}")
                m.d.comb += total.eq(live + carry)
                m.d.sync += [live.eq(total), over.eq(total[-1])]
                with m.If(clears[part]):
                    m.d.sync += live.eq(0)  # and the carry finds the part above it being cleared
                with m.If(snapshots[part]):
                    m.d.sync += value[low : low + bits].eq(live)
                carry, low = over, low + bits
        return m
