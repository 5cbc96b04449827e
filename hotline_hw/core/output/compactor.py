"""BeatCompactor: closes the gaps between the words of a packet."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.layouts import axis_beat, encode

__all__ = ["BeatCompactor", "sparse_beat"]


def sparse_beat(lanes: int, word_bits: int) -> data.StructLayout:
    """Words of which any subset is kept: those whose bit in `keep` is set. `last` ends the packet."""
    return data.StructLayout({"words": data.ArrayLayout(word_bits, lanes), "keep": lanes, "last": 1})


class BeatCompactor(wiring.Component):
    """Packs the kept words of sparse beats into dense beats, in order.

    Words gather in a residue of 1 to `lanes` words. It leaves as a full beat when a word comes that does not fit, or
    with `last`. So every beat of a packet but its last is full, and only a packet without words has a null beat.

    Ports:
        input: Stream of `sparse_beat`.
        output: Stream of `axis_beat`.

    Throughput: one beat a cycle. A packet whose last beat overflows the residue takes one cycle more. Latency: 2
    cycles.
    """

    def __init__(self, *, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(
            {"input": In(stream.Signature(sparse_beat(lanes, 64))), "output": Out(stream.Signature(axis_beat(lanes)))}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes = range(self.lanes)
        lane_bits = (self.lanes - 1).bit_length()

        # Place: the position of each word in the residue, and whether it falls in the beat after this one.
        level = Signal(range(self.lanes + 1))  # words in the residue, as of the placed beat's arrival
        placed = Signal(sparse_beat(self.lanes, 64), reset_less=True)
        placed_valid = Signal()
        position = Signal(data.ArrayLayout(lane_bits, self.lanes), reset_less=True)
        wraps = Signal(self.lanes)
        full = Signal()  # the residue and the new words are more than a beat
        total_after = Signal(range(self.lanes + 1))  # residue level behind the placed beat
        step = Signal()
        kept = Const(0)
        keep = self.input.payload.keep
        for lane in lanes:
            target = Signal(range(2 * self.lanes), name=f"target{lane}")
            m.d.comb += target.eq(level + kept)
            with m.If(self.input.ready):
                m.d.sync += [position[lane].eq(target[:lane_bits]), wraps[lane].eq(target[lane_bits:].any())]
            kept = kept + keep[lane]
        total = Signal(range(2 * self.lanes + 1))
        over = Signal()
        left = Signal(range(self.lanes + 1))
        m.d.comb += [
            total.eq(level + kept),
            over.eq(total > self.lanes),
            left.eq(Mux(over, total - self.lanes, total)),
            self.input.ready.eq(~placed_valid | step),
        ]
        with m.If(self.input.ready):
            m.d.sync += [placed_valid.eq(self.input.valid), placed.eq(self.input.payload)]
            m.d.sync += [full.eq(over), total_after.eq(left)]
            with m.If(self.input.valid):
                m.d.sync += level.eq(Mux(self.input.payload.last, 0, left))

        # Merge: the residue with the new words. `flush` sends what a last beat left over.
        residue = Signal(data.ArrayLayout(64, self.lanes), reset_less=True)
        held = Signal(self.lanes)  # residue words that are there
        flush = Signal()
        flush_count = Signal(range(self.lanes + 1))
        free = Signal()  # the output register takes a beat
        m.d.comb += [free.eq(~self.output.valid | self.output.ready), step.eq(placed_valid & free & ~flush)]
        merged = Signal(data.ArrayLayout(64, self.lanes))
        arrived = Signal(self.lanes)
        wrapped = Signal(self.lanes)
        fresh = Signal(data.ArrayLayout(64, self.lanes))
        with m.If(placed_valid):
            for target in lanes:
                chosen = Signal(self.lanes, name=f"chosen{target}")
                m.d.comb += chosen.eq(placed.keep & Cat(position[lane] == target for lane in lanes))
                with m.Switch(encode(chosen)):
                    for lane in lanes:
                        with m.Case(lane):
                            m.d.comb += fresh[target].eq(placed.words[lane])
                m.d.comb += [
                    arrived[target].eq((chosen & ~wraps).any()),
                    wrapped[target].eq((chosen & wraps).any()),
                ]
        for target in lanes:
            m.d.comb += merged[target].eq(Mux(held[target], residue[target], fresh[target]))

        with m.If(free):
            m.d.sync += self.output.valid.eq(0)
            with m.If(flush):
                m.d.sync += [
                    self.output.valid.eq(1),
                    self.output.payload.words.eq(residue),
                    self.output.payload.count.eq(flush_count),
                    self.output.payload.last.eq(1),
                    flush.eq(0),
                    held.eq(0),
                ]
            with m.Elif(placed_valid):
                m.d.sync += [
                    self.output.payload.words.eq(merged),
                    self.output.payload.last.eq(placed.last & ~full),
                    self.output.payload.count.eq(Mux(full, self.lanes, total_after)),
                    self.output.valid.eq(full | placed.last),
                    flush.eq(full & placed.last),
                    flush_count.eq(total_after),
                ]
                with m.If(full):
                    m.d.sync += [residue.eq(fresh), held.eq(wrapped)]
                with m.Else():
                    m.d.sync += [residue.eq(merged), held.eq(Mux(placed.last, 0, held | arrived))]
        return m
