"""VerdictTap: takes one bit a sample off the stream of lookups."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.layouts import verdict_beat
from hotline_hw.lib.streams import SkidBuffer
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
        busy: A beat is here, from the cycle after it was taken.

    Throughput: one beat a cycle. Latency: two cycles.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "input": In(stream.Signature(verdict_beat(geometry))),
                "output": Out(stream.Signature(verdict_bits(geometry))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes = self.geometry.lanes
        lane = {"end": 1, "popular": 1, "ordinal": range(lanes)}
        ends = data.StructLayout({"lanes": data.ArrayLayout(data.StructLayout(lane), lanes), "last": 1})
        m.submodules.entry = entry = SkidBuffer(ends)
        into = entry.input.payload
        for source, target in zip(self.input.payload.lanes, into.lanes, strict=True):
            end = source.valid & source.last
            m.d.comb += [
                target.end.eq(end), target.popular.eq(end & (source.misses == 0)), target.ordinal.eq(source.ordinal),
            ]  # fmt: skip
        m.d.comb += [
            into.last.eq(self.input.payload.end),
            entry.input.valid.eq(self.input.valid),
            self.input.ready.eq(entry.input.ready),
        ]

        beat, out = entry.output.payload, self.output.payload
        some = Cat(lane.end for lane in beat.lanes).any()  # ordinals count samples that are only learned, too
        m.d.comb += [
            entry.output.ready.eq(~self.output.valid | self.output.ready),
            self.busy.eq(entry.output.valid | self.output.valid),
        ]
        with m.If(entry.output.ready):
            m.d.sync += [
                self.output.valid.eq(entry.output.valid & (some | beat.last)),
                out.last.eq(beat.last),
                out.count.eq(Mux(some, beat.lanes[-1].ordinal + beat.lanes[-1].end, 0)),
                *(
                    out.bits[bit].eq(Cat(lane.popular & (lane.ordinal == bit) for lane in beat.lanes).any())
                    for bit in range(lanes)
                ),
            ]
        return m
