"""VerdictPacker: the verdicts on samples, packed in 32-bit words."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.output.verdicts import verdict_bits
from hotline_hw.shell.layouts import single_word
from hotline_hw.spec.params import Geometry

__all__ = ["VerdictPacker"]

_BITS = 32


class VerdictPacker(wiring.Component):
    """Collects verdicts in words. Zeros fill up the last word of a mini-batch.

    Ports:
        input: payload `verdict_bits`.
        output: payload `single_word`. `last` comes out with a word or without.

    Throughput: a beat a cycle. A mini-batch's end takes one cycle more. Latency: one cycle.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "input": In(stream.Signature(verdict_bits(geometry))),
                "output": Out(stream.Signature(single_word(_BITS))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beat, out = self.input.payload, self.output.payload
        hold = Signal(_BITS)
        level = Signal(range(_BITS))
        ending = Signal()  # a mini-batch has ended, and `hold` has its last bits
        free = Signal()
        merged = Signal(2 * _BITS)
        total = Signal(range(2 * _BITS + 1))
        within = Cat(beat.count > bit for bit in range(self.geometry.lanes))
        m.d.comb += [
            free.eq(~self.output.valid | self.output.ready),
            self.input.ready.eq(free & ~ending),
            merged.eq(hold | ((beat.bits & within) << level)),
            total.eq(level + beat.count),
        ]
        with m.If(free):
            m.d.sync += self.output.valid.eq(0)
            with m.If(ending):
                m.d.sync += [
                    self.output.valid.eq(1), out.word.eq(hold), out.some.eq(level != 0), out.last.eq(1),
                    ending.eq(0), hold.eq(0), level.eq(0),
                ]  # fmt: skip
            with m.Elif(self.input.valid):
                whole = total >= _BITS
                m.d.sync += [
                    self.output.valid.eq(whole), out.word.eq(merged[:_BITS]), out.some.eq(1), out.last.eq(0),
                    hold.eq(Mux(whole, merged[_BITS:], merged[:_BITS])), level.eq(total), ending.eq(beat.last),
                ]  # fmt: skip
        return m
