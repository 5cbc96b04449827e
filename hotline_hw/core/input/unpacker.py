"""Unpacker: turns AXI4-Stream beats of lookup words into lanes, framed into samples and mini-batches."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.layouts import lookup_beat
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import Phase
from hotline_hw.spec.words import (
    LAST_FIELD,
    PAYLOAD_FIELD,
    RESERVED_FIELD,
    ROW_FIELD,
    TABLE_FIELD,
    WORD_BITS,
    WORD_BYTES,
)

__all__ = ["Unpacker", "lookup_axis"]


def lookup_axis(geometry: Geometry) -> data.StructLayout:
    """Payload of s_axis_lookup: `lanes` words, and a keep bit for each of their bytes."""
    return data.StructLayout(
        {"data": data.ArrayLayout(WORD_BITS, geometry.lanes), "keep": geometry.lanes * WORD_BYTES, "last": 1}
    )


class Unpacker(wiring.Component):
    """Cuts the lookup stream into samples and mini-batches. It marks lookups that cannot be looked up.

    One beat of the mini-batch is held back until its successor is known. So a null beat with tlast ends the mini-batch
    on the beat before it. Framing errors are mended here (see `regmap.Error`). So all blocks behind see samples of 1 to
    `max_lookups` lookups, and each sample is closed before its mini-batch ends.

    Ports:
        input: Stream of `lookup_axis`.
        output: Stream of `lookup_beat`. A null beat occurs only as a whole mini-batch.
        phase: A `regmap.Phase`, sampled at a mini-batch's first beat.
        hold: No new mini-batch starts.
        started: Pulse. A mini-batch starts.
        newest_phase: Phase of the newest mini-batch.
        index_range, sample_too_long, sample_open, empty_batch: Error pulses.

    Throughput: one beat a cycle. Latency: one cycle.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "input": In(stream.Signature(lookup_axis(geometry))),
                "output": Out(stream.Signature(lookup_beat(geometry))),
                "phase": In(2),
                "hold": In(1),
                "started": Out(1),
                "newest_phase": Out(2),
                "index_range": Out(1),
                "sample_too_long": Out(1),
                "sample_open": Out(1),
                "empty_batch": Out(1),
            }
        )

    def _out_of_range(self, word) -> object:
        """Whether any bit of the lookup word above the geometry's table and row is set."""
        g = self.geometry
        return (
            word[RESERVED_FIELD.low : RESERVED_FIELD.high + 1].any()
            | word[TABLE_FIELD.low + g.table_bits : TABLE_FIELD.high + 1].any()
            | word[ROW_FIELD.low + g.row_bits : ROW_FIELD.high + 1].any()
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        lanes = range(g.lanes)

        # Intake: `held` is the newest beat. It moves on once it is known to be the last or to have a successor.
        held = Signal(lookup_axis(g))
        held_valid = Signal()
        in_batch = Signal()  # beats of this mini-batch have been taken
        null = Signal()
        accept = Signal()
        release = Signal()
        m.d.comb += [
            null.eq(~self.input.payload.keep.any()),
            accept.eq(self.input.valid & self.input.ready),
            # A null beat does not move `held` on. At most it makes `held` the last. Any other beat moves it on.
            self.output.valid.eq(held_valid & (held.last | (self.input.valid & ~null))),
            release.eq(self.output.valid & self.output.ready),
            self.input.ready.eq(Mux(held_valid, Mux(held.last, 0, null | self.output.ready), ~self.hold | in_batch)),
            self.started.eq(accept & ~in_batch),
        ]
        with m.If(self.started):
            m.d.sync += self.newest_phase.eq(self.phase)
        with m.If(release):
            m.d.sync += held_valid.eq(0)
        with m.If(accept):
            m.d.sync += in_batch.eq(~self.input.payload.last)
            with m.If(null & held_valid):
                m.d.sync += held.last.eq(self.input.payload.last)
            with m.Elif(~null | self.input.payload.last):
                m.d.sync += [held.eq(self.input.payload), held_valid.eq(1)]

        # Framing: the words and the two rules tell where samples end.
        room = Signal(range(g.max_lookups + 1), init=g.max_lookups)  # lookups that the open sample may still take
        valid = Signal(g.lanes)
        partial = Signal(g.lanes)
        marked = Signal(g.lanes)
        for lane in lanes:
            kept = held.keep.word_select(lane, WORD_BYTES)
            m.d.comb += [
                valid[lane].eq(kept.any()),
                partial[lane].eq(~kept.all()),
                marked[lane].eq(kept.any() & held.data[lane][LAST_FIELD.low]),
            ]
        forced = Signal(g.lanes)
        final = Signal(g.lanes)
        count = [Const(0)]  # valid lanes up to and including this one
        for lane in lanes:
            total = Signal(range(g.lanes + 1), name=f"count{lane}")
            m.d.comb += total.eq(count[-1] + valid[lane])
            count.append(total)
            in_head = ~marked[:lane].any() if lane else Const(1)  # the sample that was open as the beat came
            m.d.comb += [
                forced[lane].eq(valid[lane] & in_head & (total == room)),
                final[lane].eq(valid[lane] & held.last & ~valid[lane + 1 :].any() if lane + 1 < g.lanes
                               else valid[lane] & held.last),
            ]  # fmt: skip
        ends = Signal(g.lanes)
        m.d.comb += ends.eq(marked | forced | final)

        # Lookups of the sample that is open behind the beat. They come after the last end.
        tail = Signal(range(g.lanes + 1))
        m.d.comb += tail.eq(count[-1])
        for lane in lanes:
            with m.If(ends[lane]):
                m.d.comb += tail.eq(count[-1] - count[lane + 1])
        with m.If(release):
            m.d.sync += room.eq(Mux(ends.any(), g.max_lookups, room) - tail)

        bad = Signal(g.lanes)
        out = self.output.payload
        for lane in lanes:
            word = held.data[lane]
            m.d.comb += [
                bad[lane].eq(valid[lane] & (partial[lane] | self._out_of_range(word))),
                out.lanes[lane].payload.eq(word[PAYLOAD_FIELD.low : PAYLOAD_FIELD.high + 1]),
                out.lanes[lane].valid.eq(valid[lane]),
                out.lanes[lane].last.eq(ends[lane]),
                out.lanes[lane].bad.eq(bad[lane]),
            ]
        m.d.comb += [
            out.learn.eq((self.newest_phase == Phase.LEARN) | (self.newest_phase == Phase.RELEARN)),
            out.classify.eq((self.newest_phase == Phase.CLASSIFY) | (self.newest_phase == Phase.RELEARN)),
            out.front.eq(self.newest_phase == Phase.FRONT),
            out.end.eq(held.last),
        ]

        m.d.sync += [
            self.index_range.eq(release & bad.any()),
            self.sample_too_long.eq(release & (forced & ~marked).any()),
            self.sample_open.eq(release & (final & ~marked & ~forced).any()),
            self.empty_batch.eq(release & held.last & ~valid.any() & ~out.front),
        ]
        return m
