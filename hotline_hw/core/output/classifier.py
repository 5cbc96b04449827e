"""SampleClassifier: counts each sample's misses. A sample without a miss is popular."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.layouts import (
    MISS_BITS,
    result_beat,
    update_lane,
    verdict_beat,
    verdict_depth,
    verdict_id_bits,
)
from hotline_hw.lib.memories import UNCHECKED
from hotline_hw.lib.queues import StreamQueue
from hotline_hw.spec.params import Geometry

from .judge import SampleJudge, judgement

__all__ = ["SampleClassifier"]

_COUNTS = ("samples", "popular", "lookups", "hits", "bad")


class SampleClassifier(wiring.Component):
    """Gives every lookup its sample's verdict: how many of the sample's lookups missed, up to `MISSES_COUNTED`.

        input -+-> beats (FIFO) ----------------+-> waiting -> output
               '-> SampleJudge -> judged (FIFO) '      |
                        '-> table of straddlers -------'

    A sample that runs on in a later beat leaves its lanes as `tail`. Beats wait in a FIFO for the verdict, which goes
    into a small table when the sample ends. At most one sample is open at a time. So a tail's verdict is in the table
    as soon as the number of ended straddlers has passed the tail's own number. The FIFO holds a sample of `max_lookups`
    beats, so waiting cannot lock up. SampleJudge never waits: the FIFO has a place for each of its beats.

    Ports:
        input: Stream of `result_beat`. `ready` comes from a register.
        output: Stream of `verdict_beat`. No lane of a LEARN mini-batch is `valid`.
        samples, popular, lookups, hits, bad: For the counters. How many of each are added in this cycle.
        batch_too_long: Error pulse.

    Throughput: one beat a cycle. Latency: that of SampleJudge and four cycles. Counts and errors come before the beat.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        count = range(geometry.lanes + 1)
        super().__init__(
            {
                "input": In(stream.Signature(result_beat(geometry))),
                "output": Out(stream.Signature(verdict_beat(geometry))),
                **{name: Out(count) for name in _COUNTS},
                "batch_too_long": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        depth = verdict_depth(g)
        m.submodules.judge = judge = SampleJudge(g)
        m.submodules.beats = beats = StreamQueue(result_beat(g), depth=depth)
        m.submodules.judged = judged = StreamQueue(judgement(g), depth=depth)
        m.submodules.table = table = memory.Memory(
            shape=MISS_BITS, depth=1 << verdict_id_bits(g), init=[], attrs=UNCHECKED | {"ram_style": "block"}
        )
        write = table.write_port()

        # Intake. As many judgements are here as beats, or fewer: there is room for one if there is for its beat.
        popped = Signal()
        m.d.comb += [
            beats.input.valid.eq(self.input.valid), beats.input.payload.eq(self.input.payload),
            self.input.ready.eq(beats.input.ready),
            judge.taken.eq(self.input.valid & beats.input.ready), judge.beat.eq(self.input.payload),
            judged.input.valid.eq(judge.output_valid), judged.input.payload.eq(judge.output),
            write.addr.eq(judge.ended), write.data.eq(judge.straddler_misses), write.en.eq(judge.straddler),
            *(getattr(self, name).eq(getattr(judge, name)) for name in (*_COUNTS, "batch_too_long")),
        ]  # fmt: skip

        # A beat with a tail waits for the tail's verdict.
        waiting = Signal(result_beat(g), reset_less=True)
        verdict = Signal(judgement(g), reset_less=True)
        waits = Signal()
        tail_known = Signal()
        goes = Signal()
        coming = judged.output.payload

        def known(of: data.View) -> Value:
            return ~of.has_tail | (of.tail_id != judge.ended)

        m.d.comb += [
            goes.eq(waits & tail_known & (~self.output.valid | self.output.ready)),
            popped.eq(beats.output.valid & judged.output.valid & (~waits | goes)),
            beats.output.ready.eq(popped), judged.output.ready.eq(popped),
        ]  # fmt: skip
        m.d.sync += tail_known.eq(Mux(popped, known(coming), known(verdict)))
        with m.If(popped):
            m.d.sync += [waiting.eq(beats.output.payload), verdict.eq(coming), waits.eq(1)]
        with m.Elif(goes):
            m.d.sync += waits.eq(0)
        # The entry is read in the cycle in which it is seen whether it is there.
        read = table.read_port()
        m.d.comb += read.addr.eq(Mux(popped, coming.tail_id, verdict.tail_id))
        self._release(m, goes, waiting, verdict, read.data)
        return m

    def _release(self, m: Module, goes: Signal, waiting: data.View, verdict: data.View, tail_misses: Signal) -> None:
        """Puts a beat and its verdicts together in the output register."""
        g = self.geometry
        beat = Signal(verdict_beat(g))
        for lane in range(g.lanes):
            source, judged, target = waiting.lanes[lane], verdict.lanes[lane], beat.lanes[lane]
            m.d.comb += [
                target.valid.eq(source.valid & waiting.classify),
                target.misses.eq(Mux(judged.tail, tail_misses, judged.misses)),
                target.ordinal.eq(judged.ordinal),
                *(target[name].eq(source[name]) for name in ("payload", "last", "hit", *update_lane(g))),
            ]
        m.d.comb += [beat.sample.eq(verdict.sample), beat.learn.eq(waiting.learn), beat.end.eq(waiting.end)]
        with m.If(goes):
            m.d.sync += [self.output.payload.eq(beat), self.output.valid.eq(1)]
        with m.Elif(self.output.ready):
            m.d.sync += self.output.valid.eq(0)
