"""Packers of the DMA shell: every item leaves once, in order and in its own packet, in beats that are full.

As in test_compactor.py, one item and one packet end are watched, chosen freely among all. An item is a granule, a word
or a verdict. Only one bit of each is checked.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Array, Assert, Assume, Cat, Const, Cover, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hotline_hw.shell.granules import GranulePacker
from hotline_hw.shell.streams.beats import BeatFiller, ResultPacker, StateJoiner
from hotline_hw.shell.streams.verdicts import VerdictPacker
from hotline_hw.spec.params import Geometry
from hotline_sim.formal import PropertyFailed, check, cover, prove
from tests.formal.dma_parts import with_parts
from tests.formal.mutants import mutated
from tests.formal.shell_mutants import GRANULES, RESULTS, SETS, VERDICTS, WORDS


def geometry(axi_bits: int, lanes: int = 8, ways: int = 8) -> Geometry:
    return Geometry(
        lanes=lanes, banks=2, sets=2, ways=ways, table_bits=1, row_bits=5, bank_ports=1, queue_depth=2, beat_depth=4,
        axi_bits=axi_bits, working_rows=4, read_tags=2, read_beats=32,
    )  # fmt: skip


class KeepsOrder(wiring.Component):
    """A free source and a free sink around a packer.

    Attributes that subclasses set:
        most_in, most_out: items of an input beat and of an output beat.
        most: items inside.

    Ports:
        valid, count, items, end: the source's beat. The source may withdraw a beat that was not taken.
        ready: of the sink.
        watch, choice: watch item `choice` of this beat. watch_end: watch this beat's end.
    """

    most_in: int
    most_out: int
    most: int

    def __init__(self) -> None:
        super().__init__(
            {
                "valid": In(1), "count": In(range(self.most_in + 1)), "items": In(self.most_in), "end": In(1),
                "ready": In(1),
                "watch": In(1), "choice": In(range(max(2, self.most_in))), "watch_end": In(1), **self.more(),
            }
        )  # fmt: skip

    def more(self) -> dict:
        """Further ports."""
        return {}

    def connect(self, m: Module, inside: Signal) -> tuple[wiring.Component, Value, list[Value], Value]:
        """Places the packer and drives its input's payload. `inside`: items in it.

        Returns:
            The packer. Of its output beat: how many items it has, which ones, and whether it ends a packet.
        """
        raise NotImplementedError

    def elaborate(self, platform: object) -> Module:
        m = Module()
        inside, ends = Signal(range(self.most + 1)), Signal(range(4))
        dut, out_count, out_items, out_end = self.connect(m, inside)
        m.submodules.dut = dut
        taken, left = Signal(), Signal()
        m.d.comb += [
            dut.input.valid.eq(self.valid), dut.output.ready.eq(self.ready),
            taken.eq(self.valid & dut.input.ready), left.eq(dut.output.valid & self.ready),
        ]  # fmt: skip
        coming, leaving, stay = Signal(range(self.most_in + 1)), Signal(range(self.most_out + 1)), Signal.like(inside)
        m.d.comb += [coming.eq(Mux(taken, self.count, 0)), leaving.eq(Mux(left, out_count, 0))]
        m.d.comb += stay.eq(inside - leaving)
        m.d.sync += [
            Assume(self.count <= self.most_in, "so many items at most"),
            inside.eq(stay + coming),
            ends.eq(ends + (taken & self.end) - (left & out_end)),
            Assert(inside <= self.most, "no more items inside than there is room for"),
            Assert(leaving <= inside, "no more items leave than came"),
            Assert(~left | out_end | (out_count == self.most_out), "every beat but the last is full"),
        ]

        watching, value, ahead = Signal(), Signal(), Signal(range(self.most))
        with m.If(~watching):
            with m.If(taken & self.watch & (self.choice < self.count)):
                m.d.sync += [watching.eq(1), value.eq(self.items.bit_select(self.choice, 1))]
                m.d.sync += ahead.eq(stay + self.choice)
        with m.Elif(ahead >= leaving):
            m.d.sync += ahead.eq(ahead - leaving)
        with m.Else():
            m.d.sync += [watching.eq(0), Assert(Array(out_items)[ahead] == value, "what leaves is what came")]

        end_watched, end_items, end_ends = Signal(), Signal.like(inside), Signal.like(ends)
        with m.If(~end_watched):
            with m.If(taken & self.end & self.watch_end):
                m.d.sync += [end_watched.eq(1), end_items.eq(stay + coming), end_ends.eq(ends - (left & out_end))]
        with m.Elif(left & out_end & (end_ends == 0)):
            m.d.sync += [end_watched.eq(0), Assert(out_count == end_items, "a packet ends behind its last item")]
        with m.Else():
            m.d.sync += [end_items.eq(end_items - leaving), end_ends.eq(end_ends - (left & out_end))]
            m.d.sync += Assert(~left | (end_ends != 0) | (end_items >= out_count), "nothing leaves late")

        payload, held, waits = dut.output.payload.as_value(), Signal(), Signal(3)
        before = Signal.like(payload)
        m.d.sync += [
            held.eq(dut.output.valid & ~self.ready),
            before.eq(payload),
            Assert(~held | (dut.output.valid & (payload == before)), "a beat that is offered stays"),
            waits.eq(Mux((ends == 0) | dut.output.valid, 0, waits + 1)),
            Assert(waits <= 2, "a packet that has ended leaves"),
            Cover(end_watched & watching & value & (ahead == self.most_out - 1) & left, "a full beat and an end"),
        ]
        return m


class Granules(KeepsOrder):
    """Further port: first: of the piece's granules."""

    def __init__(self, size: int, dut: type[GranulePacker] = GranulePacker) -> None:
        self.size, self.dut = size, dut
        self.most_in = self.most_out = size
        self.most = 2 * size
        super().__init__()

    def more(self) -> dict:
        return {"first": In(range(max(2, self.size)))}

    def connect(self, m, inside):
        dut = self.dut(geometry(128 * self.size))
        piece, out = dut.input.payload, dut.output.payload
        m.d.comb += [piece.first.eq(self.first), piece.count.eq(self.count), piece.end.eq(self.end)]
        lowest = Cat(self.items[: self.size], Const(0, 1)) << self.first
        m.d.comb += piece.data.eq(Cat(Cat(lowest[at], Const(0, 127)) for at in range(self.size)))
        m.d.sync += [
            Assume(self.first + self.count <= self.size, "the granules are of the beat"),
            Assert(dut.busy == ((inside != 0) | dut.output.valid), "busy as long as something is inside"),
        ]
        return dut, out.count, [out.data[128 * at] for at in range(self.size)], out.end


