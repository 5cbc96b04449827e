"""SampleClassifier: the AND over each sample's lookups."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import fifo, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .layouts import result_beat, verdict_beat, verdict_depth, verdict_id_bits
from .params import Geometry
from .words import ROW_FIELD, SAMPLE_FIELD, TABLE_FIELD

__all__ = ["SampleClassifier"]


class SampleClassifier(wiring.Component):
    """Gives every lookup its sample's verdict: popular if all of the sample's lookups hit.

    A sample that ends in the beat it is in is judged there. One that runs on leaves its lanes as `tail`, and beats
    wait in a FIFO for the verdict, which goes into a small table when the sample ends. At most one sample is open at a
    time, so a tail's verdict is in the table just when the number of ended straddlers has passed the tail's own
    number. The FIFO holds a sample of `max_lookups` beats, so waiting cannot lock up.

    Ports:
        input: payload `result_beat`. output: payload `verdict_beat`; of a LEARN mini-batch only its end comes out.
        samples, popular, lookups, hits, bad: how many of each the beat accounted for in this cycle.
        batch_too_long: error pulse.

    Throughput: one beat a cycle. Latency: four cycles.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        count = range(geometry.lanes + 1)
        super().__init__(
            {
                "input": In(stream.Signature(result_beat(geometry))),
                "output": Out(stream.Signature(verdict_beat(geometry))),
                "samples": Out(count),
                "popular": Out(count),
                "lookups": Out(count),
                "hits": Out(count),
                "bad": Out(count),
                "batch_too_long": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        lanes = range(g.lanes)
        id_bits = verdict_id_bits(g)

        # Judge, forwards: at each lane, whether its sample has hit so far. `open_*` carry over from beat to beat.
        judged = Signal(result_beat(g), reset_less=True)
        judged_valid = Signal()
        verdicts = Signal(g.lanes)  # at a lane that ends a sample: its verdict
        continued = Signal()  # lane 0's sample began in an earlier beat
        step = Signal()
        open_hit = Signal(init=1)
        is_open = Signal()
        beat = self.input.payload
        so_far = open_hit
        still_open = is_open
        passes = []
        for lane in lanes:
            lane_passes = Signal(name=f"passes{lane}")
            m.d.comb += lane_passes.eq(so_far & (beat.lanes[lane].hit | ~beat.lanes[lane].valid))
            passes.append(lane_passes)
            so_far = lane_passes | beat.lanes[lane].last
            still_open = Mux(beat.lanes[lane].valid, ~beat.lanes[lane].last, still_open)
        m.d.comb += self.input.ready.eq(~judged_valid | step)
        with m.If(self.input.ready):
            m.d.sync += judged_valid.eq(self.input.valid)
            m.d.sync += [judged.eq(beat), verdicts.eq(Cat(passes)), continued.eq(is_open)]
            with m.If(self.input.valid):
                m.d.sync += [open_hit.eq(so_far), is_open.eq(still_open)]

        # Spread, backwards: each lane takes the verdict of the end that follows it.
        beats = fifo.SyncFIFOBuffered(width=verdict_beat(g).size, depth=verdict_depth(g))
        m.submodules.beats = beats
        spread = Signal(verdict_beat(g))
        m.d.comb += [
            step.eq(judged_valid & beats.w_rdy),
            beats.w_en.eq(judged_valid),
            beats.w_data.eq(spread.as_value()),
        ]
        valid = Cat(judged.lanes[lane].valid for lane in lanes)
        last = Cat(judged.lanes[lane].last for lane in lanes)
        popular, tail = Const(0), Const(1)
        tails: list[Signal] = []
        for lane in reversed(lanes):
            source, target = judged.lanes[lane], spread.lanes[lane]
            lane_popular, lane_tail = Signal(name=f"popular{lane}"), Signal(name=f"tail{lane}")
            m.d.comb += [
                lane_popular.eq(Mux(source.last, verdicts[lane], popular)),
                lane_tail.eq(tail & ~source.last),
            ]
            popular, tail = lane_popular, lane_tail
            tails.insert(0, lane_tail)
            row = Mux(source.hit, source.slot, source.payload[ROW_FIELD.low : ROW_FIELD.high + 1])
            table = source.payload[TABLE_FIELD.low : TABLE_FIELD.high + 1]
            m.d.comb += [
                target.payload[ROW_FIELD.low : ROW_FIELD.high + 1].eq(row),
                target.payload[TABLE_FIELD.low : TABLE_FIELD.high + 1].eq(table),
                target.valid.eq(source.valid & ~judged.learn),
                target.last.eq(source.last),
                target.hit.eq(source.hit),
                target.popular.eq(lane_popular),
                target.tail.eq(lane_tail),
            ]
        # The sample counter has a bit more than the field, to see a mini-batch that is too long.
        sample = Signal(SAMPLE_FIELD.width + 1)
        ended = Signal(id_bits)  # straddling samples that have ended
        ends_straddler = Signal()
        has_tail = Signal()
        m.d.comb += [
            ends_straddler.eq(continued & last.any()),
            has_tail.eq((valid & Cat(tails)).any()),
            spread.sample.eq(sample),
            spread.has_tail.eq(has_tail & ~judged.learn),
            spread.tail_id.eq(ended + ends_straddler),
            spread.end.eq(judged.end),
        ]

        # Verdicts of straddling samples. The first end in the beat is the straddler's.
        m.submodules.table = table = memory.Memory(shape=1, depth=1 << id_bits, init=[])
        write, read = table.write_port(), table.read_port(domain="comb")
        first_end = last & (~last + 1)[: g.lanes]
        m.d.comb += [
            write.addr.eq(ended),
            write.data.eq((verdicts & first_end).any()),
            write.en.eq(step & ends_straddler),
        ]

        # Counts, and the sample index.
        def count(bits) -> Signal:
            return sum((bits[lane] for lane in lanes), Const(0))

        samples = Signal(range(g.lanes + 1))
        before_final = Signal(range(g.lanes + 1))  # ends before the last valid lane
        m.d.comb += samples.eq(count(last))
        behind = Cat((valid[lane + 1 :].any() if lane + 1 < g.lanes else Const(0)) for lane in lanes)
        m.d.comb += before_final.eq(count(last & behind))
        with m.If(step):
            m.d.sync += [
                ended.eq(ended + ends_straddler),
                sample.eq(Mux(judged.end, 0, sample + samples)),
            ]
        gate = Mux(step, ~Const(0, g.lanes), 0)
        m.d.sync += [
            self.samples.eq(count(last & gate)),
            self.popular.eq(count(last & verdicts & gate)),
            self.lookups.eq(count(valid & gate)),
            self.hits.eq(count(Cat(judged.lanes[lane].hit for lane in lanes) & gate)),
            self.bad.eq(count(Cat(judged.lanes[lane].bad for lane in lanes) & gate)),
            self.batch_too_long.eq(step & valid.any() & (sample + before_final >= g.max_samples)),
        ]

        # Release: a beat with a tail waits for the tail's verdict.
        waiting = Signal(verdict_beat(g))
        tail_known = Signal()
        m.d.comb += [
            waiting.as_value().eq(beats.r_data),
            read.addr.eq(waiting.tail_id),
            tail_known.eq(~waiting.has_tail | (waiting.tail_id != ended)),
            self.output.valid.eq(beats.r_rdy & tail_known),
            beats.r_en.eq(self.output.valid & self.output.ready),
            self.output.payload.eq(waiting),
        ]
        for lane in lanes:
            with m.If(waiting.lanes[lane].tail):
                m.d.comb += self.output.payload.lanes[lane].popular.eq(read.data)
        return m
