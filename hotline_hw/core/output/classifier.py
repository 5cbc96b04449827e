"""SampleClassifier: counts each sample's misses. A sample without a miss is popular."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import fifo, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.layouts import (
    MISS_BITS,
    MISSES_COUNTED,
    result_beat,
    select_one,
    update_lane,
    verdict_beat,
    verdict_depth,
    verdict_id_bits,
)
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import ROW_FIELD, SAMPLE_FIELD, TABLE_FIELD

__all__ = ["SampleClassifier"]


class SampleClassifier(wiring.Component):
    """Gives every lookup its sample's verdict: how many of the sample's lookups missed, up to `MISSES_COUNTED`.

    A sample that ends in its beat is judged there. A sample that runs on leaves its lanes as `tail`. Beats wait in a
    FIFO for the verdict, which goes into a small table when the sample ends. At most one sample is open at a time. So a
    tail's verdict is in the table as soon as the number of ended straddlers has passed the tail's own number. The FIFO
    holds a sample of `max_lookups` beats, so waiting cannot lock up.

    Ports:
        input: Stream of `result_beat`.
        output: Stream of `verdict_beat`. No lane of a LEARN mini-batch is `valid`.
        samples, popular, lookups, hits, bad: For the counters. How many of each are added in this cycle.
        batch_too_long: Error pulse.

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

        # Judge, forwards: at each lane, how often its sample has missed so far. `open_*` carry over from beat to beat.
        judged = Signal(result_beat(g), reset_less=True)
        judged_valid = Signal()
        verdicts = [Signal(MISS_BITS, name=f"verdict{lane}") for lane in lanes]  # where a lane ends its sample
        continued = Signal()  # lane 0's sample began in an earlier beat
        step = Signal()
        open_misses = Signal(MISS_BITS)
        is_open = Signal()
        beat = self.input.payload
        still_open = is_open
        parts = []  # for each lane: its misses, and whether a sample ends before it
        for lane in lanes:
            missed = beat.lanes[lane].valid & ~beat.lanes[lane].hit
            own = self._sum(m, f"own{lane}", missed, open_misses) if lane == 0 else missed
            parts.append((own, beat.lanes[lane - 1].last if lane else Const(0)))
            still_open = Mux(beat.lanes[lane].valid, ~beat.lanes[lane].last, still_open)

        def add(name: str, left: tuple, right: tuple) -> tuple:
            (misses, ended), (more, ends) = left, right
            return Mux(ends, more, self._sum(m, name, misses, more)), ended | ends

        sums = [misses for misses, _ in self._scan(m, "misses", parts, add)]
        m.d.comb += self.input.ready.eq(~judged_valid | step)
        with m.If(self.input.ready):
            m.d.sync += judged_valid.eq(self.input.valid)
            m.d.sync += [judged.eq(beat), continued.eq(is_open)]
            m.d.sync += [verdict.eq(misses) for verdict, misses in zip(verdicts, sums, strict=True)]
            with m.If(self.input.valid):
                m.d.sync += [open_misses.eq(Mux(beat.lanes[-1].last, 0, sums[-1])), is_open.eq(still_open)]

        # Spread, backwards: each lane takes the verdict of the next end.
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
        # From the last lane to the first: (verdict of the first end at the lane or behind, whether there is one).
        ends = [(verdicts[lane], last[lane]) for lane in reversed(lanes)]

        def nearest(name: str, behind: tuple, here: tuple) -> tuple:
            return Mux(here[1], here[0], behind[0]), here[1] | behind[1]

        following = self._scan(m, "following", ends, nearest)[::-1]
        tails = []
        for lane in lanes:
            source, target = judged.lanes[lane], spread.lanes[lane]
            misses, is_ended = following[lane]
            tails.append(~is_ended)
            row = Mux(source.hit, source.slot, source.payload[ROW_FIELD.low : ROW_FIELD.high + 1])
            table = source.payload[TABLE_FIELD.low : TABLE_FIELD.high + 1]
            m.d.comb += [
                target.payload[ROW_FIELD.low : ROW_FIELD.high + 1].eq(row),
                target.payload[TABLE_FIELD.low : TABLE_FIELD.high + 1].eq(table),
                target.valid.eq(source.valid & judged.classify),
                target.last.eq(source.last),
                target.hit.eq(source.hit),
                target.misses.eq(misses),
                target.tail.eq(~is_ended),
                *(target[name].eq(source[name]) for name in update_lane(g)),
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
            spread.has_tail.eq(has_tail),
            spread.learn.eq(judged.learn),
            spread.tail_id.eq(ended + ends_straddler),
            spread.end.eq(judged.end),
        ]

        # Verdicts of straddling samples. The first end in the beat is the straddler's.
        m.submodules.table = table = memory.Memory(shape=MISS_BITS, depth=1 << id_bits, init=[])
        write = table.write_port()
        read = table.read_port(domain="comb")
        first_end = last & (~last + 1)[: g.lanes]
        m.d.comb += [
            write.addr.eq(ended),
            write.data.eq(select_one(first_end, verdicts)),
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
            self.popular.eq(count(last & Cat(verdict == 0 for verdict in verdicts) & gate)),
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
                m.d.comb += self.output.payload.lanes[lane].misses.eq(read.data)
        return m

    def _sum(self, m: Module, name: str, left, right) -> Signal:
        """The sum of two numbers of misses. It saturates at MISSES_COUNTED."""
        total = Signal(range(2 * MISSES_COUNTED + 1), name=f"{name}_total")
        sum_ = Signal(MISS_BITS, name=f"{name}_sum")
        m.d.comb += [total.eq(left + right), sum_.eq(Mux(total > MISSES_COUNTED, MISSES_COUNTED, total))]
        return sum_

    @staticmethod
    def _scan(m: Module, name: str, items: list[tuple], combine) -> list[tuple]:
        """Item i becomes items 0 to i, combined in order, in log2 levels (Kogge and Stone). Items are (value, bit)."""
        distance = 1
        while distance < len(items):
            level = list(items)
            for index in range(distance, len(items)):
                label = f"{name}{distance}_{index}"
                value, bit = combine(label, items[index - distance], items[index])
                held_value, held_bit = Signal.like(value, name=f"{label}_value"), Signal(name=f"{label}_bit")
                m.d.comb += [held_value.eq(value), held_bit.eq(bit)]
                level[index] = held_value, held_bit
            items, distance = level, 2 * distance
        return items
