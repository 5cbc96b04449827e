"""BeatCompactor: closes the gaps between the words of a packet."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.layouts import axis_beat, encode
from hotline_hw.lib.pipelines import TRANSPARENT, delay, follow, scan, stage

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

    Throughput: one beat a cycle. A packet whose last beat overflows the residue takes one cycle more. Latency: five
    cycles, and one more for each two doublings of the lanes. The whole pipeline stops while its end waits.
    """

    REGISTERED = True
    """Whether the pipeline before the residue has its registers."""

    def __init__(self, *, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(
            {"input": In(stream.Signature(sparse_beat(lanes, 64))), "output": Out(stream.Signature(axis_beat(lanes)))}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes = range(self.lanes)
        lane_bits = (self.lanes - 1).bit_length()
        step = Signal()  # the pipeline moves
        move = step if self.REGISTERED else TRANSPARENT
        m.d.comb += self.input.ready.eq(step)

        # Count: for each word, how many of its beat are kept before it.
        beat = self.input.payload
        counts, cycles = scan(m, "counts", list(beat.keep), lambda left, right: left + right, move)
        here = follow(m, "here", self.input.valid, cycles + 3, move)
        counted = {
            "words": [beat.words[lane] for lane in lanes],
            "keep": [beat.keep[lane] for lane in lanes],
            "last": beat.last,
        }
        counted = delay(m, "counted", counted, cycles, move)

        # Place: the position of each word in the residue, and whether it falls in the beat after this one.
        level = Signal(range(self.lanes + 1))  # words in the residue, as of this beat's arrival
        total = Signal(range(2 * self.lanes + 1))
        over = Signal()
        left = Signal(range(self.lanes + 1))
        m.d.comb += [
            total.eq(level + counts[-1]),
            over.eq(total > self.lanes),
            left.eq(Mux(over, total - self.lanes, total)),
        ]
        with m.If(step & here[cycles]):
            m.d.sync += level.eq(Mux(counted["last"], 0, left))
        before = [Const(0, 1), *counts[:-1]]
        placed = stage(
            m, "placed", move, **counted, full=over, left=left,
            targets=[(level + before[lane])[: lane_bits + 1] for lane in lanes],
        )  # fmt: skip

        # Choose: for each target, the word that goes there.
        chosen, arrived, wrapped = [], [], []
        for target in lanes:
            to_here = Signal(self.lanes, name=f"to{target}")
            wraps = Cat(placed["targets"][lane][lane_bits] for lane in lanes)
            m.d.comb += to_here.eq(
                Cat(placed["keep"][lane] & (placed["targets"][lane][:lane_bits] == target) for lane in lanes)
            )
            chosen.append(encode(to_here))
            arrived.append((to_here & ~wraps).any())
            wrapped.append((to_here & wraps).any())
        ready = stage(
            m, "ready", move, chosen=chosen, arrived=Cat(arrived), wrapped=Cat(wrapped),
            **{name: placed[name] for name in ("words", "last", "full", "left")},
        )  # fmt: skip

        # Move: words to their targets.
        moved = []
        for target in lanes:
            word = Signal(64, name=f"moved{target}")
            with m.Switch(ready["chosen"][target]):
                for lane in lanes:
                    with m.Case(lane):
                        m.d.comb += word.eq(ready["words"][lane])
            moved.append(word)
        fresh = stage(
            m, "fresh", move, words=moved,
            **{name: ready[name] for name in ("arrived", "wrapped", "last", "full", "left")},
        )  # fmt: skip
        self._merge(m, step, here[-1], fresh)
        return m

    def _merge(self, m: Module, step: Signal, here: Value, fresh: dict[str, Any]) -> None:
        """Merges the residue with the new words. `flush` sends what a last beat left over."""
        residue = Signal(data.ArrayLayout(64, self.lanes), reset_less=True)
        held = Signal(self.lanes)  # residue words that are there
        flush = Signal()
        flush_count = Signal(range(self.lanes + 1))
        free = Signal()  # the output register takes a beat
        m.d.comb += [free.eq(~self.output.valid | self.output.ready), step.eq(free & ~flush)]
        merged = Signal(data.ArrayLayout(64, self.lanes))
        for target in range(self.lanes):
            m.d.comb += merged[target].eq(Mux(held[target], residue[target], fresh["words"][target]))

        out, last, full = self.output.payload, fresh["last"], fresh["full"]
        with m.If(free):
            # What `flush` sends is in the residue, and all of its words are held. So `merged` is the residue.
            m.d.sync += [
                self.output.valid.eq(flush | (here & (full | last))),
                out.words.eq(merged),
                out.last.eq(flush | (last & ~full)),
                out.count.eq(Mux(flush, flush_count, Mux(full, self.lanes, fresh["left"]))),
                flush.eq(~flush & here & full & last),
                flush_count.eq(fresh["left"]),
            ]
        with m.If(step & here):
            with m.If(full):
                m.d.sync += [residue.eq(Cat(fresh["words"])), held.eq(fresh["wrapped"])]
            with m.Else():
                m.d.sync += [residue.eq(merged), held.eq(Mux(last, 0, held | fresh["arrived"]))]
        with m.If(free & flush):
            m.d.sync += held.eq(0)
