"""What one update does to a set of the sample-aware tracker, proven for every possible state of the set.

The update is put together here from what the tracker does in the last stages of its pipeline. It is combinational, so
the set's state is a free input. What is proven holds in the first cycle and in every other. The reference goes over the
ways one by one, as the golden model does. It knows nothing of pairs.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Assume, Cat, Const, Cover, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from hotline_hw.core.bank.counter_update import CounterUpdate
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import WEIGHT_BITS
from hotline_hw.spec.words import AGE_FIELD
from hotline_sim.formal import PropertyFailed, cover, prove
from tests.formal.mutants import mutated
from tests.formal.whole_update import WholeUpdate


def geometry(ways: int, counter_bits: int) -> Geometry:
    return Geometry(
        lanes=2, banks=2, sets=2, ways=ways, entries_per_hot_row=2, counter_bits=counter_bits, table_bits=1, row_bits=5,
        bank_ports=1, queue_depth=2, beat_depth=4,
    )  # fmt: skip


class UpdateRule(wiring.Component):
    """One update of a free set.

    Ports:
        valid, hot, referenced, counter, age, match, weight, age_period: as in `WholeUpdate`.
        quota: ways in use, the lowest ones.
    """

    def __init__(self, ways: int, counter_bits: int, update: type[CounterUpdate] = CounterUpdate) -> None:
        self.geometry, self.update = geometry(ways, counter_bits), update
        super().__init__(
            {
                "valid": In(ways), "hot": In(ways), "referenced": In(ways),
                "counter": In(data.ArrayLayout(counter_bits, ways)), "age": In(AGE_FIELD.width), "match": In(ways),
                "quota": In(range(ways + 1)), "weight": In(WEIGHT_BITS), "age_period": In(AGE_FIELD.width),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        ways = range(g.ways)
        largest = (1 << g.counter_bits) - 1
        m.submodules.dut = dut = WholeUpdate(g, self.update)
        usable, hits = Signal(g.ways), Signal(g.ways)
        m.d.comb += [
            usable.eq(Cat(way < self.quota for way in ways)),
            hits.eq(self.match & self.valid),
            *(there.eq(here) for there, here in zip(dut.counter, self.counter, strict=True)),
            dut.valid.eq(self.valid), dut.hot.eq(self.hot), dut.referenced.eq(self.referenced), dut.age.eq(self.age),
            dut.match.eq(self.match), dut.usable.eq(usable), dut.weight.eq(self.weight),
            dut.age_period.eq(self.age_period),
        ]  # fmt: skip
        m.d.sync += [
            Assume(self.quota <= g.ways, "a quota is no more than all ways"),
            Assume((hits & (hits - 1)[: g.ways]) == 0, "no tag twice in a set"),
            Assume((self.valid & ~usable) == 0, "no entry outside the quota"),
            Assume((self.hot & ~self.valid) == 0, "what is hot is valid"),
            *(Assume(self.valid[way] | (self.counter[way] == 0), "an invalid entry is zero") for way in ways),
        ]

        # Where the key goes, way by way: the lowest free one, else the first cold one with the smallest counter.
        free, found = Const(0), Const(0)
        fill, smallest = Const(0, g.ways), Const(largest, g.counter_bits)
        for way in ways:
            with_free, with_found = Signal(name=f"free{way}"), Signal(name=f"found{way}")
            with_fill, least = Signal(g.ways, name=f"fill{way}"), Signal(g.counter_bits, name=f"smallest{way}")
            m.d.comb += [with_free.eq(free), with_found.eq(found), with_fill.eq(fill), least.eq(smallest)]
            with m.If(usable[way] & ~free):
                with m.If(~self.valid[way]):
                    m.d.comb += [with_free.eq(1), with_found.eq(1), with_fill.eq(1 << way)]
                with m.Elif(~self.hot[way] & (~found | (self.counter[way] < smallest))):
                    m.d.comb += [with_found.eq(1), with_fill.eq(1 << way), least.eq(self.counter[way])]
            free, found, fill, smallest = with_free, with_found, with_fill, least

        learns, hit, unknown, inserts, ages = Signal(), Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            learns.eq(self.weight != 0),
            hit.eq(learns & hits.any()),
            inserts.eq(learns & ~hits.any() & found),
            unknown.eq(learns & ~hits.any()),
            ages.eq(unknown & (self.age_period != 0) & (Cat(self.age, Const(0, 1)) + 1 >= self.age_period)),
        ]
        m.d.sync += [
            Assert(dut.fill == Mux(inserts, fill, 0), "the way that takes the key in"),
            Assert((dut.fill & self.hot) == 0, "no hot entry is driven out"),
            Assert((dut.fill & ~usable) == 0, "no way outside the quota is written"),
            Assert(dut.evict == (inserts & ~free), "an insert without a free way drives an entry out"),
            Assert(dut.revives == (hit & (hits & self.hot & ~self.referenced).any()), "a hot entry comes back"),
            Assert(dut.returns == (hit & (hits & ~self.hot & self.referenced).any()), "a cold entry comes again"),
            Assert(dut.next_valid == (self.valid | dut.fill), "a fill makes its way valid, nothing else changes"),
            Assert(dut.next_age == Mux(ages, 0, self.age + unknown)[: AGE_FIELD.width], "the set's age"),
            Assert(dut.due_kept, "whether the set is due to age again"),
            Cover(ages & ~free & (self.quota == g.ways) & (fill == 1 << (g.ways - 1)),
                  "the last way of a full set is replaced, and the set ages"),
        ]  # fmt: skip
        for way in ways:
            before, after = self.counter[way], Signal(g.counter_bits, name=f"after{way}")
            wide, referenced = (
                Signal(max(g.counter_bits, WEIGHT_BITS) + 1, name=f"wide{way}"),
                Signal(name=f"seen{way}"),
            )
            m.d.comb += [wide.eq(self.weight), after.eq(before), referenced.eq(self.referenced[way])]
            with m.If(inserts & fill[way]):
                m.d.comb += [after.eq(Mux(wide > largest, largest, wide)), referenced.eq(1)]
            with m.Elif(hit & hits[way]):
                m.d.comb += [wide.eq(before + self.weight), after.eq(Mux(wide > largest, largest, wide))]
                m.d.comb += referenced.eq(1)
            with m.Elif(ages):
                m.d.comb += [
                    after.eq(Mux(self.referenced[way], before - before // 8, before // 2)),
                    referenced.eq(0),
                ]
            m.d.sync += [
                Assert(dut.next_counter[way] == after, f"counter of way {way}"),
                Assert(dut.next_referenced[way] == referenced, f"whether way {way} was looked up"),
            ]
        return m


@pytest.mark.parametrize(("ways", "counter_bits"), [(2, 3), (3, 3), (4, 3), (5, 4), (4, 8), (8, 3)])
def test_update_is_way_by_way(ways, counter_bits, tmp_path):
    prove(UpdateRule(ways, counter_bits), tmp_path / "prove")
    cover(UpdateRule(ways, counter_bits), tmp_path / "cover", cycles=1)


MUTANTS = {
    "the smallest of all": (
        "beaten[high].append(candidates[low] & ranked[index])",
        "beaten[high].append(ranked[index])",
    ),
    "of a tie the highest way": ("value[low] <= value[high]", "value[low] < value[high]"),
    "a free way is as good as a counter of zero": ("Cat(state.counters[way], state.valid[way])", "state.counters[way]"),
    "idle entries age as referenced ones": ("Mux(aged & ~referenced, counter >> 1,", "Mux(0, counter >> 1,"),
    "an eighth is rounded up": ("(aged & ~self.hit[way]))", "0)"),
    "aging a lookup too late": ("(age + 1 + ahead >= age_period)", "(age + ahead >= age_period)"),
    "an aged set is as due as one that is not": ("Mux(aged, self.due_anew, Mux(", "Mux(0, 0, Mux("),
    "the counter wraps": ("Mux(full, largest, total)", "total"),
    "what enters is not referenced": ("state.referenced | self.hit) | self.fill", "state.referenced | self.hit)"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_update_is_caught(mutant, tmp_path):
    with pytest.raises(PropertyFailed):
        prove(UpdateRule(4, 3, mutated(CounterUpdate, *MUTANTS[mutant])), tmp_path)
