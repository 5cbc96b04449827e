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
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.layouts import MISS_BITS, verdict_beat
from hotline_hw.core.output.compactor import BeatCompactor
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
MOST_INSIDE = 3 * LANES  # words of a stream inside: a beat, a residue and an output beat
MOST_VERDICTS = 3  # beats of verdicts inside: a skid buffer and an output beat
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
                beat.lanes[lane].ordinal.eq(sum(self.ends[:lane], Const(0))),
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
        dispatcher, _ = self.parts
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

        m.d.sync += Cover(watching & ~is_popular & (ahead == MOST_INSIDE - 2) & (inside["popular"] == 3), "many inside")
        return m


class VerdictsLeaveOnce(Source):
    """A beat that ends a sample or a mini-batch leaves one beat of verdicts, in order."""

    def __init__(self, dispatcher: type[BatchDispatcher] = BatchDispatcher, tap: type[VerdictTap] = VerdictTap) -> None:
        super().__init__(dispatcher, tap, {})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self.source(m)
        _, tap = self.parts

        # What is due, the oldest at the bottom.
        verdicts = tap.output.payload
        due = data.StructLayout({"count": range(LANES + 1), "bits": LANES, "last": 1})
        coming, queue = Signal(due), Signal(data.ArrayLayout(due, MOST_VERDICTS + 1))
        level, told, comes = Signal(range(MOST_VERDICTS + 2)), Signal(), Signal()
        first = self.ends[0] & self.popular[0]
        second = self.ends[1] & self.popular[1]
        m.d.comb += [
            told.eq(tap.output.valid & self.verdicts_ready),
            comes.eq(self.taken & (Cat(self.ends).any() | self.end)),
            coming.count.eq(sum(self.ends, Const(0))),
            coming.bits.eq(Mux(self.ends[0], Cat(first, second), second)),
            coming.last.eq(self.end),
        ]
        places = range(MOST_VERDICTS + 1)
        for place in places:
            after = queue[place + 1] if place + 1 in places else coming
            m.d.sync += queue[place].eq(Mux(level - told == place, coming, Mux(told, after, queue[place])))
        m.d.sync += [
            level.eq(level + comes - told),
            Assert(level <= MOST_VERDICTS, "no more beats of verdicts inside than there is room for"),
            Assert(~told | (level != 0), "a verdict for every end of a sample, once"),
            Assert(tap.busy | (level == 0), "busy while a verdict is inside"),
            Assert(~told | (verdicts.count == queue[0].count), "as many verdicts as samples that end"),
            Assert(~told | (verdicts.last == queue[0].last), "the mini-batch's last verdicts are told"),
            Assert(~told | (verdicts.bits == queue[0].bits), "its verdict"),
            Cover((level == MOST_VERDICTS) & told, "as many inside as there is room for"),
        ]
        waits = Signal(2)
        m.d.sync += [
            waits.eq(Mux((level != 0) & ~tap.output.valid, waits + 1, 0)),
            Assert(waits < 2, "a verdict leaves"),
        ]
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
        lookups, marks, popular, closed = Signal(range(MOST_LOOKUPS + 1)), Signal(MOST_LOOKUPS), Signal(), Signal()
        after, marks_after = lookups, marks
        for lane in range(LANES):
            mine = now & self.keep[lane] & (self.number[lane] == of_it)
            marks_after = marks_after | Mux(mine & self.marks[lane], 1 << after, 0)[:MOST_LOOKUPS]
            after = after + mine
            with m.If(mine):
                m.d.sync += [popular.eq(self.popular[lane]), closed.eq(self.ends[lane])]
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
                    Assert(~mine | (word[63] == (closed & (found + 1 == lookups))), "the last one is told"),
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
        leaves = tap.output.valid & self.verdicts_ready
        batches, ahead = Signal(range(MOST_VERDICTS + 2)), Signal(range(MOST_VERDICTS + 2), name="verdicts_ahead")
        before, samples = Signal(range((1 << NUMBER_BITS) + LANES)), Signal(range((1 << NUMBER_BITS) + LANES))
        at, told, all_told = Signal(range(LANES)), Signal(), Signal()
        gone = leaves & verdicts.last
        m.d.sync += batches.eq(batches + (self.taken & self.end) - gone)
        with m.If(now & ~watching):
            m.d.sync += ahead.eq(batches - gone)
        with m.Elif(watching & (ahead != 0)):
            m.d.sync += ahead.eq(ahead - gone)
        with m.If(now & self.end):
            m.d.sync += samples.eq(self.samples)
        here = Signal(name="here_verdicts")
        judged = here & (chosen >= before) & (chosen < before + verdicts.count)
        m.d.comb += [at.eq(chosen - before), here.eq(leaves & watching & (ahead == 0) & ~all_told)]
        with m.If(here):
            m.d.sync += before.eq(before + verdicts.count)
            with m.If(verdicts.last):
                m.d.sync += [
                    all_told.eq(1),
                    Assert(before + verdicts.count == samples, "as many verdicts as samples"),
                    Assert((lookups == 0) | told | judged, "a verdict in its mini-batch"),
                ]
        with m.If(judged):
            m.d.sync += [
                told.eq(1),
                Assert(~told, "one verdict"),
                Assert(lookups != 0, "no verdict without a sample"),
                Assert(verdicts.bits.bit_select(at, 1) == popular, "the verdict of the sample"),
            ]
        m.d.sync += Cover(
            Cat(over).all() & (lookups == 3) & ~popular & (chosen == 1), "a sample of three lookups has left"
        )
        return m


