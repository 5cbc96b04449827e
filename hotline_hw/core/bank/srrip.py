"""SrripUpdate: what one lookup does to one set."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["SrripUpdate"]


class SrripUpdate(wiring.Component):
    """SRRIP with hit promotion, combinational; all ways side by side.

    Jaleel et al., "High Performance Cache Replacement Using Re-Reference Interval Prediction (RRIP)", ISCA 2010. A hit
    makes its way near-immediate (0). A miss fills the lowest empty way; in a full set it first ages all ways until
    the oldest are distant (2^M - 1), and replaces the lowest of those. Either way the key enters as long (2^M - 2).

    RRPVs are bit planes: plane i holds bit i of every way's value, so that a step is a few operations as wide as the
    set, whatever its ways.

    Ports:
        valid, rrpv: the set's state. match: ways whose tag is the key's. usable: ways in the budget.
        learn: the lookup may change the set.
        hit, hit_ways: whether a usable valid way matches, and which (one-hot).
        fill: the way (one-hot) that takes the key in; none on a hit, or where no way is usable. evict: it was valid.
        next_valid, next_rrpv: the state afterwards; as before where not `learn`.
    """

    def __init__(self, *, ways: int, rrpv_bits: int) -> None:
        self.ways = ways
        self.rrpv_bits = rrpv_bits
        super().__init__(
            {
                "valid": In(ways), "rrpv": In(ways).array(rrpv_bits), "match": In(ways), "usable": In(ways),
                "learn": In(1), "hit": Out(1), "hit_ways": Out(ways), "fill": Out(ways), "evict": Out(1),
                "next_valid": Out(ways), "next_rrpv": Out(ways).array(rrpv_bits),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        distant = (1 << self.rrpv_bits) - 1
        long = distant - 1
        planes = range(self.rrpv_bits)

        def everywhere(bit):
            return Mux(bit, Const(-1, self.ways), 0)

        # The oldest usable ways: those whose value agrees with the largest, found from the top bit down.
        oldest: Signal | object = self.usable
        largest = Signal(self.rrpv_bits)
        for plane in reversed(planes):
            with_bit = Signal(self.ways, name=f"with_bit{plane}")
            narrowed = Signal(self.ways, name=f"oldest{plane}")
            m.d.comb += [
                with_bit.eq(oldest & self.rrpv[plane]),
                largest[plane].eq(with_bit.any()),
                narrowed.eq(Mux(with_bit.any(), with_bit, oldest)),
            ]
            oldest = narrowed

        empty = Signal(self.ways)
        full = Signal()
        candidates = Signal(self.ways)
        fill = Signal(self.ways)
        m.d.comb += [
            self.hit_ways.eq(self.match & self.valid & self.usable),
            self.hit.eq(self.hit_ways.any()),
            empty.eq(self.usable & ~self.valid),
            full.eq(~empty.any()),
            candidates.eq(Mux(full, oldest, empty)),
            fill.eq(Mux(self.learn & ~self.hit, candidates & (~candidates + 1)[: self.ways], 0)),
            self.fill.eq(fill),
            self.evict.eq((fill & self.valid).any()),
            self.next_valid.eq(self.valid | fill),
        ]

        # Age all usable ways by what the oldest lack: an addition with the carry in planes.
        age = Signal(self.rrpv_bits)
        ages = Signal(self.ways)  # the ways that age
        promoted = Signal(self.ways)
        m.d.comb += [
            age.eq(~largest),  # distant - largest
            ages.eq(Mux(self.learn & ~self.hit & full, self.usable, 0)),
            promoted.eq(Mux(self.learn, self.hit_ways, 0)),
        ]
        carry = Const(0, self.ways)
        for plane in planes:
            added = Signal(self.ways, name=f"added{plane}")
            total = Signal(self.ways, name=f"aged{plane}")
            next_carry = Signal(self.ways, name=f"carry{plane}")
            m.d.comb += [
                added.eq(ages & everywhere(age[plane])),
                total.eq(self.rrpv[plane] ^ added ^ carry),
                next_carry.eq((self.rrpv[plane] & added) | (carry & (self.rrpv[plane] ^ added))),
                self.next_rrpv[plane].eq((total & ~promoted & ~fill) | (fill if long >> plane & 1 else 0)),
            ]
            carry = next_carry
        return m
