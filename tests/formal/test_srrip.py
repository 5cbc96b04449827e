"""The rule of SRRIP, one set at a time, proven for every state of the set that the invariants allow.

The rule is combinational, so the set's state is a free input: what is proven holds in the first cycle and in every
other. The reference picks the victim as Jaleel et al. write it, by searching for a distant way and ageing all until
there is one, and knows nothing of the hardware's one step.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Assume, Cat, Const, Cover, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from hotline_hw.core.bank.srrip import SrripUpdate
from hotline_sim.formal import PropertyFailed, cover, prove


class SrripRule(wiring.Component):
    """One update of a free set.

    Ports:
        valid, rrpv, match, learn: as in `SrripUpdate`. quota: ways in use, the lowest ones.
    """

    def __init__(self, ways: int, rrpv_bits: int, wrong_tie: bool = False) -> None:
        self.ways, self.rrpv_bits, self.wrong_tie = ways, rrpv_bits, wrong_tie
        super().__init__(
            {
                "valid": In(ways),
                "rrpv": In(data.ArrayLayout(rrpv_bits, ways)),
                "match": In(ways),
                "quota": In(range(ways + 1)),
                "learn": In(1),
            }
        )

    def _search_and_increment(self, m: Module) -> tuple[Value, data.View]:
        """The victim (one-hot) among all ways of the quota, and every way's RRPV as the search leaves it."""
        distant = (1 << self.rrpv_bits) - 1
        found, victim, rrpv = Const(0), Const(0, self.ways), self.rrpv
        for step in range(distant + 1):
            now_found = Signal(name=f"found{step}")
            now_victim = Signal(self.ways, name=f"victim{step}")
            aged = Signal(rrpv.shape(), name=f"aged{step}")
            m.d.comb += [now_found.eq(found), now_victim.eq(victim)]
            # Of several that are distant, the assignment made last stays.
            for way in range(self.ways) if self.wrong_tie else reversed(range(self.ways)):
                with m.If(~found & (way < self.quota) & (rrpv[way] == distant)):
                    m.d.comb += [now_found.eq(1), now_victim.eq(1 << way)]
                m.d.comb += aged[way].eq(rrpv[way] + (~now_found & (way < self.quota)))
            found, victim, rrpv = now_found, now_victim, aged
        return victim, rrpv

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dut = dut = SrripUpdate(ways=self.ways, rrpv_bits=self.rrpv_bits)
        usable = Signal(self.ways)
        hits, empty = Signal(self.ways), Signal(self.ways)
        hit, full = Signal(), Signal()
        m.d.comb += [
            usable.eq(Cat(way < self.quota for way in range(self.ways))),
            Cat(dut.valid, dut.match, dut.usable, dut.learn).eq(Cat(self.valid, self.match, usable, self.learn)),
            hits.eq(self.match & self.valid & usable),
            hit.eq(hits.any()),
            empty.eq(usable & ~self.valid),
            full.eq(~empty.any()),
        ]
        m.d.sync += [
            Assume(self.quota <= self.ways, "a quota is no more than all ways"),
            Assume((hits & (hits - 1)[: self.ways]) == 0, "no tag twice in a set"),
            Cover(full & self.learn & ~hit & (self.quota == self.ways), "a full set, all ways of it in use, misses"),
        ]

        for plane in range(self.rrpv_bits):
            m.d.comb += dut.rrpv[plane].eq(Cat(self.rrpv[way][plane] for way in range(self.ways)))

        victim, searched = self._search_and_increment(m)
        fill = Signal(self.ways)
        with m.If(self.learn & ~hit & full):
            m.d.comb += fill.eq(victim)
        with m.Elif(self.learn & ~hit):
            for way in reversed(range(self.ways)):
                with m.If(empty[way]):
                    m.d.comb += fill.eq(1 << way)
        m.d.sync += [
            Assert(dut.hit == hit, "a hit is a valid match in the quota"),
            Assert(dut.hit_ways == hits, "the way that hits"),
            Assert(dut.fill == fill, "the way that is filled: the lowest empty one, else the victim of the search"),
            Assert((dut.fill & (dut.fill - 1)[: self.ways]) == 0, "at most one way is written"),
            Assert((dut.fill & ~usable) == 0, "no way outside the quota is written"),
            Assert(~dut.hit | (dut.fill == 0), "a hit writes no tag"),
            Assert(dut.evict == (full & (fill != 0)), "an eviction is a fill of a full set"),
            Assert(~dut.evict | (dut.fill & ~self.valid == 0), "what is evicted was valid"),
        ]
        long = (1 << self.rrpv_bits) - 2
        m.d.sync += Assert(dut.next_valid == self.valid | fill, "a fill makes its way valid, nothing else changes")
        for way in range(self.ways):
            expected = Signal(self.rrpv_bits, name=f"expected{way}")
            m.d.comb += expected.eq(self.rrpv[way])
            with m.If(self.learn & hits[way]):
                m.d.comb += expected.eq(0)
            with m.Elif(fill[way]):
                m.d.comb += expected.eq(long)
            with m.Elif(self.learn & ~hit & full & usable[way]):
                m.d.comb += expected.eq(searched[way])
            after = Cat(plane[way] for plane in dut.next_rrpv)
            m.d.sync += Assert(after == expected, f"RRPV of way {way}")
        return m


@pytest.mark.parametrize(("ways", "rrpv_bits"), [(2, 1), (4, 2), (4, 3), (3, 2), (8, 2), (16, 2)])
def test_update_is_search_and_increment(ways, rrpv_bits, tmp_path):
    prove(SrripRule(ways, rrpv_bits), tmp_path / "prove")
    cover(SrripRule(ways, rrpv_bits), tmp_path / "cover", cycles=1)


def test_the_wrong_way_of_a_tie_is_caught(tmp_path):
    with pytest.raises(PropertyFailed, match="the way that is filled"):
        prove(SrripRule(4, 2, wrong_tie=True), tmp_path)
