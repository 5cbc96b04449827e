"""ReadEngine: every burst's beats leave once, in order, as the memory gave them, in whatever order memory answers.

The engine may be reset at any time, and the memory with it or not. No beat of a burst from before a reset leaves
afterwards: the data of these beats is 1, as that of the watched beat. They count as outstanding until they have come.

Free bursts stand in for BurstCutter and BurstJudge, which are proven in test_dma_cut.py and test_dma_windows.py. One
burst is watched, chosen freely among all, and one beat of it. The data of this beat is 1, that of all others is 0. The
engine does not look at data, so the proof holds for every beat.

It is a proof by induction: what the engine holds inside (read_inside.py) is asserted too. Mutants are to be caught
without that, by what can be seen from outside.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Array, Assert, Cat, Cover, Elaboratable, Module, Mux, ResetInserter, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from hotline_hw.shell.bus.cut import BurstCutter, read_burst
from hotline_hw.shell.bus.judge import BurstJudge
from hotline_hw.shell.bus.read import ReadEngine
from hotline_hw.shell.bus.windows import PAGE_BITS, WindowCheck
from hotline_hw.shell.layouts import Fault
from hotline_hw.spec.params import Geometry
from hotline_sim.formal import PropertyFailed, check, cover, induct
from tests.formal.dma_parts import geometry
from tests.formal.mutants import mutated
from tests.formal.read_inside import Inside

STUCK = 4  # cycles
READ_FIELDS = ("first", "count", "target", "last", "fault")


class NoCutter(BurstCutter):
    """Stands in for the cutter. It has no bursts."""

    def elaborate(self, platform: object) -> Module:
        return Module()


class FreeJudge(BurstJudge):
    """Stands in for the judge, which is proven in test_dma_windows.py. Its burst is `free`. There are two pages. Bit p
    of the first window's `pages` says whether page p may be read."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(read_burst(geometry), WindowCheck(1), write=False)
        self.check._MustUse__silence = True
        self.free, self.free_valid = Signal(self.output.payload.shape()), Signal()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        page = self.free.at[PAGE_BITS - (64 - len(self.free.at)) :]
        m.d.comb += [
            self.output.payload.eq(self.free),
            self.output.valid.eq(self.free_valid),
            self.busy.eq(self.free_valid),
            self.inside.eq(self.windows[0].pages.bit_select(page[0], 1)),
        ]
        return m


