"""VerdictTap: takes one bit a sample off the stream of lookups."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.layouts import verdict_beat
from hotline_hw.spec.params import Geometry

__all__ = ["VerdictTap", "verdict_bits"]


def verdict_bits(geometry: Geometry) -> data.StructLayout:
    """Verdicts on the next `count` samples, dense from bit 0. 1 means popular. `last` ends the mini-batch."""
    return data.StructLayout({"bits": geometry.lanes, "count": range(geometry.lanes + 1), "last": 1})


class VerdictTap(wiring.Component):
    """Takes a sample's verdict when its last lookup passes. A beat that ends nothing is dropped.

    Ports:
        input: Stream of `verdict_beat`.
        output: Stream of `verdict_bits`. `last` comes out with a verdict or without.

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
