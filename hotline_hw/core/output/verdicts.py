"""Verdicts on samples: taken off beside the lookups, a bit a sample, and packed in 32-bit words."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.layouts import verdict_beat
from hotline_hw.shell.streams.beats import single_word
from hotline_hw.spec.params import Geometry

__all__ = ["VerdictPacker", "VerdictTap", "verdict_bits"]

_BITS = 32


def verdict_bits(geometry: Geometry) -> data.StructLayout:
    """Verdicts on the next `count` samples, dense from bit 0, 1 where popular. `last` ends the mini-batch."""
    return data.StructLayout({"bits": geometry.lanes, "count": range(geometry.lanes + 1), "last": 1})


class VerdictTap(wiring.Component):
    """Takes the verdict off every sample where its last lookup passes. A beat that ends nothing is dropped.

    Ports:
        input: payload `verdict_beat`. output: payload `verdict_bits`; `last` comes out with a verdict or without.

    Latency: none, combinational.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "input": In(stream.Signature(verdict_beat(geometry))),
                "output": Out(stream.Signature(verdict_bits(geometry))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes = self.geometry.lanes
        beat, out = self.input.payload, self.output.payload
        places, popular = [], []
        count = Const(0)
        for lane in range(lanes):
            source = beat.lanes[lane]
            end = source.valid & source.last
            place = Signal(range(lanes + 1), name=f"place{lane}")
            m.d.comb += place.eq(count)
            count = count + end
            places.append(place)
            popular.append(end & (source.misses == 0))
        something = (out.count != 0) | out.last
        m.d.comb += [
            out.count.eq(count),
            out.last.eq(beat.end),
            *(
                out.bits[bit].eq(Cat(popular[lane] & (places[lane] == bit) for lane in range(bit, lanes)).any())
                for bit in range(lanes)
            ),
            self.output.valid.eq(self.input.valid & something),
            self.input.ready.eq(self.output.ready | ~something),
        ]
        return m


class VerdictPacker(wiring.Component):
    """Collects verdicts in words; the last of a mini-batch is filled up with zeros.

    Ports:
        input: payload `verdict_bits`. output: payload `single_word`; `last` comes out with a word or without.

    Throughput: a beat a cycle, one more at a mini-batch's end. Latency: one cycle.
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
