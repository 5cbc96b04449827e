"""The tracker's pipeline: back-to-back lookups of one set see each other's updates, as if each had waited for the last.

The reference keeps one watched set in registers and applies `SrripUpdate` (proven in test_srrip.py) to one lookup at a
time. Nothing in the tracker treats one set otherwise than another, and the watched set takes each value in turn.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Assume, Cat, Const, Cover, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from hotline_hw.core.bank.srrip import SrripUpdate
from hotline_hw.core.bank.tracker import SrripTracker, tracker_budget
from hotline_hw.core.layouts import row_parts
from hotline_hw.spec.params import Geometry
from hotline_sim.formal import PropertyFailed, check, cover, first_value, prove
from tests.formal.mutants import mutated

GEOMETRY = Geometry(
    lanes=2, banks=2, sets=2, ways=2, rrpv_bits=2, table_bits=1, row_bits=5, bank_ports=1, queue_depth=2, beat_depth=4
)


def row_layout(geometry: Geometry) -> data.StructLayout:
    """The parts of an `entry_row` in one value."""
    return data.StructLayout(
        {
            "valid": geometry.ways,
            "rrpv": data.ArrayLayout(geometry.ways, geometry.rrpv_bits),
            "tag": data.ArrayLayout(geometry.tag_bits, geometry.ways),
        }
    )


class PipelineIsSequential(wiring.Component):
    """Free lookups and free row accesses within the contract, under a free constant budget, against the watched set."""

    def __init__(self, geometry: Geometry, watched: int, tracker: type[SrripTracker] = SrripTracker) -> None:
        self.geometry, self.watched, self.tracker = geometry, watched, tracker
        super().__init__(
            {
                "valid": In(1),
                "tag": In(geometry.tag_bits),
                "learn": In(1),
                "bank": In(geometry.bank_bits),
                "budget": In(tracker_budget(geometry)),
                "row_access": In(1),
                "row_set": In(geometry.set_bits),
                "row_write": In(1),
                "clear": In(1),
                "row_in": In(row_layout(geometry)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        m.submodules.dut = dut = self.tracker(g)
        bank = first_value(m, self.bank)
        budget = data.View(tracker_budget(g), first_value(m, self.budget.as_value()))
        m.d.sync += Assume(budget.set_mask == (1 << budget.shift) - 1, "the mask is of the sets in use")
        m.d.comb += [
            dut.valid.eq(self.valid), dut.tag.eq(self.tag), dut.learn.eq(self.learn),
            dut.bank.eq(bank), dut.budget.eq(budget),
        ]  # fmt: skip

        # The lookups in flight: those of the compare stage and of the update stage, and the answer to be expected.
        flight = data.StructLayout({"valid": 1, "tag": g.tag_bits, "learn": 1})
        compare, update = Signal(flight), Signal(flight)
        in_flight = Signal()
        answered = Signal()
        m.d.sync += [
            Cat(compare.valid, compare.tag, compare.learn).eq(Cat(self.valid, self.tag, self.learn)),
            update.eq(compare),
            answered.eq(update.valid),
            Assert(dut.answer_valid == answered, "an answer after LATENCY cycles"),
        ]
        m.d.comb += in_flight.eq(self.valid | compare.valid | update.valid)

        # The watched set, and what the lookup in the update stage does to it.
        row = Signal(row_layout(g))
        usable = Signal(g.ways)
        mine = Signal()
        m.submodules.rule = rule = SrripUpdate(ways=g.ways, rrpv_bits=g.rrpv_bits)
        m.d.comb += [
            mine.eq(update.valid & ((update.tag & budget.set_mask) == self.watched)),
            usable.eq(
                Mux(Cat(bank, Const(self.watched, g.set_bits)) < budget.boundary, budget.ways_high, budget.ways_low)
            ),
            rule.valid.eq(row.valid),
            Cat(rule.rrpv).eq(row.rrpv),
            rule.match.eq(Cat(row.tag[way] == update.tag for way in range(g.ways))),
            rule.usable.eq(usable),
            rule.learn.eq(update.learn),
        ]
        with m.If(mine & update.learn):
            m.d.sync += [row.valid.eq(rule.next_valid), row.rrpv.eq(Cat(rule.next_rrpv))]
            for way in range(g.ways):
                with m.If(rule.fill[way]):
                    m.d.sync += row.tag[way].eq(update.tag)
        way = Signal(g.way_bits)
        for index in range(g.ways):
            with m.If(rule.hit_ways[index]):
                m.d.comb += way.eq(index)
        expected = Signal(data.StructLayout({"mine": 1, "hit": 1, "slot": g.slot_bits, "fill": 1, "evict": 1}))
        m.d.sync += [
            expected.mine.eq(mine),
            expected.hit.eq(rule.hit),
            expected.slot.eq(way << (g.bank_bits + budget.shift) | self.watched << g.bank_bits | bank),
            expected.fill.eq(rule.fill.any()),
            expected.evict.eq(rule.evict),
        ]
        m.d.sync += [
            Assert(~expected.mine | (dut.answer_hit == expected.hit), "hit or miss as in order"),
            Assert(~(expected.mine & expected.hit) | (dut.answer_slot == expected.slot), "slot of the entry hit"),
            Assert(~expected.mine | (dut.inserted == expected.fill), "inserted"),
            Assert(~expected.mine | (dut.evicted == expected.evict), "evicted"),
        ]
        for high in range(g.ways):
            for low in range(high):
                both = row.valid[low] & row.valid[high]
                m.d.sync += Assert(~both | (row.tag[low] != row.tag[high]), "no tag twice in a set")

        self._rows(m, dut, row, usable, in_flight)
        evictions = Signal(2)
        m.d.sync += [
            evictions.eq(Mux(expected.mine, evictions + expected.evict, 0)),
            Cover(evictions == 3, "three evictions back to back"),
        ]
        return m

    def _rows(self, m: Module, dut: SrripTracker, row: data.View, usable: Signal, in_flight: Signal) -> None:
        """Accesses to whole sets between lookups: reads, writes and clears."""
        g = self.geometry
        m.d.comb += [
            dut.row_access.eq(self.row_access), dut.row_set.eq(self.row_set), dut.row_write.eq(self.row_write),
            dut.clear.eq(self.clear), Cat(row_parts(dut.row_in)).eq(self.row_in),
        ]  # fmt: skip
        here = Signal()
        m.d.comb += here.eq(self.row_access & (self.row_set == self.watched))
        m.d.sync += Assume(~(self.row_access & in_flight), "no lookup is in flight when rows are accessed")
        with m.If(self.row_write & ~self.clear):
            m.d.sync += Assume((self.row_in.valid & ~usable) == 0, "only ways in the budget are restored")
            for high in range(g.ways):
                for low in range(high):
                    both = self.row_in.valid[low] & self.row_in.valid[high]
                    different = self.row_in.tag[low] != self.row_in.tag[high]
                    m.d.sync += Assume(~both | different, "what is restored has no tag twice")
        with m.If(here & self.row_write):
            m.d.sync += [row.tag.eq(self.row_in.tag), row.valid.eq(self.row_in.valid), row.rrpv.eq(self.row_in.rrpv)]
            with m.If(self.clear):
                m.d.sync += [row.valid.eq(0), row.rrpv.eq(0)]
        read, before = Signal(), Signal(row_layout(g))
        m.d.sync += [
            read.eq(here),
            before.eq(row),
            Assert(~read | (Cat(row_parts(dut.row_out)) == before.as_value()), "the row as it was"),
        ]


@pytest.mark.parametrize("watched", range(GEOMETRY.sets))
def test_pipeline_is_sequential(watched, tmp_path):
    prove(PipelineIsSequential(GEOMETRY, watched), tmp_path / "prove")
    cover(PipelineIsSequential(GEOMETRY, watched), tmp_path / "cover", cycles=16)


MUTANTS = {
    "the lookup right ahead is overlooked": ("follows.eq(update_valid & (update_set == compare_set))", "follows.eq(0)"),
    "the lookup two ahead is overlooked": ("patch.eq(done_valid & (done_set == compare_set))", "patch.eq(0)"),
    "a key just filled in does not match": ("same_tag.eq(done_tag == compare_tag)", "same_tag.eq(0)"),
    "a key just replaced still matches": ("(match & ~done_fill)", "match"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_every_patch_of_the_pipeline_is_needed(mutant, tmp_path):
    with pytest.raises(PropertyFailed):
        check(PipelineIsSequential(GEOMETRY, 0, mutated(SrripTracker, *MUTANTS[mutant])), tmp_path, cycles=12)
