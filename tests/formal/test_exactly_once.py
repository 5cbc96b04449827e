"""Each sample leaves exactly once: whole, in order, on exactly one of the two streams, and with one verdict bit.

The design is BatchDispatcher, its compactors and VerdictTap, forked as in HotlineCore. The source keeps the contract of
a verdict beat: samples come one after the other, a lookup may be in any lane, and all lookups of a sample have the same
verdict.

For all time: one lookup is watched, chosen freely among all. It leaves once, on the stream of its verdict, unchanged.
As many lookups are ahead of it as came before it. The lookups of a sample go to one stream, so the sample leaves whole.
That the lookup is in its own packet is shown in test_compactor.py: both compactors take every beat's end.
To a depth: one sample of one mini-batch is watched, and everything that leaves in the packets of this mini-batch.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Array, Assert, Assume, Cat, Const, Cover, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In

from hotline_hw.core.layouts import MISS_BITS, verdict_beat
from hotline_hw.core.output.dispatcher import BatchDispatcher
from hotline_hw.core.output.verdicts import VerdictTap
from hotline_hw.lib.streams import fork
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import SAMPLE_FIELD
from hotline_sim.formal import PropertyFailed, check, cover, prove
from tests.formal.mutants import mutated
from tests.formal.shell_mutants import DISPATCH, TAP

LANES = 2
GEOMETRY = Geometry(
    lanes=LANES, banks=2, sets=2, ways=2, entries_per_hot_row=2, table_bits=1, row_bits=5, bank_ports=1, queue_depth=2,
    beat_depth=4, axi_bits=128, working_rows=4, read_tags=2, read_beats=32,
)  # fmt: skip
SIDES = ("popular", "nonpopular")
WHOLE = ("a miss is popular", "lookups on both streams", "one side takes a beat twice")
NUMBER_BITS = 2  # of a sample in its mini-batch
MOST_INSIDE = 3 * LANES  # words inside a compactor
MISSES = MISS_BITS


class Source(wiring.Component):
    """Free inputs that form a verdict stream within the contract.

    Ports:
        valid, keep, last, marks, end: of the beat. The source may withdraw a beat that was not taken.
        misses: of a sample that begins.
        popular_ready, nonpopular_ready, verdicts_ready: of the sinks.
    """

    def __init__(self, dispatcher: type[BatchDispatcher], tap: type[VerdictTap], more: dict) -> None:
        self.dispatcher, self.tap = dispatcher, tap
        super().__init__(
            {
                "valid": In(1), "keep": In(LANES), "last": In(LANES), "marks": In(LANES), "end": In(1),
                "misses": In(MISSES).array(LANES),
                "popular_ready": In(1), "nonpopular_ready": In(1), "verdicts_ready": In(1), **more,
            }
        )  # fmt: skip

    def source(self, m: Module) -> None:
        """Places the blocks and drives them.

        Attributes that it sets:
            taken: the beat goes on. popular, number: of each lane's sample. ends: the lane ends its sample.
            words: for each side, what has left in this cycle. ended: for each side, a packet has ended.
        """
        m.submodules.dispatcher = dispatcher = self.dispatcher(GEOMETRY)
        m.submodules.tap = tap = self.tap(GEOMETRY)
        self.parts = dispatcher, tap
        source = stream.Signature(verdict_beat(GEOMETRY)).create()
        fork(m, source, [dispatcher.input, tap.input])
        beat = source.payload
        opened, misses_before, samples = Signal(), Signal(MISSES), Signal(NUMBER_BITS)
        opens, misses, number = opened, misses_before, samples
        self.taken = Signal()
        self.popular, self.number, self.ends = [], [], []
        for lane in range(LANES):
            new = Signal(MISSES, name=f"misses_of{lane}")
            m.d.comb += new.eq(Mux(opens, misses, self.misses[lane]))
            self.popular.append(new == 0)
            self.number.append(number)
            end = self.keep[lane] & self.last[lane]
            self.ends.append(end)
            m.d.comb += [
                beat.lanes[lane].valid.eq(self.keep[lane]), beat.lanes[lane].last.eq(self.last[lane]),
                beat.lanes[lane].payload.eq(self.marks[lane]), beat.lanes[lane].misses.eq(new),
            ]  # fmt: skip
            opens, misses, number = (
                Mux(self.keep[lane], ~self.last[lane], opens),
                Mux(self.keep[lane], new, misses),
                (number + end),
            )
        m.d.comb += [
            source.valid.eq(self.valid), beat.sample.eq(samples), beat.end.eq(self.end),
            self.taken.eq(self.valid & source.ready),
            dispatcher.popular.ready.eq(self.popular_ready), dispatcher.nonpopular.ready.eq(self.nonpopular_ready),
            tap.output.ready.eq(self.verdicts_ready),
        ]  # fmt: skip
        with m.If(self.taken):
            m.d.sync += [opened.eq(opens), misses_before.eq(misses), samples.eq(Mux(self.end, 0, number))]
        self.samples = Signal(range((1 << NUMBER_BITS) + LANES))  # of the mini-batch, including this beat
        m.d.comb += self.samples.eq(number)
        m.d.sync += [
            Assume(~self.end | ~opens, "a mini-batch ends with a sample"),
            Assume(self.samples < 1 << NUMBER_BITS, "a mini-batch has so many samples at most"),
        ]
        self.left = {side: getattr(dispatcher, side).valid & getattr(dispatcher, side).ready for side in SIDES}


class LookupsLeaveOnce(Source):
    """Ports besides those of the source: watch: watch the lookup of lane `choice` of this beat."""

    def __init__(self, dispatcher: type[BatchDispatcher] = BatchDispatcher, tap: type[VerdictTap] = VerdictTap) -> None:
        super().__init__(dispatcher, tap, {"watch": In(1), "choice": In(range(LANES))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self.source(m)
        dispatcher, tap = self.parts
        coming, leaving, inside = {}, {}, {}
        for side in SIDES:
            out = getattr(dispatcher, side).payload
            coming[side] = [self.keep[lane] & (self.popular[lane] == (side == "popular")) for lane in range(LANES)]
            leaving[side] = Signal(range(LANES + 1), name=f"leaving_{side}")
            inside[side] = Signal(range(MOST_INSIDE + 1), name=f"inside_{side}")
            m.d.comb += leaving[side].eq(Mux(self.left[side], out.count, 0))
            m.d.sync += [
                inside[side].eq(inside[side] + Mux(self.taken, sum(coming[side], Const(0)), 0) - leaving[side]),
                Assert(inside[side] <= MOST_INSIDE, "no more lookups inside than there is room for"),
                Assert(leaving[side] <= inside[side], "no more lookups leave than came"),
            ]

        # The watched lookup: how many are ahead of it on its stream.
        is_popular, value = Signal(), Signal(NUMBER_BITS + 2)
        watching, ahead = Signal(), Signal(range(MOST_INSIDE))
        values = [Cat(self.marks[lane], self.last[lane], Array(self.number)[lane]) for lane in range(LANES)]
        with m.If(~watching):
            with m.If(self.taken & self.watch & self.keep.bit_select(self.choice, 1)):
                m.d.sync += [
                    watching.eq(1),
                    value.eq(Array(values)[self.choice]),
                    is_popular.eq(Array(self.popular)[self.choice]),
                ]
                for lane in range(LANES):
                    with m.If(self.choice == lane):
                        for side in SIDES:
                            before = sum(coming[side][:lane], inside[side] - leaving[side])
                            with m.If(self.popular[lane] == (side == "popular")):
                                m.d.sync += ahead.eq(before)
        for side in SIDES:
            out = getattr(dispatcher, side).payload
            with m.If(watching & (is_popular == (side == "popular"))):
                with m.If(ahead >= leaving[side]):
                    m.d.sync += ahead.eq(ahead - leaving[side])
                with m.Else():
                    word = Array(out.words)[ahead]
                    left = Signal(64, name=f"word_{side}")
                    m.d.comb += left.eq(word)
                    m.d.sync += [
                        watching.eq(0),
                        Assert(Cat(left[0], left[63], left[SAMPLE_FIELD.low :][: SAMPLE_FIELD.width]) == value,
                               "the lookup that leaves is the one that came"),
                    ]  # fmt: skip

        # Verdicts leave with the beat.
        verdicts = tap.output.payload
        count = sum(self.ends, Const(0))
        told = Signal()
        m.d.comb += told.eq(tap.output.valid & self.verdicts_ready)
        m.d.sync += [
            Assert(told == (self.taken & ((count != 0) | self.end)), "a verdict for every end of a sample, once"),
            Assert(~told | (verdicts.count == count), "as many verdicts as samples that end"),
            Assert(~told | (verdicts.last == self.end), "the mini-batch's last verdicts are told"),
            Cover(watching & ~is_popular & (ahead == MOST_INSIDE - 2) & (inside["popular"] == 3), "many inside"),
        ]
        place = Const(0)
        for lane in range(LANES):
            m.d.sync += Assert(
                ~told | ~self.ends[lane] | (verdicts.bits.bit_select(place, 1) == self.popular[lane]), "its verdict"
            )
            place = place + self.ends[lane]
        return m


MOST_LOOKUPS = 3


class SamplesLeaveOnce(Source):
    """Further ports: watch: watch the mini-batch that begins. sample: the number of its watched sample, at first."""

    def __init__(self, dispatcher: type[BatchDispatcher] = BatchDispatcher, tap: type[VerdictTap] = VerdictTap) -> None:
        super().__init__(dispatcher, tap, {"watch": In(1), "sample": In(NUMBER_BITS)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self.source(m)
        dispatcher, tap = self.parts
        begun, watching, entering, chosen = Signal(), Signal(), Signal(), Signal(NUMBER_BITS)
        now = Signal()  # this beat is of the watched mini-batch
        of_it = Signal(NUMBER_BITS)
        m.d.comb += [
            now.eq(self.taken & (entering | (~watching & ~begun & self.watch))),
            of_it.eq(Mux(watching, chosen, self.sample)),
        ]
        with m.If(self.taken):
            m.d.sync += begun.eq(~self.end)
        with m.If(now):
            m.d.sync += [watching.eq(1), entering.eq(~self.end), chosen.eq(of_it)]

        # What came in.
        lookups, marks, popular, told = Signal(range(MOST_LOOKUPS + 1)), Signal(MOST_LOOKUPS), Signal(), Signal()
        after, marks_after = lookups, marks
        for lane in range(LANES):
            mine = now & self.keep[lane] & (self.number[lane] == of_it)
            marks_after = marks_after | Mux(mine & self.marks[lane], 1 << after, 0)[:MOST_LOOKUPS]
            after = after + mine
            with m.If(mine):
                m.d.sync += popular.eq(self.popular[lane])
        total, total_marks = Signal(range(MOST_LOOKUPS + LANES + 1)), Signal(MOST_LOOKUPS)
        m.d.comb += [total.eq(after), total_marks.eq(marks_after)]
        m.d.sync += [
            lookups.eq(total), marks.eq(total_marks),
            Assume(total <= MOST_LOOKUPS, "the sample that is watched has so many lookups at most"),
        ]  # fmt: skip

        # What leaves in the packets of that mini-batch.
        over = []
        for side in SIDES:
            out, left = getattr(dispatcher, side).payload, self.left[side]
            packets, ahead = Signal(range(5), name=f"packets_{side}"), Signal(range(5), name=f"ahead_{side}")
            seen, ended = Signal(range(MOST_LOOKUPS + 1), name=f"seen_{side}"), Signal(name=f"ended_{side}")
            gone = left & out.last
            m.d.sync += packets.eq(packets + (self.taken & self.end) - gone)
            here = Signal(name=f"here_{side}")
            m.d.comb += here.eq(left & watching & (ahead == 0) & ~ended)
            with m.If(now & ~watching):
                m.d.sync += ahead.eq(packets - gone)
            with m.Elif(watching & (ahead != 0)):
                m.d.sync += ahead.eq(ahead - gone)
            found = seen
            for place in range(LANES):
                word = Signal(64, name=f"word_{side}{place}")
                mine = Signal(name=f"mine_{side}{place}")
                of_word = word[SAMPLE_FIELD.low :][: SAMPLE_FIELD.width]
                m.d.comb += [
                    word.eq(out.words[place]), mine.eq(here & (place < out.count) & (of_word == chosen)),
                ]  # fmt: skip
                m.d.sync += [
                    Assert(~mine | (found < lookups), "no lookup of the sample more than came"),
                    Assert(~mine | (popular == (side == "popular")), "on the stream of its verdict"),
                    Assert(~mine | (word[0] == marks.bit_select(found, 1)), "in order"),
                    Assert(~mine | (word[63] == (told & (found + 1 == lookups))), "the last one is told"),
                ]
                found = found + mine
            total_seen = Signal(range(MOST_LOOKUPS + LANES + 1), name=f"total_{side}")
            m.d.comb += total_seen.eq(found)
            m.d.sync += seen.eq(total_seen)
            with m.If(here & out.last):
                m.d.sync += [
                    ended.eq(1),
                    Assert((total_seen == lookups) | (popular != (side == "popular")), "whole"),
                    Assert(~entering, "a packet ends behind its mini-batch"),
                ]
            over.append(ended)

        # Its verdict: bit `chosen` of the mini-batch's verdicts.
        verdicts = tap.output.payload
        before = Signal(range((1 << NUMBER_BITS) + LANES))
        at = Signal(range(LANES))
        leaves = tap.output.valid & self.verdicts_ready
        judged = now & leaves & (chosen_in := (of_it >= before) & (of_it < before + verdicts.count))
        m.d.comb += at.eq(of_it - before)
        with m.If(leaves):
            m.d.sync += before.eq(Mux(verdicts.last, 0, before + verdicts.count))
            with m.If(verdicts.last):
                m.d.sync += Assert(before + verdicts.count == self.samples, "as many verdicts as samples")
        mine_now = [self.keep[lane] & (self.number[lane] == of_it) for lane in range(LANES)]
        verdict = Signal()
        m.d.comb += verdict.eq(popular)
        for lane in range(LANES):
            with m.If(mine_now[lane]):
                m.d.comb += verdict.eq(self.popular[lane])
        with m.If(judged):
            m.d.sync += [
                told.eq(1),
                Assert(~told, "one verdict"),
                Assert(total != 0, "no verdict without a sample"),
                Assert(verdicts.bits.bit_select(at, 1) == verdict, "the verdict of the sample"),
            ]
        with m.If(now & self.end):
            m.d.sync += Assert((total == 0) | told | chosen_in, "a verdict in its mini-batch")
        m.d.sync += Cover(
            Cat(over).all() & (lookups == 3) & ~popular & (chosen == 1), "a sample of three lookups has left"
        )
        return m


def test_lookups_leave_once_for_all_time(tmp_path):
    prove(LookupsLeaveOnce(), tmp_path / "prove")
    cover(LookupsLeaveOnce(), tmp_path / "cover", cycles=10)


def test_samples_leave_once(tmp_path):
    """In six cycles up to four beats have left."""
    check(SamplesLeaveOnce(), tmp_path / "check", cycles=6)
    cover(SamplesLeaveOnce(), tmp_path / "cover", cycles=6)


BROKEN = [(LookupsLeaveOnce, "dispatcher", BatchDispatcher, name, DISPATCH[name]) for name in DISPATCH]
BROKEN += [(LookupsLeaveOnce, "tap", VerdictTap, name, TAP[name]) for name in TAP]
BROKEN += [(SamplesLeaveOnce, "dispatcher", BatchDispatcher, name, DISPATCH[name]) for name in WHOLE]


@pytest.mark.parametrize(
    ("proof", "part", "block", "mutant"),
    [(proof, part, block, mutant) for proof, part, block, _, mutant in BROKEN],
    ids=[f"{proof.__name__}, {name}" for proof, _, _, name, _ in BROKEN],
)
def test_what_loses_or_repeats_is_caught(proof, part, block, mutant, tmp_path):
    with pytest.raises(PropertyFailed):
        check(proof(**{part: mutated(block, *mutant)}), tmp_path, cycles=5)