class UnregisteredCompactor(BeatCompactor):
    """As in test_compactor.py: without the pipeline before the residue."""

    REGISTERED = False


class Wire(wiring.Component):
    """In place of a SkidBuffer, which is shown to be a queue in test_skid_buffer.py."""

    def __init__(self, shape: object) -> None:
        super().__init__({"input": In(stream.Signature(shape)), "output": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        wiring.connect(m, wiring.flipped(self.input), wiring.flipped(self.output))
        return m


def unregistered(dispatcher: type[BatchDispatcher]) -> type[BatchDispatcher]:
    """`dispatcher` without what only delays. Proofs of the rest are feasible then."""
    return type("Unregistered", (dispatcher,), {"ENTRY": Wire, "COMPACTOR": UnregisteredCompactor})


DISPATCHER = unregistered(BatchDispatcher)


def test_lookups_leave_once_for_all_time(tmp_path):
    prove(LookupsLeaveOnce(DISPATCHER), tmp_path / "prove")
    cover(LookupsLeaveOnce(DISPATCHER), tmp_path / "cover", cycles=12)


def test_verdicts_leave_once_for_all_time(tmp_path):
    prove(VerdictsLeaveOnce(DISPATCHER), tmp_path / "prove")
    cover(VerdictsLeaveOnce(DISPATCHER), tmp_path / "cover", cycles=10)


def test_samples_leave_once(tmp_path):
    """In seven cycles up to four beats have left. With all registers a sample leaves in fourteen."""
    check(SamplesLeaveOnce(DISPATCHER), tmp_path / "check", cycles=7)
    cover(SamplesLeaveOnce(), tmp_path / "cover", cycles=14)


BROKEN = [(LookupsLeaveOnce, "dispatcher", BatchDispatcher, name, DISPATCH[name]) for name in DISPATCH]
BROKEN += [(VerdictsLeaveOnce, "tap", VerdictTap, name, TAP[name]) for name in TAP]
BROKEN += [(SamplesLeaveOnce, "dispatcher", BatchDispatcher, name, DISPATCH[name]) for name in WHOLE]


@pytest.mark.parametrize(
    ("proof", "part", "block", "mutant"),
    [(proof, part, block, mutant) for proof, part, block, _, mutant in BROKEN],
    ids=[f"{proof.__name__}, {name}" for proof, _, _, name, _ in BROKEN],
)
def test_what_loses_or_repeats_is_caught(proof, part, block, mutant, tmp_path):
    broken = mutated(block, *mutant)
    parts = {"dispatcher": unregistered(broken)} if part == "dispatcher" else {"dispatcher": DISPATCHER, part: broken}
    with pytest.raises(PropertyFailed):
        check(proof(**parts), tmp_path, cycles=8)
