"""PopularityBank: a pass gets the answers to its own lookups, in order, whatever scatter and gather do.

The proof watches one lookup, chosen freely among all (as in test_queues.py). An echo stands in for the tracker. It
answers each lookup with a part of its tag, so the answer of the watched lookup can be told from others. What the
tracker answers is proven in test_sample_aware.py.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Array, Assert, Assume, Cat, Const, Cover, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hotline_hw.core.bank.bank import PopularityBank
from hotline_hw.core.bank.sample_aware import SampleAwareTracker
from hotline_hw.spec.params import Geometry
from hotline_sim.formal import PropertyFailed, check, cover, prove
from tests.formal.dma_parts import with_parts
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


class AnswersKeepTheirOrder(wiring.Component):
    """A bank between a free scatter and a free gather, which keep their sides of the contract.

    Ports:
        scatter, tags, take, gather, gather_load, fetch: as in `PopularityBank`.
        watch, choice: watch the lookup of lane `choice` of this pass.
    """

    def __init__(self, geometry: Geometry, dut: type[PopularityBank] = PopularityBank) -> None:
        self.geometry, self.dut = geometry, dut
        super().__init__(
            {
                "scatter": In(geometry.lanes),
                "tags": In(geometry.tag_bits).array(geometry.lanes),
                "take": In(1),
                "gather": In(geometry.lanes),
                "gather_load": In(1),
                "fetch": In(1),
                "watch": In(1),
                "choice": In(range(geometry.lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        m.submodules.dut = dut = with_parts(self.dut, SampleAwareTracker=Echo)(g)
        lanes = range(g.lanes)
        m.d.comb += [
            dut.scatter.eq(self.scatter), dut.take.eq(self.take),
            dut.gather.eq(self.gather), dut.gather_load.eq(self.gather_load), dut.fetch.eq(self.fetch),
        ]  # fmt: skip

        # Ranks count this bank's lanes from the lowest. Other lanes may have any rank: here, their own number.
        def drive_ranks(rank_is: list[Signal], mine: Signal) -> list[Value]:
            ranks = [Mux(mine[lane], sum(mine[:lane], Const(0)), lane) for lane in lanes]
            for rank, lanes_of_rank in enumerate(rank_is):
                m.d.comb += lanes_of_rank.eq(Cat(of_lane == rank for of_lane in ranks))
            return ranks

        ranks = drive_ranks(dut.rank_is, self.scatter)
        drive_ranks(dut.gather_rank_is, self.gather)
        for ours, theirs in zip(dut.tags, self.tags, strict=True):
            m.d.comb += ours.eq(theirs)

        # The lookups inside, and how many of them the current pass wants.
        inside, taken, fetched = (
            Signal(range(g.queue_depth + 1)),
            Signal(range(g.lanes + 1)),
            Signal(range(g.bank_ports + 1)),
        )
        wanted, current, next_wanted = Signal(range(g.bank_ports + 1)), Signal(), Signal(range(g.bank_ports + 1))
        m.d.comb += [
            taken.eq(Mux(self.take, sum(self.scatter), 0)),
            next_wanted.eq(sum(self.gather)),
            fetched.eq(Mux(self.fetch, wanted, 0)),
        ]
        m.d.sync += [
            inside.eq(inside + taken - fetched),
            Assume(~self.take | dut.room, "a pass goes where there is room"),
            Assume(~self.fetch | (current & dut.ready), "answers are fetched once they are there"),
            Assume(~self.gather_load | ~current | self.fetch, "a pass is current until its answers are fetched"),
            Assume(~self.gather_load | (next_wanted <= inside - fetched), "a pass is gathered after it was scattered"),
            Assert(dut.room | (inside > g.queue_depth - g.bank_ports), "room as long as a pass is sure to fit"),
        ]
        with m.If(self.gather_load):
            m.d.sync += [current.eq(1), wanted.eq(next_wanted)]
        with m.Elif(self.fetch):
            m.d.sync += current.eq(0)

        # The watched lookup: what the echo answers to it, and how many answers are ahead of its own.
        watching, home, ahead = Signal(), Signal(g.slot_bits), Signal(range(g.queue_depth))
        with m.If(~watching):
            with m.If(self.take & self.watch & Array(self.scatter)[self.choice]):
                m.d.sync += [
                    watching.eq(1),
                    home.eq(Array(self.tags)[self.choice]),
                    ahead.eq(inside - fetched + Array(ranks)[self.choice]),
                ]
        with m.Elif(ahead >= fetched):
            m.d.sync += ahead.eq(ahead - fetched)
        with m.Else():
            slot = Array(dut.heads[rank].slot for rank in range(g.bank_ports))[ahead]
            m.d.sync += [
                watching.eq(0),
                Assert(slot == home, "the answer is the watched lookup's"),
            ]

        waits = Signal(4)
        longest = g.queue_depth + Echo.LATENCY
        m.d.sync += [
            waits.eq(Mux(current & ~dut.ready, waits + 1, 0)),
            Assert(waits <= longest, "answers come"),
            Cover(watching & (ahead == g.queue_depth - 1) & home.any(), "full, the watched one last"),
        ]
        return m


def test_answers_keep_their_order(tmp_path):
    prove(AnswersKeepTheirOrder(GEOMETRY), tmp_path / "prove")
    cover(AnswersKeepTheirOrder(GEOMETRY), tmp_path / "cover", cycles=16)


MUTANTS = {
    "room is granted too long": ("in_flight <= g.queue_depth - g.bank_ports", "in_flight < g.queue_depth"),
    "room is granted too seldom": ("in_flight <= g.queue_depth - g.bank_ports", "in_flight == 0"),
    "one answer will do": ("self.ready.eq(answers.level >= needed)", "self.ready.eq(answers.level.any())"),
    "lookups of other banks slip in": ("choice.eq(lanes & rank_is[port])", "choice.eq(rank_is[port])"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_bank_is_caught(mutant, tmp_path):
    with pytest.raises(PropertyFailed):
        check(AnswersKeepTheirOrder(GEOMETRY, mutated(PopularityBank, *MUTANTS[mutant])), tmp_path, cycles=14)
