"""BatchDispatcher: the two micro-batches, as two streams of result words."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.layouts import axis_beat, verdict_beat
from hotline_hw.lib.blocks import place
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import SAMPLE_FIELD

from .compactor import BeatCompactor

__all__ = ["BatchDispatcher"]


class BatchDispatcher(wiring.Component):
    """Sends every sample whole, once and in order, to the popular or to the non-popular stream.

    Each mini-batch becomes one packet on either stream. The packet may be empty. A beat goes on when both sides can
    take their part. So a stream that is not drained holds up the other.

    Ports:
        input: Stream of `verdict_beat`.
        popular, nonpopular: Streams of `axis_beat`.

    Throughput: one beat a cycle. Latency: that of `BeatCompactor`.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        packet = Out(stream.Signature(axis_beat(geometry.lanes)))
        super().__init__(
            {"input": In(stream.Signature(verdict_beat(geometry))), "popular": packet, "nonpopular": packet}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        lanes = range(g.lanes)
        beat = self.input.payload
        sides = {
            "popular": (BeatCompactor(lanes=g.lanes), self.popular),
            "nonpopular": (BeatCompactor(lanes=g.lanes), self.nonpopular),
        }
        words = []
        index = Const(0)
        for lane in lanes:
            source = beat.lanes[lane]
            word = Signal(64, name=f"word{lane}")
            sample = Signal(SAMPLE_FIELD.width, name=f"sample{lane}")
            m.d.comb += sample.eq(beat.sample + index)
            m.d.comb += word.eq(Cat(source.payload, sample, source.hit, source.last))
            words.append(word)
            index = index + (source.last & source.valid)

        both_ready = Signal()
        m.d.comb += both_ready.eq(Cat(side.input.ready for side, _ in sides.values()).all())
        m.d.comb += self.input.ready.eq(both_ready)
        for name, (side, output) in sides.items():
            place(m, platform, name, side, "beat_compactor")
            for lane in lanes:
                source = beat.lanes[lane]
                wanted = source.misses == 0 if name == "popular" else source.misses != 0
                m.d.comb += [
                    side.input.payload.words[lane].eq(words[lane]),
                    side.input.payload.keep[lane].eq(source.valid & wanted),
                ]
            m.d.comb += [
                side.input.payload.last.eq(beat.end),
                side.input.valid.eq(self.input.valid & both_ready),
                output.payload.eq(side.output.payload),
                output.valid.eq(side.output.valid),
                side.output.ready.eq(output.ready),
            ]
        return m
