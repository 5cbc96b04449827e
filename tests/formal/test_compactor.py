"""BeatCompactor: every kept word leaves once, in order and in its own packet, in beats as dense as promised.

As in test_queues.py, one word and one packet end are watched, chosen freely among all. The compactor does not look at
words, so all their bits but one are zero.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Array, Assert, Cat, Cover, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hotline_hw.core.output.compactor import BeatCompactor
from hotline_sim.formal import PropertyFailed, check, cover, prove
from tests.formal.mutants import mutated


class WordsKeepTheirOrder(wiring.Component):
    """A free source and a free sink around a BeatCompactor.

    Ports:
        valid, words, keep, last: the source's beat. The source may withdraw a beat that was not taken.
        ready: of the sink.
        watch_word, choice: watch the word of lane `choice` of this beat.
        watch_end: watch this beat's `last`.
    """

    def __init__(self, lanes: int, dut: type[BeatCompactor] = BeatCompactor) -> None:
        self.lanes, self.dut = lanes, dut
        super().__init__(
            {
                "valid": In(1),
                "words": In(lanes),
                "keep": In(lanes),
                "last": In(1),
                "ready": In(1),
                "watch_word": In(1),
                "choice": In(range(lanes)),
                "watch_end": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes = range(self.lanes)
        m.submodules.dut = dut = self.dut(lanes=self.lanes)
        beat, out = dut.input.payload, dut.output.payload
        taken, left = Signal(), Signal()
        m.d.comb += [
            dut.input.valid.eq(self.valid),
            Cat(beat.keep, beat.last).eq(Cat(self.keep, self.last)),
            dut.output.ready.eq(self.ready),
            taken.eq(dut.input.valid & dut.input.ready),
            left.eq(dut.output.valid & dut.output.ready),
        ]
        for lane in lanes:
            m.d.comb += beat.words[lane].eq(self.words[lane])

        # Words and packet ends inside: the compactor has room for four beats, a residue and an output beat.
        most = 6 * self.lanes
        words, ends = Signal(range(most + 1)), Signal(range(8))
        coming, leaving = Signal(range(self.lanes + 1)), Signal(range(self.lanes + 1))
        m.d.comb += [
            coming.eq(Mux(taken, sum(self.keep[lane] for lane in lanes), 0)),
            leaving.eq(Mux(left, out.count, 0)),
        ]
        m.d.sync += [
            words.eq(words + coming - leaving),
            ends.eq(ends + (taken & beat.last) - (left & out.last)),
            Assert(words <= most, "no more words inside than there is room for"),
            Assert(leaving <= words, "no more words leave than came"),
        ]

        # The watched word: how many words are ahead of it.
        before = Array(sum((self.keep[other] for other in range(lane)), start=words - leaving) for lane in lanes)
        watching, value, ahead = Signal(), Signal(), Signal(range(most))
        with m.If(~watching):
            with m.If(taken & self.watch_word & self.keep.bit_select(self.choice, 1)):
                m.d.sync += [watching.eq(1), value.eq(self.words.bit_select(self.choice, 1))]
                m.d.sync += ahead.eq(before[self.choice])
        with m.Elif(ahead >= leaving):
            m.d.sync += ahead.eq(ahead - leaving)
        with m.Else():
            m.d.sync += [
                watching.eq(0),
                Assert(Array(out.words)[ahead] == value, "the word that leaves is the one that came"),
            ]

        # The watched packet end: how many words and ends are ahead of it.
        end_watched, end_words, end_ends = Signal(), Signal(range(most + 1)), Signal(range(8))
        with m.If(~end_watched):
            with m.If(taken & beat.last & self.watch_end):
                m.d.sync += [end_watched.eq(1), end_words.eq(words + coming - leaving)]
                m.d.sync += end_ends.eq(ends - (left & out.last))
        with m.Elif(left & out.last & (end_ends == 0)):
            m.d.sync += [end_watched.eq(0), Assert(out.count == end_words, "a packet ends behind its last word")]
        with m.Else():
            m.d.sync += [end_words.eq(end_words - leaving), end_ends.eq(end_ends - (left & out.last))]
            m.d.sync += Assert(~left | (end_words > out.count) | (end_ends > 0), "no word leaves late, none alone")
        with m.If(left):
            m.d.sync += Assert(out.last | (out.count == self.lanes), "every beat but the last is full")

        # The rules of the stream, and progress.
        held, payload = Signal(), Signal.like(out.as_value())
        waits = Signal(3)
        m.d.sync += [
            held.eq(dut.output.valid & ~dut.output.ready),
            payload.eq(out.as_value()),
            Assert(~held | (dut.output.valid & (out.as_value() == payload)), "a beat that is offered stays"),
            waits.eq(Mux((ends == 0) | dut.output.valid, 0, waits + 1)),
            Assert(waits <= 5, "a packet that has ended leaves"),
            Cover(end_watched & (end_words == most - 1) & watching & value, "all but full, with a packet end inside"),
        ]
        return m


class Unregistered(BeatCompactor):
    """Without the pipeline before the residue. It stops as a whole, so it is a delay and nothing else."""

    REGISTERED = False


@pytest.mark.parametrize("lanes", [2, 4])
def test_words_keep_their_order(lanes, tmp_path):
    """For all time without the pipeline, and with all its registers to a depth."""
    prove(WordsKeepTheirOrder(lanes, Unregistered), tmp_path / "prove")
    check(WordsKeepTheirOrder(lanes), tmp_path / "check", cycles=10 if lanes == 2 else 8)
    cover(WordsKeepTheirOrder(lanes), tmp_path / "cover", cycles=16)


MUTANTS = {
    "what a last beat left over is forgotten": ("flush.eq(~flush & here & full & last)", "flush.eq(0)"),
    "a full residue does not wait for the next word": ("over.eq(total > self.lanes)", "over.eq(total >= self.lanes)"),
    "words that wrap are lost": ('held.eq(fresh["wrapped"])', "held.eq(0)"),
    "a residue does not end with its packet": (
        'held.eq(Mux(last, 0, held | fresh["arrived"]))',
        'held.eq(held | fresh["arrived"])',
    ),
    "the output is overwritten": ("free.eq(~self.output.valid | self.output.ready)", "free.eq(1)"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_compactor_is_caught(mutant, tmp_path):
    with pytest.raises(PropertyFailed):
        check(WordsKeepTheirOrder(2, mutated(BeatCompactor, *MUTANTS[mutant])), tmp_path, cycles=12)
