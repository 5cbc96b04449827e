"""WorkingList: back-to-back lookups act one after the other, and no two rows get one place.

The reference says of every tag that there is where it is listed in this mini-batch, and whether it was in the one
before: all of the contract but the numbers' order, which the counts give. It deals with one lookup at a time, when its
answer comes. Few tags, tables of four entries and epochs of two bits make searches collide, go round and end in full
lists, and tables be emptied.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Array, Assert, Assume, Cat, Cover, DomainRenamer, Module, Mux, Signal
from amaranth.lib import data, fifo, wiring
from amaranth.lib.wiring import In

from hotline_hw.params import Geometry
from hotline_hw.working import LIST_DOMAIN, WorkingList, place_layout
from hotline_sim.formal import PropertyFailed, check, cover, first_value, prove
from tests.formal.dma_parts import with_parts
from tests.formal.mutants import mutated


class Few(Geometry):
    """Tags of three bits."""

    tag_bits = 3  # type: ignore[assignment]


GEOMETRY = Few(
    lanes=2, banks=2, sets=2, ways=2, rrpv_bits=1, table_bits=1, row_bits=5, bank_ports=1, queue_depth=2, beat_depth=4,
    axi_bits=128, working_rows=4, read_tags=2, read_beats=32,
)  # fmt: skip
EPOCH_BITS = 2
PLACES = 1 << GEOMETRY.local_bits


class ListsAreSequential(wiring.Component):
    """A unit between a free tracker and a free reader of the lists that keep their sides of the contract, and two free
    tags `watched` of which the reference knows.

    Ports:
        start, enable, tag_valid, tag, answer_valid, hit, list_held, list_number: as in `WorkingList`.
        one, other: the watched tags.
    """

    def __init__(self, geometry: Geometry, dut: type[WorkingList] = WorkingList) -> None:
        self.geometry, self.dut = geometry, dut
        tag = geometry.tag_bits
        super().__init__(
            {
                "start": In(1), "enable": In(1), "tag_valid": In(1), "tag": In(tag), "answer_valid": In(1), "hit": In(1),
                "list_held": In(1), "list_number": In(geometry.local_bits), "one": In(tag), "other": In(tag),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        unit = with_parts(self.dut, _EPOCH_BITS=EPOCH_BITS)(g)
        m.submodules.dut = DomainRenamer({LIST_DOMAIN: "sync"})(unit)
        dut = unit
        place = data.View(place_layout(g), dut.output[: place_layout(g).size])
        m.d.comb += [
            dut.start.eq(self.start), dut.enable.eq(self.enable), dut.tag_valid.eq(self.tag_valid),
            dut.tag.eq(self.tag), dut.answer_valid.eq(self.answer_valid), dut.hit.eq(self.hit),
            dut.list_held.eq(self.list_held), dut.list_number.eq(self.list_number),
        ]  # fmt: skip

        # Lookups inside, oldest first: tags, and the hit bits of those that are answered.
        m.submodules.tags = tags = fifo.SyncFIFO(width=g.tag_bits, depth=g.queue_depth)
        m.submodules.hits = hits = fifo.SyncFIFO(width=1, depth=g.queue_depth)
        answered, enabled = Signal(), Signal()
        m.d.comb += [
            tags.w_data.eq(self.tag), tags.w_en.eq(self.tag_valid), tags.r_en.eq(dut.output_valid),
            hits.w_data.eq(self.hit), hits.w_en.eq(self.answer_valid), hits.r_en.eq(dut.output_valid),
            answered.eq(hits.r_level != 0),
        ]  # fmt: skip
        m.d.sync += [
            enabled.eq(self.enable),
            Assume(~self.tag_valid | (tags.w_level != g.queue_depth), "no more lookups than the queue holds"),
            Assume(~self.answer_valid | (hits.w_level < tags.w_level), "an answer is to a lookup"),
            Assume(~self.start | ((tags.w_level == 0) & ~self.tag_valid & dut.ready), "it starts when it is idle"),
            Assume(dut.ready | ~self.tag_valid, "no lookups while it walks"),
            Assume((self.enable == enabled) | self.start, "enable is a mini-batch's"),
            Assert(~dut.output_valid | answered, "an answer comes after the tracker's"),
            Assert(~dut.output_valid | (dut.output_hit == hits.r_data), "hit or miss as the tracker says"),
        ]
        # How many are listed. A place that is new is the next of its list; the watched tags tell that it must be.
        counts = Array(Signal(range(PLACES + 1), name=f"count{held}") for held in range(2))
        full, room, new, missed = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            room.eq(counts[0] + counts[1] != PLACES),
            missed.eq(dut.output_valid & ~dut.output_hit),
            new.eq(missed & place.listed & (place.number == counts[place.held])),
        ]
        with m.If(new):
            m.d.sync += counts[place.held].eq(counts[place.held] + 1)
        with m.If(missed & ~place.listed & self.enable):
            m.d.sync += [full.eq(1), Assert(~room, "what is not listed found no room")]
        m.d.sync += [
            Assert(Cat(dut.count, dut.held_count, dut.full) == Cat(*counts, full), "rows are counted"),
            Assert(~new | room, "a new place is a free one"),
            Assert(~missed | ~place.listed | (place.number <= counts[place.held]), "the next place at most"),
            Assert(~missed | self.enable | ~place.listed, "nothing is listed that is not to be"),
        ]
        with m.If(self.start):
            m.d.sync += [*(count.eq(0) for count in counts), full.eq(0)]

        one, other = (first_value(m, port) for port in (self.one, self.other))
        m.d.sync += Assume(one != other, "two tags are watched")
        watched = [self._watch(m, dut, tag, tags.r_data, place, new, missed, counts) for tag in (one, other)]
        (first, first_address), (second, second_address) = watched
        m.d.sync += Assert(~(first.listed & second.listed) | (first_address != second_address), "no place is given twice")

        waits, walks = Signal(4), Signal(4)
        m.d.sync += [
            waits.eq(Mux(answered & ~dut.output_valid, waits + 1, 0)),
            walks.eq(Mux(dut.ready, 0, walks + 1)),
            Assert(waits <= 2 * PLACES, "answers come"),
            Assert(walks <= 2 * PLACES, "walks end"),
        ]
        emptied = Signal()
        with m.If(self.start):
            m.d.sync += emptied.eq(emptied | ~dut.ready)
        m.d.sync += Cover(first.listed & first.was & second.listed & ~second.was & (waits == 2), "collisions, one held")
        return m

    def _watch(self, m: Module, dut, tag, answered_tag, place, new, missed, counts) -> tuple:
        """What is known of one tag, and where it stands in the list memory."""
        g = self.geometry
        known = Signal(data.StructLayout({"listed": 1, "was": 1, "number": g.local_bits, "held": 1}))
        mine = Signal()
        m.d.comb += mine.eq(missed & self.enable & (answered_tag == tag))
        with m.If(mine & place.listed):
            m.d.sync += [known.listed.eq(1), known.number.eq(place.number), known.held.eq(place.held)]
        with m.If(self.start):
            m.d.sync += [known.was.eq(known.listed), known.listed.eq(0)]
        same = Cat(place.number, place.held) == Cat(known.number, known.held)
        asked = Signal()
        m.d.sync += [
            Assert(~(mine & known.listed) | (place.listed & same & ~new), "a row that is listed keeps its place"),
            Assert(~(mine & ~known.listed & place.listed) | new, "a row that is not gets a new one"),
            Assert(~(mine & place.listed) | (place.held == known.was), "held is what was listed before"),
            Assert(~known.listed | (known.number < counts[known.held]), "its place is counted"),
            asked.eq(known.listed & (Cat(self.list_number, self.list_held) == Cat(known.number, known.held))),
            Assert(~asked | (dut.list_tag == tag), "the list has the tag at its place"),
        ]
        return known, Mux(known.held, ~known.number, known.number)[: g.local_bits]


def test_lists_are_sequential(tmp_path):
    prove(ListsAreSequential(GEOMETRY), tmp_path / "prove")
    cover(ListsAreSequential(GEOMETRY), tmp_path / "cover", cycles=30)