class ReadsAreInOrder(wiring.Component):
    """Ports:
    valid, burst, page: the burst that is due, and its page. open: the page that may be read. abort: free.
    watch, marked: watch this burst, and its beat `marked`. ready: the user takes a beat.
    arready, answer, id, failed: what the memory does.
    reset: the engine is reset, and all that is watched is forgotten. forget: the memory is reset too.

    Args:
        look_inside: assert what the engine holds inside, too.
    """

    def __init__(self, geometry: Geometry, dut: type[ReadEngine] = ReadEngine, look_inside: bool = False) -> None:
        self.geometry, self.dut, self.look_inside = geometry, dut, look_inside
        self.beat_shift = (geometry.axi_bits // 8).bit_length() - 1
        granule = range(geometry.granules)
        burst = data.StructLayout({"len": 1, "first": granule, "end": granule, "target": 1, "last": 1, "page": 1})
        super().__init__(
            {
                "valid": In(1), "burst": In(burst), "open": In(2), "abort": In(1), "watch": In(1), "marked": In(1),
                "ready": In(1), "arready": In(1), "answer": In(1), "id": In(geometry.tag_id_bits), "failed": In(1),
                "reset": In(1), "forget": In(1),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Elaboratable:
        return ResetInserter(self.reset)(self._property())  # the memory's signals have no reset

    def _property(self) -> Module:
        m = Module()
        g = self.geometry
        judge = FreeJudge(g)
        parts = {"BurstJudge": lambda *_, **__: judge, "BurstCutter": NoCutter, "WindowCheck": lambda _: None}
        self.inside = Inside(m, g, self.dut, parts, self.look_inside)
        dut = self.inside.dut
        out, free, source = dut.data.payload, judge.free, self.burst
        watching, watch_now = Signal(), Signal()
        m.d.comb += [
            judge.free_valid.eq(self.valid), watch_now.eq(self.watch & ~watching),
            free.at.eq((source.page << (PAGE_BITS - self.beat_shift)) | watch_now),
            *(free[name].eq(source[name]) for name in ("len", "first", "end", "target", "last")),
            dut.windows[0].pages.eq(self.open), dut.abort.eq(self.abort),
            dut.data.ready.eq(self.ready), dut.arready.eq(self.arready),
            dut.bus_rst.eq(self.reset & self.forget),
        ]  # fmt: skip
        taken, left, refused = Signal(), Signal(), Signal()
        m.d.comb += [
            taken.eq(judge.output.valid & judge.output.ready),
            left.eq(dut.data.valid & dut.data.ready),
            refused.eq(self.abort | ~self.open.bit_select(source.page, 1)),
        ]
        chosen, outstanding = self._memory(m, dut)

        # The beats inside. Of the watched burst: how many beats are ahead of it, and which of its beats is next.
        inside, ahead, number = Signal(range(2 * g.read_tags + 2)), Signal(range(2 * g.read_tags + 2)), Signal()
        watched = Signal(data.StructLayout({**source.shape().members, "refused": 1, "failed": 2, "marked": 1}))
        spot = Signal.like(self.inside.newest)  # where it is among the bursts under way
        m.d.sync += [
            inside.eq(inside + Mux(taken, source.len + 1, 0) - left),
            Assert(~dut.data.valid | (inside != 0), "a beat is of a burst"),
            Assert(dut.idle == ((inside == 0) & ~self.valid), "idle means that nothing is inside"),
        ]
        with m.If(~watching):
            with m.If(taken & self.watch):
                m.d.sync += [watching.eq(1), ahead.eq(inside - left), number.eq(0), spot.eq(self.inside.newest)]
                m.d.sync += [watched[name].eq(source[name]) for name in source.shape().members]
                m.d.sync += [watched.refused.eq(refused), watched.failed.eq(0), watched.marked.eq(self.marked)]
        with m.Elif(ahead != 0):
            m.d.sync += ahead.eq(ahead - left)
        with m.If(dut.rvalid & chosen.mine):
            m.d.sync += watched.failed.bit_select(chosen.number, 1).eq(self.failed)
        m.d.comb += dut.rdata.eq(Mux(chosen.stale, 1, chosen.mine & (chosen.number == watched.marked)))
        due = watching & (ahead == 0) & (number == watched.marked)
        m.d.sync += Assert(~dut.data.valid | ~out.data[0] | due, "no beat is from before a reset")

        ended, first, end, fault = Signal(), Signal.like(out.count), Signal.like(out.count), Signal()
        m.d.comb += [
            ended.eq(number == watched.len),
            first.eq(Mux(number == 0, watched.first, 0)),
            end.eq(Mux(ended, watched.end, g.granules - 1)),
            fault.eq(watched.refused | watched.failed.bit_select(number, 1)),
        ]
        with m.If(watching & (ahead == 0) & left):
            m.d.sync += [watching.eq(~ended), number.eq(number + 1)]
        with m.If(watching & (ahead == 0) & dut.data.valid):
            m.d.sync += [
                Assert(out.first == first, "the beat begins where it is asked for"),
                Assert(out.count == (end - first + 1)[: len(out.count)], "it has what is asked for"),
                Assert(out.target.as_value()[0] == watched.target, "it is for whom it is asked for"),
                Assert(out.last == (ended & watched.last), "last with the last"),
                Assert(out.fault == fault, "what could not be read is told, and nothing else"),
                Assert(out.data[0] == (~fault & (number == watched.marked)), "the data is its own"),
            ]
        self.inside.watched(spot, watching, ahead, number, watched, inside)
        self._rules(m, dut, taken & refused, watch_now, dut.rvalid & self.failed & ~chosen.stale, chosen.mine)
        stuck = Signal(range(STUCK + 2))
        waits = (inside == 0) & ~self.valid
        self.inside.stuck(stuck, outstanding, inside)
        m.d.sync += [
            stuck.eq(Mux(waits | dut.data.valid | outstanding | dut.quiescing, 0, stuck + (stuck <= STUCK))),
            Assert(stuck <= STUCK, "it goes on unless the memory or the user keeps it"),
            Cover(watching & (ahead == 0) & left & ended & out.data[0] & (inside == 4), "the watched burst, with more"),
        ]
        return m

    def _memory(self, m: Module, dut: ReadEngine) -> tuple:
        """Keeps what is to be read under each id. Answers a beat of any id, or none. Returns the entry that may be
        answered, and whether reads are outstanding. A reset of the engine makes all that it has asked for stale."""
        g = self.geometry
        entry = data.StructLayout({"valid": 1, "more": 1, "number": 1, "mine": 1, "stale": 1})
        entries = Array(Signal(entry, name=f"entry{index}", reset_less=True) for index in range(g.read_tags))
        stale = Signal(reset_less=True)  # what is offered is from before a reset
        chosen, asked = entries[self.id], entries[dut.arid]
        outstanding = Signal()
        m.d.comb += [
            dut.rvalid.eq(self.answer & chosen.valid), dut.rid.eq(self.id), dut.rresp.eq(self.failed << 1),
            dut.rlast.eq(~chosen.more), outstanding.eq(Cat(entry.valid for entry in entries).any() | dut.arvalid),
        ]  # fmt: skip
        with m.If(dut.rvalid):
            m.d.sync += [chosen.valid.eq(chosen.more), chosen.more.eq(0), chosen.number.eq(1)]
        with m.If(dut.arvalid & dut.arready):
            m.d.sync += [
                asked.valid.eq(1), asked.more.eq(dut.arlen[0]), asked.number.eq(0),
                asked.mine.eq(dut.araddr[self.beat_shift] & ~stale), asked.stale.eq(stale),
                Assert(~asked.valid, "an id is of one read at a time"),
            ]  # fmt: skip
        with m.If(self.reset):
            m.d.sync += [entry.stale.eq(1) for entry in entries] + [entry.mine.eq(0) for entry in entries]
        with m.If(self.reset & self.forget):
            m.d.sync += [entry.valid.eq(0) for entry in entries]
        m.d.sync += [
            stale.eq(self.reset | (stale & dut.arvalid & ~dut.arready)),
            Assert(dut.outstanding == outstanding, "outstanding"),
            Assert(~dut.rvalid | dut.rready, "there is room for what was asked for"),
        ]
        self.inside.state(entries, stale)
        return chosen, outstanding

    def _rules(self, m: Module, dut: ReadEngine, refused, refused_mine, failed, failed_mine) -> None:
        """Checks the rule of the stream, and faults."""
        out = dut.data.payload
        seen = Cat(out.data[0], *(out[name].as_value() if name == "target" else out[name] for name in READ_FIELDS))
        held, before = Signal(), Signal(len(seen))
        kind, mine = Signal(Fault), Signal()
        late, late_mine = Signal(), Signal()  # what the bus answers is told a cycle later than what is refused
        self.inside.faults(late, late_mine)
        m.d.sync += [
            held.eq(dut.data.valid & ~dut.data.ready),
            before.eq(seen),
            Assert(~held | (dut.data.valid & (seen == before)), "a beat that is offered stays"),
            late.eq(failed),
            late_mine.eq(failed_mine),
            kind.eq(Mux(late, Fault.BUS, Mux(refused, Mux(self.abort, Fault.ABORT, Fault.WINDOW), Fault.NONE))),
            mine.eq(Mux(late, late_mine, refused_mine)),
            Assert(~(late & refused), "one fault at a time"),
            Assert(dut.fault.kind == kind, "faults are told, each of its kind"),
            Assert((kind == Fault.NONE) | (dut.fault.address[self.beat_shift] == mine), "and where"),
        ]


# Bursts wait either for ids (two bursts fit the buffer) or for room (only one fits). With four ids, for both.
@pytest.mark.parametrize(
    ("axi_bits", "tags", "beats"),
    [(128, 2, 4), (256, 2, 4), (128, 2, 2), (256, 2, 8), pytest.param(128, 4, 4, marks=pytest.mark.slow)],
)
def test_reads_are_whole_and_in_order(axi_bits, tags, beats, tmp_path):
    engine = geometry(axi_bits, read_tags=tags, read_beats=beats)
    induct(ReadsAreInOrder(engine, look_inside=True), tmp_path, cycles=2)


def test_it_can_be_full(tmp_path):
    cover(ReadsAreInOrder(geometry(256)), tmp_path, cycles=24)


MUTANTS = {
    "no room is waited for": ("(places + burst.len < g.read_beats)", "(places < g.read_beats)"),
    "more bursts than ids": ("((newest ^ oldest_burst) != g.read_tags)", "1"),
    "an address is withdrawn": ("with m.If(~offered | self.arready):", "with m.If(1):"),
    "beats in the order they came": ("(marked.data != oldest[-1])", "1"),
    "a place stays filled": ("(marked.data != oldest[-1])", "marked.data"),
    "an id's beats all in one place": ("after.data.place.eq(place + 1)", "after.data.place.eq(place)"),
    "an id begins where it ended": ("first.data.turn.eq(~turn_read.data)", "first.data.turn.eq(turn_read.data)"),
    "an id begins with each beat": (
        "after.data.turn.eq(~clearing & first_read.data.turn)",
        "after.data.turn.eq(0)",
    ),
    "a refused burst takes places": ("freed.eq(going & ~head.data.refused)", "freed.eq(going)"),
    "SLVERR passes": ("fill.data.fault.eq(self.rresp[1])", "fill.data.fault.eq(0)"),
    "two faults in a cycle": ("refuse.eq(ready & ~may & ~bus_fault)", "refuse.eq(ready & ~may)"),
    "idle too soon": ("~some & ~self.data.valid)", "~some)"),
    "data that waits is overwritten": ("fetch.en.eq(going)", "fetch.en.eq(1)"),
    "late beats are kept": ("came.eq(self.rvalid & ~self.quiescing)", "came.eq(self.rvalid)"),
    "what is outstanding is forgotten": ("due = Signal.like(places, reset_less=True)", "due = Signal.like(places)"),
    "asked for before the late beats came": ("!= g.read_tags) & ~self.quiescing", "!= g.read_tags)"),
    "late faults are told": ("bus_fault.eq(came & self.rresp[1])", "bus_fault.eq(self.rvalid & self.rresp[1])"),
    "awaited though memory was reset": ("            m.d.sync += due.eq(0)\n", "            pass\n"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_reorder_buffer_is_caught(mutant, tmp_path):
    with pytest.raises(PropertyFailed):
        # With four ids the buffer is full before they are used up.
        check(ReadsAreInOrder(geometry(256, read_tags=4), mutated(ReadEngine, *MUTANTS[mutant])), tmp_path, cycles=21)


def test_a_buffer_that_is_filled_while_it_is_cleared_is_caught(tmp_path):
    broken = mutated(ReadEngine, "quiescing & (clearing | (due != 0))", "quiescing & (due != 0)")
    with pytest.raises(PropertyFailed):
        check(ReadsAreInOrder(geometry(128, read_beats=8), broken), tmp_path, cycles=18)
