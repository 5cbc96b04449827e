"""PopularityBank: a pass gets the answers to its own lookups, in order, whatever scatter and gather do.

The proof watches one lookup, chosen freely among all (as in test_queues.py). An echo stands in for the tracker. It
answers each lookup with a part of its tag, so the answer of the watched lookup can be told from others. What the
tracker answers is proven in test_sample_aware.py.

It is a proof by induction: where lookups are (bank_inside.py) is asserted too. Mutants are to be caught without that.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from amaranth.hdl import Array, Assert, Assume, Cat, Const, Cover, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hotline_hw.core.bank.bank import PopularityBank
from hotline_hw.core.bank.intake import BankIntake
from hotline_hw.core.bank.sample_aware import SampleAwareTracker
from hotline_hw.spec.params import Geometry
from hotline_sim.formal import PropertyFailed, check, cover, induct
from tests.formal.bank_inside import Inside
from tests.formal.bank_parts import row_bits, rows_of
from tests.formal.dma_parts import with_parts
from tests.formal.inside import elaborated, keep_signals
from tests.formal.mutants import mutated

GEOMETRY = Geometry(
    lanes=2, banks=2, sets=2, ways=2, counter_bits=2, max_moves=1, table_bits=1, row_bits=5, bank_ports=2,
    queue_depth=4, beat_depth=4,
)  # fmt: skip


class Echo(SampleAwareTracker):
    """A tracker that knows nothing: a lookup's slot is the low bits of its tag. A bank works with any latency."""

    LATENCY = 3

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stages = [(self.valid, self.tag)]
        for stage in range(self.LATENCY):
            valid, tag = Signal(name=f"valid{stage}"), Signal(self.geometry.tag_bits, name=f"tag{stage}")
            m.d.sync += [valid.eq(stages[-1][0]), tag.eq(stages[-1][1])]
            stages.append((valid, tag))
        m.d.comb += [self.answer_valid.eq(stages[-1][0]), self.answer_slot.eq(stages[-1][1])]
        return m


def seen_echo(geometry: Geometry) -> Echo:
    """One that can be looked into."""
    echo = Echo(geometry)
    echo.inside = elaborated(echo, keep_signals(echo, "elaborate"))
    return echo


