"""What the rows of the front table gain: nothing is lost or counted twice, and it goes when its mini-batch ends.

`UpdateScatter` with `FrontGains` is between free verdicts and banks that have room at any time. One row is watched,
chosen freely. A mini-batch's own updates carry its number, modulo four, in their tags, so their order can be seen. The
order in a bank's queue is proven in test_updates.py.
"""

from __future__ import annotations

from unittest import mock

import pytest
from amaranth.hdl import Assert, Assume, Cat, Const, Cover, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from hotline_hw.core.output.gains import FrontGains
from hotline_hw.core.output.updates import UpdateScatter
from hotline_hw.spec.params import Geometry
from hotline_sim.formal import PropertyFailed, check, cover, first_value
from tests.formal.mutants import mutated

GEOMETRY = Geometry(
    lanes=2, banks=2, sets=2, ways=2, entries_per_hot_row=2, counter_bits=2, table_bits=1, row_bits=5, bank_ports=2,
    queue_depth=4, beat_depth=4, front_rows=2,
)  # fmt: skip
LARGEST = (1 << GEOMETRY.counter_bits) - 1
OWN = 1 << GEOMETRY.tag_bits - 1  # in the tags of a mini-batch's own updates; the lowest bits are its number


class GainsGoAtTheEnd(wiring.Component):
    """Ports:
    valid, learn, end, beat: a beat. room: of the banks. weight: of every lookup without other misses, constant.
    row: the row that is watched, constant.
    """

    def __init__(self, scatter: type[UpdateScatter] = UpdateScatter) -> None:
        self.scatter = scatter
        lane = data.StructLayout({"routed": 1, "fronted": 1, "front": 1, "bank": 1})
        super().__init__(
            {
                "valid": In(1), "learn": In(1), "end": In(1), "beat": In(data.ArrayLayout(lane, GEOMETRY.lanes)),
                "room": In(GEOMETRY.banks), "weight": In(2), "row": In(1),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = GEOMETRY
        lanes = range(g.lanes)
        m.submodules.scatter = scatter = self.scatter(g)
        weight, row = first_value(m, self.weight), first_value(m, self.row)
        payload = scatter.input.payload
        number = Signal(4)  # of the mini-batch that comes
        begun, learns = Signal(), Signal()
        taken = Signal()
        m.d.comb += [
            scatter.input.valid.eq(self.valid), payload.learn.eq(self.learn), payload.end.eq(self.end),
            scatter.weights[0].eq(weight), scatter.room.eq(self.room),
            taken.eq(self.valid & scatter.input.ready),
            *(scatter.keys[each].eq(Cat(Const(each, 1), Const(each, g.tag_bits - 1))) for each in range(2)),
        ]  # fmt: skip
        for lane in lanes:
            source, target = self.beat[lane], payload.lanes[lane]
            m.d.comb += [
                target.hit.eq(source.fronted), target.misses.eq(~source.fronted),
                target.routed.eq(source.routed), target.bank.eq(source.bank),
                target.rank.eq(self.beat[0].routed & (self.beat[0].bank == source.bank) if lane else 0),
                target.fronted.eq(source.fronted), target.front.eq(source.front),
                target.tag.eq(OWN | number),
            ]  # fmt: skip
        with m.If(taken):
            m.d.sync += [begun.eq(~self.end), learns.eq(self.learn), number.eq(number + self.end)]
        m.d.sync += [
            Assume(~begun | (self.learn == learns), "a mini-batch is learned from as a whole"),
            Assume(self.weight != 0, "lookups weigh something"),
        ]

        # What the watched row has gained, and what must go.
        gained = Signal(2)
        ends = data.StructLayout({"gain": 2, "number": 4})
        waiting = [
            Signal(ends, name=f"end{place}") for place in range(3)
        ]  # mini-batches whose gains wait, oldest first
        due, due_number = waiting[0].gain, waiting[0].number
        total = Signal(range(2 * LARGEST + LARGEST + 1))
        mine = [self.learn & self.beat[lane].fronted & (self.beat[lane].front == row) for lane in lanes]
        m.d.comb += total.eq(gained + sum((Mux(each, weight, 0) for each in mine), Const(0)))
        sent = Signal()
        own = Signal()  # a beat of a mini-batch's own updates goes
        # What the banks have chosen waits until it goes.
        tags = [Signal(g.tag_bits, name=f"tag{lane}") for lane in lanes]
        to_bank = [Signal(g.lanes, name=f"to_bank{bank}") for bank in range(g.banks)]
        chosen_weight = Signal(g.weight_bits)
        with m.If(scatter.load):
            m.d.sync += [
                *(there.eq(here) for there, here in zip(tags, scatter.tags, strict=True)),
                *(there.eq(here) for there, here in zip(to_bank, scatter.to_bank, strict=True)),
                chosen_weight.eq(scatter.lane_weights[0]),
            ]
        to = [Cat(there[lane] for there in to_bank).any() for lane in lanes]
        m.d.comb += [
            sent.eq(scatter.fire & to[0] & ~tags[0][-1] & (tags[0][0] == row)),
            own.eq(scatter.fire & Cat(there & tag[-1] for there, tag in zip(to, tags, strict=True)).any()),
        ]
        after = Signal(2)
        m.d.comb += after.eq(Mux(total > LARGEST, LARGEST, total))
        ended = Signal(2)  # what the row gained in a mini-batch that ends now
        m.d.comb += ended.eq(Mux(taken & self.end, after, 0))
        with m.If(taken):
            m.d.sync += gained.eq(Mux(self.end, 0, after))
        left = [Mux(sent, *pair) for pair in zip([*(item.as_value() for item in waiting[1:]), Const(0, 6)],
                                                 [item.as_value() for item in waiting], strict=True)]  # fmt: skip
        free = Const(1, 1)  # the places before are taken
        for item, stays in zip(waiting, left, strict=True):
            taken_up = stays[:2] != 0
            m.d.sync += item.as_value().eq(Mux(taken_up, stays, Mux(free & (ended != 0), Cat(ended, number), 0)))
            free = free & taken_up
        m.d.sync += Assert((ended == 0) | ~free, "no more than three mini-batches wait")
        key_bank = row
        m.d.sync += [
            Assert(~sent | (due != 0), "a gain goes once, and only when its mini-batch has ended"),
            Assert(~sent | (chosen_weight == due), "all of it"),
            Assert(~sent | (Cat(there[0] for there in to_bank) == Const(1, 2) << key_bank), "to its bank"),
            Assert(~sent | ~to[1], "alone"),
            Assert(
                ~own | (due == 0) | ((tags[0][:4] - due_number)[:4] != 1), "before any update of the next mini-batch"
            ),
            Assert(~sent | (due == 0) | scatter.busy, "busy as long as a gain has not gone"),
            Assert((due == 0) | scatter.busy, "busy until it has gone"),
            Cover(sent & (due == LARGEST) & (weight == 2) & row & self.valid, "a gain that saturated goes"),
        ]
        return m


def test_gains_go_at_the_end(tmp_path):
    """In 16 cycles two mini-batches end."""
    check(GainsGoAtTheEnd(), tmp_path / "check", cycles=16)
    cover(GainsGoAtTheEnd(), tmp_path / "cover", cycles=14)


SCATTER_MUTANTS = {
    "beats overtake gains": ("move.eq(free & ~gains.stop & ~given.output.valid)", "move.eq(free)"),
    "a beat overtakes the last gains": ("~gains.stop & ~given.output.valid", "~gains.stop"),
    "a gain overwrites what waits": ("with m.Elif(free):", "with m.Else():"),
    "a gain is taken twice": ("given.output.ready.eq(free)", "given.output.ready.eq(0)"),
    "not busy with a gain": ("| gains.busy | given.output.valid", "| gains.busy"),
    "the last beat of CLASSIFY learns": ("learns.eq(counted_valid & counted.learn)", "learns.eq(counted_valid)"),
    "the end is not seen": ("gains.end.eq(counted_valid & counted.end & move)", "gains.end.eq(0)"),
    "a gain to the wrong bank": ("lanes_to.eq(gain.bank == bank)", "lanes_to.eq(gain.bank != bank)"),
    "a beat that waits counts again": ("gains.valid.eq(learns & move)", "gains.valid.eq(learns)"),
}
GAINS_MUTANTS = {
    "a gain is not cleared": ("with m.If(handed[row]):", "with m.If(0):"),
    "handed out before all sums are there": ("ready.eq(self.stop & (under_way == 0))", "ready.eq(self.stop)"),
    "the last row is left out": ("(at == g.front_rows - 1)", "(at == g.front_rows - 2)"),
    "a sum wraps": ("Mux(sum_ > largest, largest, sum_)", "sum_"),
    "the second lane is lost": ("for lane in group), Const(0)))", "for lane in group[:1]), Const(0)))"),
    "cold rows gain": ("self.fronted[lane] & (self.front[lane] == row)", "(self.front[lane] == row)"),
    "beats that are not learned from gain": ("Mux(under_way[1], sum(parts, Const(0)), 0)", "sum(parts, Const(0))"),
    "another row gains": ("(self.front[lane] == row)", "(self.front[lane] != row)"),
}  # fmt: skip


@pytest.mark.parametrize("mutant", [*SCATTER_MUTANTS, *GAINS_MUTANTS])
def test_a_lost_gain_is_caught(mutant, tmp_path):
    scatter = mutated(UpdateScatter, *SCATTER_MUTANTS[mutant]) if mutant in SCATTER_MUTANTS else UpdateScatter
    gains = mutated(FrontGains, *GAINS_MUTANTS[mutant]) if mutant in GAINS_MUTANTS else FrontGains
    with mock.patch.dict(scatter.elaborate.__globals__, FrontGains=gains), pytest.raises(PropertyFailed):
        check(GainsGoAtTheEnd(scatter), tmp_path, cycles=16)
