"""WorkingList: back-to-back lookups act one after the other, a row keeps its place, and no place is given twice.

One tag is watched, chosen freely among all. The reference says whether, and where, it is listed in this mini-batch, and
whether it was in the one before. It handles one lookup at a time, when its answer comes. Any tag may be the watched
one, so this proves it for all. Tags have three bits, tables four entries, and epochs two bits. So searches collide and
wrap around, lists become full, and tables are emptied.

The tables are registers here, so the property can state what a search relies on about their entries. What is read
while it is being written is unknown.

It is a proof by induction: what the unit holds inside (working_inside.py) is asserted too. Mutants are to be caught
without that.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from amaranth.hdl import Array, Assert, Assume, Cat, Const, Cover, DomainRenamer, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from hotline_hw.core.bank.working import LIST_DOMAIN, WorkingList, place_layout
from hotline_hw.spec.params import Geometry
from hotline_sim.formal import PropertyFailed, check, cover, first_value, induct
from tests.formal.dma_parts import with_parts
from tests.formal.mutants import mutated
from tests.formal.working_inside import Inside
from tests.support.working_mutants import MUTANTS, PROVEN


class Few(Geometry):
    """Tags of three bits."""

    tag_bits = 3  # type: ignore[assignment]


GEOMETRY = Few(
    lanes=2, banks=2, sets=2, ways=2, table_bits=1, row_bits=5, bank_ports=1, queue_depth=2, beat_depth=4,
    axi_bits=128, working_rows=4, read_tags=2, read_beats=32,
)  # fmt: skip
EPOCH_BITS = 2
PLACES = 1 << GEOMETRY.local_bits
ENTRIES = 2 * PLACES
LATENCY = 5  # from an answer that the reference takes to the unit's


class Registers(wiring.Component):
    """A memory of registers in place of `amaranth.lib.memory.Memory`. Its initial contents are `content`."""

    def __init__(self, *, shape, depth: int, init: list, attrs: dict | None = None) -> None:
        super().__init__({})
        self.unknown: Value = Const(0)
        self.first = Signal(init=1)
        self.rows = [Signal(shape, name=f"row{index}") for index in range(depth)]
        self.content = [Signal(shape, name=f"content{index}") for index in range(depth)]
        address = range(depth)
        self._write = SimpleNamespace(addr=Signal(address), data=Signal(shape), en=Signal())
        self._read = SimpleNamespace(addr=Signal(address), data=Signal(shape))

    def write_port(self) -> SimpleNamespace:
        return self._write

    def read_port(self, *, domain: str = "sync") -> SimpleNamespace:
        self._clocked = domain != "comb"
        return self._read

    def elaborate(self, platform: object) -> Module:
        m = Module()
        first = self.first
        m.d.sync += first.eq(0)
        # What is read with the clock while it is written is unknown.
        clash = self._write.en & (self._write.addr == self._read.addr) if self._clocked else Const(0)
        data_now = Value.cast(self._read.data)
        row_now = Array(Value.cast(row) for row in self.rows)[self._read.addr]
        read = data_now.eq(Mux(clash, self.unknown[: len(data_now)], row_now))
        if self._clocked:
            m.d.sync += read
        else:
            m.d.comb += read
        for index, row in enumerate(self.rows):
            with m.If(first):
                m.d.sync += row.eq(self.content[index])
            with m.If(self._write.en & (self._write.addr == index)):
                m.d.sync += row.eq(self._write.data)
        return m


class ListsAreSequential(wiring.Component):
    """A unit between a free tracker and a free reader of the lists, which keep their sides of the contract.

    Ports:
        start, enable, tag_valid, tag, answer_valid, hit, list_held, list_number: as in `WorkingList`.
        watch: the watched tag. content: of the tables at first. unknown: what is read while it is written.

    Args:
        look_inside: assert what the unit holds inside, too.
    """

    def __init__(self, geometry: Geometry, dut: type[WorkingList] = WorkingList, look_inside: bool = False) -> None:
        self.geometry, self.dut, self.look_inside = geometry, dut, look_inside
        tag = geometry.tag_bits
        entry = tag + EPOCH_BITS + place_layout(geometry).size
        super().__init__(
            {
                "start": In(1), "enable": In(1), "tag_valid": In(1), "tag": In(tag), "answer_valid": In(1),
                "hit": In(1), "list_held": In(1), "list_number": In(geometry.local_bits), "watch": In(tag),
                "content": In(entry).array(2 * ENTRIES), "unknown": In(entry),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        stores: list[Registers] = []

        def memory(**how) -> Registers:
            stores.append(Registers(**how))
            stores[-1].unknown = self.unknown
            return stores[-1]

        dut = with_parts(self.dut, _EPOCH_BITS=EPOCH_BITS, memory=SimpleNamespace(Memory=memory))(g)
        dut._MustUse__used = True  # elaborated here, so that the proof can look at the stores
        self.within = Inside(m, g, dut, self.dut, stores)
        m.submodules.dut = DomainRenamer({LIST_DOMAIN: "sync"})(self.within.elaborate())
        tables = stores[:2]
        for side, table in enumerate(tables):
            for index, content in enumerate(table.content):
                m.d.comb += content.eq(self.content[side * ENTRIES + index])
        m.d.comb += [
            dut.start.eq(self.start), dut.enable.eq(self.enable), dut.tag_valid.eq(self.tag_valid),
            dut.tag.eq(self.tag), dut.answer_valid.eq(self.answer_valid), dut.hit.eq(self.hit),
            dut.list_held.eq(self.list_held), dut.list_number.eq(self.list_number),
        ]  # fmt: skip
        tag, missed, busy = self._lookups(m, dut)
        place = data.View(place_layout(g), dut.output[: place_layout(g).size])

        # How many rows are listed. A new place is the next one of its list.
        counts = Array(Signal(range(PLACES + 1), name=f"count{held}") for held in range(2))
        full, room, new = Signal(), Signal(), Signal()
        counted = Signal(2 * (g.local_bits + 1) + 1)
        m.d.comb += [
            room.eq(counts[0] + counts[1] != PLACES),
            new.eq(missed & place.listed & (place.number == counts[place.held])),
        ]
        with m.If(new):
            m.d.sync += counts[place.held].eq(counts[place.held] + 1)
        with m.If(missed & ~place.listed & self.enable):
            m.d.sync += [full.eq(1), Assert(~room, "what is not listed found no room")]
        with m.If(self.start):
            m.d.sync += [*(count.eq(0) for count in counts), full.eq(0)]
        m.d.sync += [
            counted.eq(Mux(self.start, 0, Cat(dut.count, dut.held_count, dut.full))),
            Assert(counted == Cat(*counts, full), "rows are counted, a cycle before their answers come"),
            Assert(~new | room, "a new place is a free one"),
            Assert(~missed | ~place.listed | (place.number <= counts[place.held]), "the next place at most"),
            Assert(~missed | self.enable | ~place.listed, "nothing is listed that is not to be"),
        ]

        # The watched row.
        watch = first_value(m, self.watch)
        known = Signal(data.StructLayout({"listed": 1, "was": 1, "place": place_layout(g)}))
        mine = Signal()
        m.d.comb += mine.eq(missed & self.enable & (tag == watch))
        with m.If(mine & place.listed):
            m.d.sync += [known.listed.eq(1), known.place.eq(place)]
        with m.If(self.start):
            m.d.sync += [known.was.eq(known.listed), known.listed.eq(0)]
        asked = Signal()

        def address(of) -> object:
            return Mux(of.held, ~of.number, of.number)[: g.local_bits]

        m.d.sync += [
            Assert(~(mine & known.listed) | (place.as_value() == known.place.as_value()), "a row keeps its place"),
            Assert(~(mine & known.listed) | ~new, "a row that is listed gets no other place"),
            Assert(~(mine & ~known.listed & place.listed) | new, "a row that is not gets the next place"),
            Assert(~(mine & ~known.listed & place.listed) | (place.held == known.was), "held: it was listed before"),
            Assert(~(new & known.listed) | (address(place) != address(known.place)), "no place is given twice"),
            Assert(~known.listed | (known.place.number < counts[known.place.held]), "its place is counted"),
            asked.eq(known.listed & (Cat(self.list_number, self.list_held, 1) == known.place.as_value())),
            Assert(~asked | (dut.list_tag == watch), "the list has the row at its place"),
        ]
        batch = self._tables(m, dut, tables, watch, known, counts)
        if self.look_inside:
            self.within.state(self.lookups, self.lookups.enabled, batch, watch, known, counts, full)

        waits, walks = Signal(5), Signal(4)
        m.d.sync += [
            waits.eq(Mux(busy & ~dut.output_valid, waits + 1, 0)),
            walks.eq(Mux(dut.ready, 0, walks + 1)),
            Assert(waits <= LATENCY + self.dut.PROBE * PLACES, "answers come"),
            Assert(walks <= ENTRIES, "walks end"),
        ]
        if self.look_inside:
            self.within.waits(waits, walks, batch.walk)
        m.d.sync += Cover(mine & ~known.listed & known.was & new & (counts[0] == 1), "held, after another")
        return m

    def _lookups(self, m: Module, dut: WorkingList) -> tuple[Signal, Signal, Signal]:
        """Lookups within the contract. Returns the tag of the lookup whose answer is due, whether the answer is a miss
        and comes now, and whether one is due."""
        g = self.geometry
        bits, depth = g.queue_depth.bit_length(), g.queue_depth
        came, answered, out = Signal(bits), Signal(bits), Signal(bits)
        tags = Array(Signal(g.tag_bits, name=f"ref_tag{index}") for index in range(depth))
        hits = Array(Signal(name=f"ref_hit{index}") for index in range(depth))
        inside, enabled = Signal(bits), Signal()
        tag, hit, missed, busy = Signal(g.tag_bits), Signal(), Signal(), Signal()
        m.d.comb += [
            inside.eq(came - out), busy.eq(answered != out), tag.eq(tags[out[:-1]]), hit.eq(hits[out[:-1]]),
            missed.eq(dut.output_valid & ~hit),
        ]  # fmt: skip
        m.d.sync += [came.eq(came + self.tag_valid), answered.eq(answered + self.answer_valid)]
        m.d.sync += out.eq(out + dut.output_valid)
        with m.If(self.tag_valid):
            m.d.sync += tags[came[:-1]].eq(self.tag)
        with m.If(self.answer_valid):
            m.d.sync += hits[answered[:-1]].eq(self.hit)
        m.d.sync += [
            enabled.eq(self.enable),
            Assume(~self.tag_valid | (inside != depth), "no more lookups than the queue holds"),
            Assume(~self.answer_valid | (answered != came), "an answer is to a lookup"),
            Assume(~self.start | ((inside == 0) & ~self.tag_valid & dut.ready), "it starts when it is idle"),
            Assume(dut.ready | ~self.tag_valid, "no lookups while it walks"),
            Assume((self.enable == enabled) | self.start, "enable is a mini-batch's"),
            Assert(~dut.output_valid | busy, "an answer comes after the tracker's"),
            Assert(~dut.output_valid | (dut.output_hit == hit), "hit or miss as the tracker says"),
        ]
        self.lookups = SimpleNamespace(came=came, answered=answered, out=out, tags=tags, hits=hits, enabled=enabled)
        return tag, missed, busy

    def _tables(self, m: Module, dut, tables: list[Registers], watch, known, counts) -> SimpleNamespace:
        """States what the tables' entries are: those of rows listed in this mini-batch, and in the one before."""
        side, walk = Signal(), Signal(range(ENTRIES))
        epochs = [Signal(EPOCH_BITS, name=f"ref_epoch{index}") for index in range(2)]
        walking = [Signal(init=1, name=f"ref_walking{index}") for index in range(2)]
        m.d.sync += walk.eq(walk + 1)
        with m.If(walk == ENTRIES - 1):
            m.d.sync += [here.eq(0) for here in walking]
        with m.If(self.start):
            m.d.sync += side.eq(~side)
            for index, epoch in enumerate(epochs):
                with m.If(side != index):
                    m.d.sync += epoch.eq(epoch + 1)
                    with m.If(epoch.all()):
                        m.d.sync += [epoch.eq(1), walk.eq(0), walking[index].eq(1)]
        m.d.sync += Assert(dut.ready == ~Cat(walking).any(), "ready when nothing walks")
        home = watch[: (ENTRIES - 1).bit_length()]
        for index, table in enumerate(tables):
            current = side == index
            valid = [(row.epoch == epochs[index]) & (epochs[index] != 0) & ~walking[index] for row in table.rows]
            match = [here & (row.tag == watch) for here, row in zip(valid, table.rows, strict=True)]
            found, reached = Const(0), Const(1)
            for offset in range(ENTRIES):
                at = (home + offset)[: len(home)]
                right = ~current | (Array(row.place.as_value() for row in table.rows)[at] == known.place.as_value())
                found |= reached & Array(match)[at] & right
                reached &= Array(valid)[at]
            due = Mux(current, known.listed, known.was)
            m.d.sync += [
                Assert(sum(match) == due, "a row that is listed has an entry, any other none"),
                Assert(found == due, "a search finds it"),
                Assert(~current | (sum(valid) == counts[0] + counts[1]), "an entry a row"),
            ]
            for number, row in enumerate(table.rows):
                m.d.sync += [
                    Assert(walking[index] | (row.epoch <= epochs[index]), "no entry is of an epoch to come"),
                    Assert(~walking[index] | (number >= walk) | (row.epoch == 0), "the walk empties"),
                ]
        return SimpleNamespace(side=side, walk=walk, walking=walking, epochs=epochs, start=self.start)


def test_lists_are_sequential(tmp_path):
    induct(ListsAreSequential(GEOMETRY, look_inside=True), tmp_path / "prove", cycles=2)
    cover(ListsAreSequential(GEOMETRY), tmp_path / "cover", cycles=30)


@pytest.mark.parametrize("mutant", PROVEN)
def test_a_broken_unit_is_caught(mutant, tmp_path):
    """The simulation in tests/unit/hw/core/test_working.py catches those that need more cycles."""
    with pytest.raises(PropertyFailed):
        check(ListsAreSequential(GEOMETRY, mutated(WorkingList, *MUTANTS[mutant])), tmp_path, cycles=20)
