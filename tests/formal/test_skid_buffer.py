"""SkidBuffer is a queue of two places: what comes leaves once and in order, and its ready is a register."""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Cover, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from hotline_hw.lib.streams import SkidBuffer
from hotline_sim.formal import PropertyFailed, check, cover, prove
from tests.formal.mutants import mutated

BITS = 2


class SkidBufferIsAQueue(wiring.Component):
    """Between a free source, which may withdraw what was not taken, and a free sink."""

    def __init__(self, dut: type[SkidBuffer] = SkidBuffer) -> None:
        self.dut = dut
        super().__init__({"valid": In(1), "payload": In(BITS), "ready": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dut = dut = self.dut(BITS)
        queue = Signal(data.ArrayLayout(BITS, 2))  # the oldest first
        level, comes, goes = Signal(range(3)), Signal(), Signal()
        m.d.comb += [
            dut.input.valid.eq(self.valid), dut.input.payload.eq(self.payload), dut.output.ready.eq(self.ready),
            comes.eq(self.valid & dut.input.ready), goes.eq(dut.output.valid & self.ready),
        ]  # fmt: skip
        for place in range(2):
            after = queue[1] if place == 0 else self.payload
            m.d.sync += queue[place].eq(
                Mux(comes & (level - goes == place), self.payload, Mux(goes, after, queue[place]))
            )
        m.d.sync += [
            level.eq(level + comes - goes),
            Assert(dut.output.valid == (level != 0), "valid as long as it holds something"),
            Assert(dut.input.ready == (level != 2), "ready as long as it has a place, whoever else is"),
            Assert(~dut.output.valid | (dut.output.payload == queue[0]), "the oldest leaves"),
            Cover((level == 2) & goes & (queue[0] != queue[1]), "full"),
        ]
        return m


def test_a_skid_buffer_is_a_queue(tmp_path):
    prove(SkidBufferIsAQueue(), tmp_path / "prove")
    cover(SkidBufferIsAQueue(), tmp_path / "cover", cycles=6)


MUTANTS = {
    "the skid is overwritten": ("with m.If(~skid_valid):", "with m.If(1):"),
    "what waits in the skid is forgotten": ("some = self.input.valid | skid_valid", "some = self.input.valid"),
    "the skid leaves twice": ("skid_valid.eq(some & ~free)", "skid_valid.eq(skid_valid | some & ~free)"),
    "the output is overwritten": ("free.eq(self.output.ready | ~self.output.valid)", "free.eq(1)"),
    "a payload too many is taken": ("self.input.ready.eq(~skid_valid)", "self.input.ready.eq(1)"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_skid_buffer_is_caught(mutant, tmp_path):
    with pytest.raises(PropertyFailed):
        check(SkidBufferIsAQueue(mutated(SkidBuffer, *MUTANTS[mutant])), tmp_path, cycles=6)
