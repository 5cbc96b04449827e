"""BagReducer never hangs, and gives a row for each bag, whatever beats come: proven for all time.

The numbers themselves are not looked at: see test_float.py and tests/unit/sim/model/test_reduce.py.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Cat, Cover, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hotline_hw.shell.rows.bag_reducer import BagReducer
from hotline_hw.shell.rows.float_add import FloatAdder
from hotline_hw.shell.rows.float_div import division_latency
from hotline_hw.spec.params import Geometry
from hotline_sim.formal import PropertyFailed, check, cover, first_value, prove
from tests.formal.mutants import mutated


def geometry(axi_bits: int) -> Geometry:
    return Geometry(
        lanes=8, banks=2, sets=2, ways=8, entries_per_hot_row=2, axi_bits=axi_bits, working_rows=4, read_tags=2,
        read_beats=32,
    )  # fmt: skip


class BagsLeave(wiring.Component):
    """A free source, which may withdraw what was not taken unless beats are halved, and a free sink.

    Ports:
        valid, count, row_last, bag_last, last: the source's beat. ready: of the sink.
        pool, mean, bf16: those of the first cycle count.
    """

    def __init__(self, axi_bits: int, dut: type[BagReducer] = BagReducer) -> None:
        self.geometry, self.dut = geometry(axi_bits), dut
        names = ("valid", "row_last", "bag_last", "last", "ready", "pool", "mean", "bf16")
        super().__init__({"count": In(range(self.geometry.granules + 1)), **{name: In(1) for name in names}})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dut = dut = self.dut(self.geometry)
        beat, out = dut.input.payload, dut.output.payload
        pool, mean = first_value(m, self.pool), first_value(m, self.mean)
        flags = Cat(self.count, self.row_last, self.bag_last, self.last)
        waiting, waiting_flags = Signal(), Signal.like(flags)
        taken, left = Signal(), Signal()
        m.d.comb += [
            Cat(dut.pool, dut.mean, dut.bf16).eq(Cat(pool, mean, first_value(m, self.bf16))),
            dut.input.valid.eq(self.valid | waiting),
            Cat(beat.count, beat.row_last, beat.bag_last, beat.last).eq(Mux(waiting, waiting_flags, flags)),
            dut.output.ready.eq(self.ready),
            taken.eq(dut.input.valid & dut.input.ready),
            left.eq(dut.output.valid & dut.output.ready),
        ]
        m.d.sync += [
            waiting.eq(dut.input.valid & ~dut.input.ready),
            waiting_flags.eq(Mux(waiting, waiting_flags, flags)),
        ]

        # Ends of bags inside, and of packets: on their way out, one in the divider and one at the output.
        bag_in, bag_out = Signal(), Signal()
        bags, packets = Signal(range(8)), Signal(range(8))
        m.d.comb += [
            bag_in.eq(taken & beat.row_last & (beat.bag_last | (beat.last & pool))),
            bag_out.eq(left & out.row_last & out.bag_last),
        ]
        m.d.sync += [
            bags.eq(bags + bag_in - bag_out),
            packets.eq(packets + (bag_in & beat.last) - (bag_out & out.last)),
            Assert(bags <= 3, "no more bags inside than there is room for"),
            Assert((bags != 0) | ~bag_out, "no bag leaves that did not come"),
            Assert((packets != 0) | ~(bag_out & out.last), "no packet ends that did not come"),
            Assert(packets <= bags, "a packet ends with a bag"),
            Assert(~left | ~pool | (out.row_last == out.bag_last), "a sum is a row and a bag"),
            Assert(dut.busy | ((bags == 0) & ~dut.output.valid), "busy while something is inside"),
        ]

        # Progress. The longest wait is for a mean behind the last addition.
        longest = FloatAdder.LATENCY + division_latency() + 2
        waits = Signal(range(longest + 2))
        held, payload = Signal(), Signal.like(flags)
        shown = Cat(out.count, out.row_last, out.bag_last, out.last)
        m.d.sync += [
            waits.eq(Mux(taken | left | ~self.ready | ~(dut.input.valid | (bags != 0)), 0, waits + 1)),
            Assert(waits <= longest, "something moves"),
            held.eq(dut.output.valid & ~dut.output.ready),
            payload.eq(shown),
            Assert(~held | (dut.output.valid & (shown == payload)), "a beat that is offered stays"),
            Cover((bags == 3) & (packets == 1) & mean & pool, "three bags inside"),
        ]
        return m


@pytest.mark.parametrize("axi_bits", [128, 512])
def test_bags_leave(axi_bits, tmp_path):
    prove(BagsLeave(axi_bits), tmp_path / "prove")
    cover(BagsLeave(axi_bits), tmp_path / "cover", cycles=50)


MUTANTS = {
    "a sum that leaves is overtaken by the next": (" & (~bag_end | (leaves & ends))", ""),
    "only the first beat of a sum leaves": ("leaving.eq(~ends)", "leaving.eq(0)"),
    "the first row of a bag waits for a place that it has not": ("with m.Elif(leaving):", "with m.Elif(first):"),
    "the end of a packet does not end a bag": ("beat.row_last & (beat.bag_last | beat.last)",
                                               "beat.row_last & beat.bag_last"),
    "a sum does not wait for the output": ("Mux(self.mean, divider.input.ready, free)", "1"),
    "the output is overwritten": ("with m.If(free):", "with m.If(1):"),
    "quotients are dropped": ("divider.output.ready.eq(free)", "divider.output.ready.eq(1)"),
    "the divider does not count as busy": (" | dividing", ""),
    "a halved beat is taken twice": ("second.eq(two & ~second)", "second.eq(0)"),
}  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_reducer_is_caught(mutant, tmp_path):
    with pytest.raises(PropertyFailed):
        check(BagsLeave(128, mutated(BagReducer, *MUTANTS[mutant])), tmp_path, cycles=50)
