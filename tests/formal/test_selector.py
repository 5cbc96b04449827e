"""SELECT: the budget is kept, and no slot is given to two rows, whatever the banks hold and however often it runs.

Banks are free. They answer anything that is possible with their entries. The reference knows which slots are in use.
Whether SELECT chooses the right rows is what the benches compare with the golden model.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Assume, Const, Cover, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hotline_hw.core.selector import HotSetSelector
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import EVENT_VALID, SLOT_FIELD
from hotline_sim.formal import PropertyFailed, check, cover, first_value, prove
from tests.formal.mutants import mutated

GEOMETRY = Geometry(
    lanes=2, banks=2, sets=2, ways=2, entries_per_hot_row=2, counter_bits=2, max_moves=2, table_bits=1, row_bits=5,
    bank_ports=1, queue_depth=2, beat_depth=4,
)  # fmt: skip


class SlotsAreUnique(wiring.Component):
    """A selector between free banks and a free reader. The budget is constant. CLEAR and RESTORE come between.

    Ports:
        start, clear, restored, eligible, any_left, pick_way, slot_out, ready: as in `HotSetSelector`.
        hot_rows, set_mask, hysteresis, move_limit: constant.
    """

    def __init__(self, geometry: Geometry, selector: type[HotSetSelector] = HotSetSelector) -> None:
        self.geometry, self.selector = geometry, selector
        super().__init__(
            {
                "start": In(1), "clear": In(1), "restored": In(range(geometry.ways + 1)),
                "eligible": In(range(geometry.ways + 1)).array(geometry.banks), "any_left": In(geometry.banks),
                "pick_way": In(geometry.way_bits), "slot_out": In(geometry.slot_bits), "ready": In(1),
                "hot_rows": In(geometry.hot_rows_bits), "set_mask": In(geometry.set_bits), "hysteresis": In(4),
                "move_limit": In(2),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        m.submodules.dut = dut = self.selector(g)
        hot_rows, move_limit = first_value(m, self.hot_rows), first_value(m, self.move_limit)
        event = dut.event.payload
        m.d.comb += [
            dut.start.eq(self.start), dut.clear.eq(self.clear), dut.restored.eq(self.restored),
            dut.hot_rows.eq(hot_rows), dut.set_mask.eq(first_value(m, self.set_mask)),
            dut.hysteresis.eq(first_value(m, self.hysteresis)), dut.move_limit.eq(move_limit),
            *(there.eq(here) for there, here in zip(dut.eligible, self.eligible, strict=True)),
            dut.any_left.eq(self.any_left), dut.event.ready.eq(self.ready),
            *(there.eq(self.pick_way) for there in dut.pick_way), *(there.eq(self.slot_out) for there in dut.slot_out),
        ]  # fmt: skip

        # Slots in use, and slots that were freed in this SELECT and have no row yet.
        used = Signal(g.hot_capacity)
        vacant, demotions, promotions = (Signal(range(2 * g.max_moves + 2), name=name) for name in ("v", "d", "p"))
        free = Signal(g.hot_rows_bits)  # when SELECT began
        promotes, demotes, begins = Signal(), Signal(), Signal()
        m.d.comb += [
            promotes.eq(dut.take.any() & dut.make_hot),
            demotes.eq(dut.take.any() & ~dut.make_hot),
            begins.eq(self.start & ~dut.running),
        ]
        takes_over, cleared, lasted = Signal(), Signal(), Signal()
        m.d.comb += takes_over.eq(promotes & (vacant != 0))
        m.d.sync += [
            Assume(hot_rows <= g.hot_capacity, "a budget there is"),
            Assume(~(self.start | dut.running) | ~(self.clear | self.restored.any()), "one command at a time"),
            cleared.eq(self.clear),
            lasted.eq(self.clear & cleared),
            Assume(~cleared | lasted | ~self.start, "a CLEAR lasts two cycles, or RESTORE goes on after it"),
            Assume(~cleared | ~self.restored.any(), "what is restored comes two cycles after"),
            Assume(
                ~self.restored.any() | (dut.hot_count + self.restored <= hot_rows),
                "no more rows are restored than may be hot",
            ),
            Assume(~self.eligible[0][-1] | ~self.eligible[0][0], "no more entries than ways"),
            Assume(~self.eligible[1][-1] | ~self.eligible[1][0], "no more entries than ways"),
            Assume(~demotes | used.bit_select(self.slot_out, 1), "what leaves has a slot"),
            Assume(~(dut.event.valid & event.last) | (vacant == 0), "as many rows want to become hot as were counted"),
            Assert(~promotes | ~used.bit_select(dut.slot_in, 1), "a slot is given to one row"),
            Assert(~promotes | (dut.slot_in < hot_rows), "a slot is in the budget"),
            Assert(dut.hot_count <= hot_rows, "no more rows are hot than may be"),
            Assert(promotions <= Mux(move_limit < g.max_moves, move_limit, g.max_moves), "no more moves than allowed"),
            Assert((demotions == 0) | (demotions + free <= g.max_moves), "rows leave only for want of free slots"),
            Assert(dut.promoted == promotes, "promoted"),
            Assert(dut.demoted == demotes, "demoted"),
            Assert(~dut.done | (used == (Const(1, g.hot_capacity + 1) << dut.hot_count) - 1), "hot_count slots, dense"),
        ]
        in_use = (Const(1, g.hot_capacity + 1) << (dut.hot_count + self.restored)) - 1
        with m.If(self.clear):
            m.d.sync += used.eq(0)
        with m.Elif(self.restored.any()):
            m.d.sync += used.eq(in_use)
        with m.Elif(promotes):
            m.d.sync += used.eq(used | (Const(1, g.hot_capacity) << dut.slot_in))
        with m.Elif(demotes):
            m.d.sync += used.eq(used & ~(Const(1, g.hot_capacity) << self.slot_out))
        with m.If(begins):
            m.d.sync += [promotions.eq(0), demotions.eq(0), vacant.eq(0), free.eq(hot_rows - dut.hot_count)]
        with m.Else():
            m.d.sync += [
                promotions.eq(promotions + promotes), demotions.eq(demotions + demotes),
                vacant.eq(vacant + demotes - takes_over),
            ]  # fmt: skip

        # Every event says what was done.
        moved, slot, took_over = Signal(), Signal(g.slot_bits), Signal()
        with m.If(promotes):
            m.d.sync += [moved.eq(1), slot.eq(dut.slot_in), took_over.eq(takes_over)]
        with m.Elif(dut.event.valid & self.ready):
            m.d.sync += moved.eq(0)
        told = event.words[0][SLOT_FIELD.low : SLOT_FIELD.low + g.slot_bits]
        m.d.sync += [
            Assert(~moved | (dut.event.valid & ~event.last), "a move is told at once"),
            Assert(~(dut.event.valid & ~event.last) | moved, "what is told was done"),
            Assert(~moved | ((told == slot) & event.words[0][EVENT_VALID.low]), "the slot"),
            Assert(~moved | (event.words[1][EVENT_VALID.low] == took_over), "whether a row leaves it"),
            Cover(dut.done & (demotions == 1) & (promotions == 2), "a slot changes hands, and a free one is taken"),
        ]
        return m


@pytest.mark.slow
def test_slots_are_unique(tmp_path):
    prove(SlotsAreUnique(GEOMETRY), tmp_path, seconds=900)


def test_slots_are_unique_for_some_time(tmp_path):
    """Long enough for every mutant below to be caught."""
    check(SlotsAreUnique(GEOMETRY), tmp_path / "check", cycles=64)
    cover(SlotsAreUnique(GEOMETRY), tmp_path / "cover", cycles=100)


MUTANTS = {
    "rows leave though slots are free": ("Mux(to_promote > free, to_promote - free, 0)", "to_promote"),
    "more free slots are taken than there are": ("Mux(to_promote > free, free, to_promote)", "to_promote"),
    "a slot that was given up is given twice": ("vacated.r_en.eq(takes)", "vacated.r_en.eq(0)"),
    "each move counts as one more": ("with m.If(promoting & ~vacated.r_rdy)", "with m.If(promoting)"),
    "MOVE_LIMIT is ignored": ("Mux(self.move_limit < g.max_moves, self.move_limit, g.max_moves)", "g.max_moves"),
    "an event has the next slot": ("event_word(mixed, slot)", "event_word(mixed, self.hot_count)"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_selector_is_caught(mutant, tmp_path):
    with pytest.raises(PropertyFailed):
        check(SlotsAreUnique(GEOMETRY, mutated(HotSetSelector, *MUTANTS[mutant])), tmp_path, cycles=74)
