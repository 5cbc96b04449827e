"""BatchDispatcher: the two micro-batches, as two streams of result words."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.layouts import axis_beat, verdict_beat
from hotline_hw.lib.blocks import place
from hotline_hw.lib.streams import SkidBuffer
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

    Throughput: one beat a cycle. Latency: two cycles and that of `BeatCompactor`.
    """

    ENTRY = SkidBuffer
    COMPACTOR = BeatCompactor

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
        m.submodules.entry = entry = self.ENTRY(verdict_beat(g))
        wiring.connect(m, wiring.flipped(self.input), entry.input)
        beat = entry.output.payload
        sides = {
            "popular": (self.COMPACTOR(lanes=g.lanes), self.popular),
            "nonpopular": (self.COMPACTOR(lanes=g.lanes), self.nonpopular),
        }
        # Words, and the side of each lane.
        ready = Signal()
        valid = Signal()
        both_ready = Signal()
        words, keeps = [], {"popular": Signal(g.lanes), "nonpopular": Signal(g.lanes)}
        for lane in lanes:
            source = beat.lanes[lane]
            word = Signal(64, name=f"word{lane}", reset_less=True)
            sample = Signal(SAMPLE_FIELD.width, name=f"sample{lane}")
            m.d.comb += sample.eq(beat.sample + source.ordinal)
            with m.If(ready):
                m.d.sync += word.eq(Cat(source.payload, sample, source.hit, source.last))
                for name, keep in keeps.items():
                    wanted = source.misses == 0 if name == "popular" else source.misses != 0
                    m.d.sync += keep[lane].eq(source.valid & wanted)
            words.append(word)
        end = Signal()
        m.d.comb += [ready.eq(~valid | both_ready), entry.output.ready.eq(ready)]
        with m.If(ready):
            m.d.sync += [valid.eq(entry.output.valid), end.eq(beat.end)]

        m.d.comb += both_ready.eq(Cat(side.input.ready for side, _ in sides.values()).all())
        for name, (side, output) in sides.items():
            place(m, platform, name, side, "beat_compactor")
            m.d.comb += [
                *(there.eq(word) for there, word in zip(side.input.payload.words, words, strict=True)),
                side.input.payload.keep.eq(keeps[name]),
                side.input.payload.last.eq(end),
                side.input.valid.eq(valid & both_ready),
                output.payload.eq(side.output.payload),
                output.valid.eq(side.output.valid),
                side.output.ready.eq(output.ready),
            ]
        return m