class AnswersKeepTheirOrder(wiring.Component):
    """A bank between a free scatter and a free gather, which keep their sides of the contract.

    Ports:
        scatter, tags, pass_load, take, awaited, advance, fetch: as in `PopularityBank`.
        watch, choice: watch the lookup of lane `choice` of the pass that goes in.
        rows: what reaches the tracker's rows. The echo has none.

    Args:
        look_inside: assert where every lookup is, too.
    """

    def __init__(
        self, geometry: Geometry, dut: type[PopularityBank] = PopularityBank, look_inside: bool = False
    ) -> None:
        self.geometry, self.dut, self.look_inside = geometry, dut, look_inside
        super().__init__(
            {
                "scatter": In(geometry.lanes),
                "tags": In(geometry.tag_bits).array(geometry.lanes),
                "pass_load": In(1),
                "take": In(1),
                "awaited": In(range(geometry.bank_ports + 1)),
                "advance": In(1),
                "fetch": In(1),
                "watch": In(1),
                "choice": In(range(geometry.lanes)),
                "rows": In(row_bits(geometry)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        block = Inside.block(seen_echo) if self.look_inside else with_parts(self.dut, SampleAwareTracker=Echo)
        m.submodules.dut = dut = block(g)
        lanes = range(g.lanes)
        m.d.comb += [
            dut.scatter.eq(self.scatter), dut.pass_load.eq(self.pass_load), dut.take.eq(self.take),
            dut.awaited.eq(self.awaited), dut.advance.eq(self.advance), dut.fetch.eq(self.fetch),
            rows_of(dut, g).eq(self.rows),
        ]  # fmt: skip

        # Ranks count this bank's lanes from the lowest. Other lanes may have any rank: here, their own number.
        ranks = [Mux(self.scatter[lane], sum(self.scatter[:lane], Const(0)), lane) for lane in lanes]
        for rank, lanes_of_rank in enumerate(dut.rank_is):
            m.d.comb += lanes_of_rank.eq(Cat(of_lane == rank for of_lane in ranks))
        for ours, theirs in zip(dut.tags, self.tags, strict=True):
            m.d.comb += ours.eq(theirs)

        # The pass that waits to go in.
        count = range(g.bank_ports + 1)
        waits, asks = Signal(), Signal(count)
        pass_lanes, pass_ranks = Signal(g.lanes), [Signal(range(g.lanes + 1), name=f"rank{lane}") for lane in lanes]
        pass_tags = [Signal(g.tag_bits, name=f"tag{lane}") for lane in lanes]
        with m.If(self.pass_load):
            m.d.sync += [
                waits.eq(1), asks.eq(sum(self.scatter)), pass_lanes.eq(self.scatter),
                *(there.eq(here) for there, here in zip(pass_ranks, ranks, strict=True)),
                *(there.eq(here) for there, here in zip(pass_tags, self.tags, strict=True)),
            ]  # fmt: skip
        with m.Elif(self.take):
            m.d.sync += waits.eq(0)

        # The lookups inside, and how many of them the current pass waits for.
        inside, fetched = Signal(range(g.queue_depth + 1)), Signal(count)
        wanted, current = Signal(count), Signal()
        roomless = Signal(2)
        m.d.comb += fetched.eq(Mux(self.fetch, wanted, 0))
        m.d.sync += [
            inside.eq(inside + Mux(self.take, asks, 0) - fetched),
            Assume(~self.take | (waits & dut.room), "a pass goes where there is room"),
            Assume(~self.pass_load | ~waits | self.take, "a pass waits until it goes in"),
            Assume(~self.fetch | (current & dut.ready), "answers are fetched once they are there"),
            Assume(~self.advance | ~current | self.fetch, "a pass is current until its answers are fetched"),
            Assume(~self.fetch | self.advance, "the next pass follows a pass that is fetched, or none does"),
            Assume(self.awaited <= g.bank_ports, "no more than a pass has"),
            Assume(~self.advance | (self.awaited <= inside - fetched), "a pass is gathered after it was scattered"),
            Assert(~waits | (dut.asked == asks), "how many lookups of the pass are the bank's"),
            roomless.eq(Mux(~waits | dut.room | (inside > g.queue_depth - g.bank_ports), 0, roomless + 1)),
            Assert(roomless < 3, "room as long as a pass is sure to fit"),
        ]
        with m.If(self.advance):
            m.d.sync += [current.eq(1), wanted.eq(self.awaited)]

        # The watched lookup: what the echo answers to it, and how many answers are ahead of its own.
        watching, home, ahead = Signal(), Signal(g.slot_bits), Signal(range(g.queue_depth))
        out, out_home, out_rank = Signal(), Signal(g.slot_bits), Signal(range(g.queue_depth))
        with m.If(~watching):
            with m.If(self.take & self.watch & Array(pass_lanes)[self.choice]):
                m.d.sync += [
                    watching.eq(1),
                    home.eq(Array(pass_tags)[self.choice]),
                    ahead.eq(inside - fetched + Array(pass_ranks)[self.choice]),
                ]
        with m.Elif(ahead >= fetched):
            m.d.sync += ahead.eq(ahead - fetched)
        with m.Else():
            m.d.sync += [watching.eq(0), out.eq(1), out_rank.eq(ahead), out_home.eq(home)]
        with m.If(out):
            slot = Array(dut.heads[rank].slot for rank in range(g.bank_ports))[out_rank]
            m.d.sync += Assert(slot == out_home, "the answer is the watched lookup's, until others are fetched")
            with m.If(self.fetch & ~(watching & (ahead < fetched))):
                m.d.sync += out.eq(0)

        patience = Signal(4)
        longest = g.queue_depth + Echo.LATENCY
        if self.look_inside:
            waiting = SimpleNamespace(valid=waits, lanes=pass_lanes, ranks=pass_ranks, tags=pass_tags)
            watched = SimpleNamespace(valid=watching, ahead=ahead, home=home, out=out, rank=out_rank)
            within = Inside(m, g, dut)
            within.state(waiting, inside, wanted, current, watched, roomless, patience, longest)
        m.d.sync += [
            patience.eq(Mux(current & ~dut.ready, patience + 1, 0)),
            Assert(patience <= longest, "answers come"),
            Cover(watching & (ahead == g.queue_depth - 1) & home.any(), "full, the watched one last"),
        ]
        return m


def test_answers_keep_their_order(tmp_path):
    induct(AnswersKeepTheirOrder(GEOMETRY, look_inside=True), tmp_path / "prove", cycles=2)
    cover(AnswersKeepTheirOrder(GEOMETRY), tmp_path / "cover", cycles=16)


MUTANTS = {
    "room is granted too long": (BankIntake, "init=g.queue_depth - g.bank_ports)", "init=g.queue_depth - 1)"),
    "room is granted too seldom": (BankIntake, "less < 0, more < 0", "less < 2, more < 2"),
    "places are lost": (BankIntake, "spare + freed - self.asked)", "spare - self.asked)"),
    "one answer will do": (PopularityBank, "self.ready.eq(margin >= 0)", "self.ready.eq(margin >= -1)"),
    "answers that are wanted are forgotten": (PopularityBank, "margin + come - self.awaited,", "margin + come,"),
    "lookups of other banks slip in": (BankIntake, "choice.eq(self.lanes & self.rank_is[port])",
                                       "choice.eq(self.rank_is[port])"),
    "lookups are chosen too late": (BankIntake, "with m.If(self.load):\n                m.d.sync += chosen",
                                    "with m.If(self.take):\n                m.d.sync += chosen"),
    "the heads move on": (PopularityBank, "with m.If(self.fetch):", "with m.If(1):"),
}  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_bank_is_caught(mutant, tmp_path):
    part, right, wrong = MUTANTS[mutant]
    broken = mutated(part, right, wrong)
    bank = broken if part is PopularityBank else with_parts(PopularityBank, BankIntake=broken)
    with pytest.raises(PropertyFailed):
        check(AnswersKeepTheirOrder(GEOMETRY, bank), tmp_path, cycles=16)
