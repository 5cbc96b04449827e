"""GranulePacker: puts pieces of data end to end."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.spec.descriptors import GRANULE_BYTES
from hotline_hw.spec.params import Geometry

__all__ = ["GranulePacker", "packed_beat", "piece_beat"]

_BITS = 8 * GRANULE_BYTES


def piece_beat(geometry: Geometry) -> data.StructLayout:
    """A piece: granules `first` to `first + count - 1` of `data`. It is empty if `count` is 0.

    `end`: nothing is put behind this piece.
    """
    return data.StructLayout(
        {
            "data": geometry.axi_bits,
            "first": range(max(2, geometry.granules)),
            "count": range(geometry.granules + 1),
            "end": 1,
        }
    )


def packed_beat(geometry: Geometry) -> data.StructLayout:
    """`count` granules from the bottom. The beat is full unless `end` is high."""
    return data.StructLayout({"data": geometry.axi_bits, "count": range(geometry.granules + 1), "end": 1})


class GranulePacker(wiring.Component):
    """Puts pieces end to end, from the bottom of a beat on. It begins a new beat after `end`.

    It is used twice: to align a row whose granules begin in the middle of a bus beat, and to put rows side by side.

    Ports:
        input: payload `piece_beat`.
        output: payload `packed_beat`. Every `end` comes out once, even without granules.
        busy: it holds granules, or a beat that was not taken.

    Throughput: one piece a cycle. An `end` that overflows its beat costs a second cycle. Latency: one cycle.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "input": In(stream.Signature(piece_beat(geometry))),
                "output": Out(stream.Signature(packed_beat(geometry))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        size = self.geometry.granules
        if size == 1:
            return self._pass_on()
        m = Module()
        piece, out = self.input.payload, self.output.payload
        places = range(size)
        hold = Signal(size * _BITS, reset_less=True)
        level = Signal(range(max(2, size)))
        overflowed = Signal()  # `hold` is what is left behind an end

        lowered = Signal(size * _BITS)
        with m.Switch(piece.first):
            for first in places:
                with m.Case(first):
                    m.d.comb += lowered.eq(piece.data >> first * _BITS)
        kept = Cat(Mux(piece.count > place, lowered.word_select(place, _BITS), 0) for place in places)
        merged = Signal(2 * size * _BITS)
        with m.Switch(level):
            for place in places:
                with m.Case(place):
                    m.d.comb += merged.eq(Cat(hold[: place * _BITS], kept, Const(0, (size - place) * _BITS)))
        total = Signal(range(2 * size + 1))
        free = Signal()
        m.d.comb += [
            total.eq(level + piece.count),
            free.eq(~self.output.valid | self.output.ready),
            self.input.ready.eq(free & ~overflowed),
            self.busy.eq(self.output.valid | overflowed | (level != 0)),
        ]
        with m.If(free):
            m.d.sync += self.output.valid.eq(0)
            with m.If(overflowed):
                m.d.sync += [
                    self.output.valid.eq(1), out.data.eq(hold), out.count.eq(level), out.end.eq(1),
                    overflowed.eq(0), level.eq(0),
                ]  # fmt: skip
            with m.Elif(self.input.valid):
                m.d.sync += [
                    out.data.eq(merged[: size * _BITS]),
                    out.count.eq(Mux(total >= size, size, total)),
                    out.end.eq(piece.end & (total <= size)),
                    self.output.valid.eq((total >= size) | piece.end),
                ]
                with m.If(total >= size):
                    m.d.sync += [
                        hold.eq(merged[size * _BITS :]),
                        level.eq(total - size),
                        overflowed.eq(piece.end & (total > size)),
                    ]
                with m.Else():
                    m.d.sync += [hold.eq(merged[: size * _BITS]), level.eq(Mux(piece.end, 0, total))]
        return m

    def _pass_on(self) -> Module:
        """Used if a beat has one granule: pieces without one are dropped, unless they end something."""
        m = Module()
        piece, out = self.input.payload, self.output.payload
        m.d.comb += [self.input.ready.eq(~self.output.valid | self.output.ready), self.busy.eq(self.output.valid)]
        with m.If(self.input.ready):
            m.d.sync += [
                self.output.valid.eq(self.input.valid & (piece.end | (piece.count != 0))),
                out.data.eq(piece.data), out.count.eq(piece.count), out.end.eq(piece.end),
            ]  # fmt: skip
        return m
