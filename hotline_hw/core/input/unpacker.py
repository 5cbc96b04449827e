"""Unpacker: turns AXI4-Stream beats of lookup words into lanes, framed into samples and mini-batches."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.layouts import lookup_beat
from hotline_hw.lib.pipelines import delay, follow, scan, stage, sum_tree
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


def _inspected(geometry: Geometry) -> data.StructLayout:
    """A beat whose words were looked at. A word is `marked` as the last of its sample. A `null` beat has no word."""
    lane = data.StructLayout({"payload": PAYLOAD_FIELD.width, "valid": 1, "marked": 1, "bad": 1})
    return data.StructLayout({"lanes": data.ArrayLayout(lane, geometry.lanes), "null": 1, "last": 1})


def _bits(most: int) -> int:
    """Width of a number of 0 to `most`."""
    return most.bit_length()


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

    Throughput: one beat a cycle. Latency: six cycles, and more for eight lanes or more.
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

        # Inspect: what the words of a beat are.
        source = self.input.payload
        axis = Signal(_inspected(g), reset_less=True)
        axis_valid = Signal()
        axis_ready = Signal()
        m.d.comb += self.input.ready.eq(~axis_valid | axis_ready)
        seen = Signal(_inspected(g))
        for lane in lanes:
            word, keep = source.data[lane], source.keep.word_select(lane, WORD_BYTES)
            m.d.comb += [
                seen.lanes[lane].payload.eq(word[PAYLOAD_FIELD.low : PAYLOAD_FIELD.high + 1]),
                seen.lanes[lane].valid.eq(keep.any()),
                seen.lanes[lane].marked.eq(keep.any() & word[LAST_FIELD.low]),
                seen.lanes[lane].bad.eq(keep.any() & (~keep.all() | self._out_of_range(word))),
            ]
        m.d.comb += [seen.null.eq(~source.keep.any()), seen.last.eq(source.last)]
        with m.If(self.input.ready):
            m.d.sync += [axis_valid.eq(self.input.valid), axis.eq(seen)]

        # Intake: `held` is the newest beat. It moves on once it is known to be the last or to have a successor.
        held = Signal(_inspected(g), reset_less=True)
        held_valid = Signal()
        in_batch = Signal()  # beats of this mini-batch have been taken
        step = Signal()  # the pipeline behind moves
        accept = Signal()
        offered = Signal()
        m.d.comb += [
            accept.eq(axis_valid & axis_ready),
            # A null beat does not move `held` on. At most it makes `held` the last. Any other beat moves it on.
            offered.eq(held_valid & (held.last | (axis_valid & ~axis.null))),
            axis_ready.eq(Mux(held_valid, ~held.last & (axis.null | step), ~self.hold | in_batch)),
            # What is held before a mini-batch's first beat is the end of the one before it.
            self.started.eq(axis_valid & ~in_batch & ~held_valid & ~self.hold),
        ]
        with m.If(self.started):
            m.d.sync += self.newest_phase.eq(self.phase)
        with m.If(offered & step):
            m.d.sync += held_valid.eq(0)
        with m.If(accept):
            m.d.sync += in_batch.eq(~axis.last)
            with m.If(axis.null & held_valid):
                m.d.sync += held.last.eq(axis.last)
            with m.Elif(~axis.null | axis.last):
                m.d.sync += [held.eq(axis), held_valid.eq(1)]
        flags = {
            "learn": (self.newest_phase == Phase.LEARN) | (self.newest_phase == Phase.RELEARN),
            "classify": (self.newest_phase == Phase.CLASSIFY) | (self.newest_phase == Phase.RELEARN),
            "front": self.newest_phase == Phase.FRONT,
            "end": held.last,
        }
        self._frame(m, held, offered, step, flags)
        return m

    def _frame(self, m: Module, held: data.View, offered: Signal, step: Signal, flags: dict[str, Any]) -> None:
        """The words and the two rules tell where samples end."""
        g = self.geometry
        lanes = range(g.lanes)
        beat = [held.lanes[lane] for lane in lanes]
        valid, marked = [lane.valid for lane in beat], Cat(lane.marked for lane in beat)
        m.d.comb += step.eq(~self.output.valid | self.output.ready)

        # Count: the valid lanes up to each one, and those behind the last mark. The head is what belongs to the sample
        # that was open as the beat came.
        counts, cycles = scan(m, "counts", valid, lambda left, right: left + right, step)
        head = [~marked[:lane].any() & valid[lane] if lane else valid[0] for lane in lanes]
        final = [valid[lane] & held.last & ~Cat(valid[lane + 1 :]).any() for lane in lanes]
        rest, rest_cycles = sum_tree(m, "rest", [~marked[lane:].any() & valid[lane] for lane in lanes], step)
        now = {
            "lanes": beat, "head": head, "final": final, "marks": marked.any(),
            "bad": Cat(lane.bad for lane in beat).any(),
            "empty": held.last & ~Cat(valid).any() & ~flags["front"], **flags,
        }  # fmt: skip
        latency = max(cycles, rest_cycles)
        now = delay(m, "counting", now, latency, step)
        counts, rest = (
            delay(m, "counts_late", counts, latency - cycles, step),
            delay(m, "rest_late", rest, latency - rest_cycles, step),
        )
        left = (g.max_lookups - rest)[: _bits(g.max_lookups)]
        now = stage(m, "counted", step, counts=counts,
                    overflow=(g.max_lookups - counts[-1])[: _bits(g.max_lookups)], fresh=now["end"] | now["marks"],
                    begins=Mux(now["end"], g.max_lookups, left), **now)  # fmt: skip
        here = follow(m, "here", offered, latency + 2, step)

        # Fill: `room` is what the open sample may still take. A sample that has taken all ends there.
        room = Signal(range(g.max_lookups + 1), init=g.max_lookups)
        forced = [now["head"][lane] & (now["counts"][lane] == room) for lane in lanes]
        more, less = room + now["overflow"], room - now["counts"][-1]
        with m.If(step & here[latency + 1]):
            m.d.sync += room.eq(Mux(now["fresh"], now["begins"], Mux(room <= now["counts"][-1], more, less)))
        now = stage(m, "filled", step, forced=forced,
                    **{name: now[name] for name in ("lanes", "final", "bad", "empty", *flags)})  # fmt: skip

        out = self.output.payload
        too_long, left_open = [], []
        with m.If(step):
            m.d.sync += self.output.valid.eq(here[-1])
        for lane in lanes:
            source, is_forced, is_final = now["lanes"][lane], now["forced"][lane], now["final"][lane]
            too_long.append(is_forced & ~source.marked)
            left_open.append(is_final & ~source.marked & ~is_forced)
            with m.If(step):
                m.d.sync += [
                    *(out.lanes[lane][name].eq(source[name]) for name in ("payload", "valid", "bad")),
                    out.lanes[lane].last.eq(source.marked | is_forced | is_final),
                ]
        with m.If(step):
            m.d.sync += [out[name].eq(now[name]) for name in flags]
        comes = step & here[-1]
        m.d.sync += [
            self.index_range.eq(comes & now["bad"]),
            self.sample_too_long.eq(comes & Cat(too_long).any()),
            self.sample_open.eq(comes & Cat(left_open).any()),
            self.empty_batch.eq(comes & now["empty"]),
        ]