class Words(KeepsOrder):
    """BeatFiller: at most one word comes at a time."""

    def __init__(self, dut: type[BeatFiller] = BeatFiller) -> None:
        self.dut = dut
        self.most_in, self.most_out, self.most = 1, 4, 4
        super().__init__()

    def connect(self, m, inside):
        dut = self.dut(geometry(128), 32)
        word, out = dut.input.payload, dut.output.payload
        m.d.comb += [word.word.eq(self.items), word.some.eq(self.count), word.last.eq(self.end)]
        return dut, out.words, [out.data[32 * at] for at in range(4)], out.last


class Results(KeepsOrder):
    """ResultPacker that makes one beat of two of the core's."""

    def __init__(self, dut: type[ResultPacker] = ResultPacker) -> None:
        self.dut = dut
        self.most_in, self.most_out, self.most = 2, 4, 4
        super().__init__()

    def connect(self, m, inside):
        dut = self.dut(geometry(128, lanes=2))
        beat, out = dut.input.payload, dut.output.payload
        m.d.comb += [beat.count.eq(self.count), beat.last.eq(self.end)]
        m.d.comb += [beat.words[lane].eq(self.items[lane]) for lane in range(2)]
        m.d.sync += Assume(self.end | (self.count == 2), "all beats but the last are full")
        return dut, out.words, [out.data[32 * at] for at in range(4)], out.last


class Sets(KeepsOrder):
    """StateJoiner: four beats of the bus make a set."""

    def __init__(self, dut: type[StateJoiner] = StateJoiner) -> None:
        self.dut = dut
        self.most_in, self.most_out, self.most = 1, 4, 4
        super().__init__()

    def connect(self, m, inside):
        dut = self.dut(geometry(128))
        beat, out = dut.input.payload, dut.output.payload
        place = Signal(2)
        m.d.comb += [beat.data.eq(self.items), beat.last.eq(self.end)]
        m.d.sync += [
            place.eq(place + (self.valid & dut.input.ready)),
            Assume(self.count == 1, "a beat at a time"),
            Assume(~self.end | (place == 3), "whole sets"),
        ]
        return dut, Const(4), [out.words[2 * at][0] for at in range(4)], out.last


VERDICT_BITS = 4


class Verdicts(KeepsOrder):
    """VerdictPacker with short words: the last word of a mini-batch has zeros behind its verdicts."""

    def __init__(self, dut: type[VerdictPacker] = VerdictPacker) -> None:
        self.dut = dut
        self.most_in, self.most_out, self.most = 2, VERDICT_BITS, VERDICT_BITS + 2
        super().__init__()

    def connect(self, m, inside):
        dut = with_parts(self.dut, _BITS=VERDICT_BITS)(geometry(128, lanes=2))
        beat, out = dut.input.payload, dut.output.payload
        m.d.comb += [beat.bits.eq(self.items), beat.count.eq(self.count), beat.last.eq(self.end)]
        count = Signal(range(VERDICT_BITS + 1))
        m.d.comb += count.eq(Mux(out.last, inside, Mux(out.some, VERDICT_BITS, 0)))
        for at in range(VERDICT_BITS):
            m.d.sync += Assert(~dut.output.valid | ~out.some | (at < count) | ~out.word[at], "zeros behind the last")
        m.d.sync += Assert(~dut.output.valid | (out.some == (count != 0)), "no word without a verdict")
        return dut, count, [out.word[at] for at in range(VERDICT_BITS)], out.last


PACKERS = {
    "granules of 128 bits": lambda: Granules(1),
    "granules of 256 bits": lambda: Granules(2),
    "granules of 512 bits": lambda: Granules(4),
    "words": Words, "results": Results, "sets": Sets, "verdicts": Verdicts,
}  # fmt: skip


@pytest.mark.parametrize("packer", PACKERS)
def test_packers_keep_order(packer, tmp_path):
    prove(PACKERS[packer](), tmp_path / "prove")
    cover(PACKERS[packer](), tmp_path / "cover", cycles=12)


BROKEN = {
    f"{block.__name__}, {name}": (proof, mutated(block, *mutants[name]))
    for proof, block, mutants in (
        (lambda dut: Granules(2, dut), GranulePacker, GRANULES), (Words, BeatFiller, WORDS),
        (Results, ResultPacker, RESULTS), (Sets, StateJoiner, SETS), (Verdicts, VerdictPacker, VERDICTS),
    )
    for name in mutants
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_packer_is_caught(case, tmp_path):
    proof, block = BROKEN[case]
    with pytest.raises(PropertyFailed):
        check(proof(block), tmp_path, cycles=8)
