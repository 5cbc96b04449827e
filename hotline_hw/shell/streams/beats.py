"""Turns the core's beats and single words into the beats that WriteEngine writes, and back for RESTORE."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.layouts import state_beat
from hotline_hw.shell.layouts import read_beat, single_word, write_beat
from hotline_hw.spec.descriptors import VALUE_FIELD
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import HIT_FIELD, LAST_FIELD, WORD_BITS

__all__ = ["BeatFiller", "ResultPacker", "StateJoiner", "StateSplitter", "cut_result", "result_beat"]

_RESULT_BITS = 32


class BeatFiller(wiring.Component):
    """Collects words into beats, a word a cycle.

    Ports:
        input: payload `single_word`.
        output: payload `write_beat`. Every `last` comes out, even without a word.
    """

    def __init__(self, geometry: Geometry, word_bits: int) -> None:
        self.geometry, self.word_bits = geometry, word_bits
        super().__init__(
            {
                "input": In(stream.Signature(single_word(word_bits))),
                "output": Out(stream.Signature(write_beat(geometry))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self.word_bits
        room = self.geometry.axi_bits // bits
        word, out = self.input.payload, self.output.payload
        place = Signal(range(room))
        m.d.comb += self.input.ready.eq(~self.output.valid | self.output.ready)
        with m.If(self.input.ready):
            m.d.sync += self.output.valid.eq(0)
            with m.If(self.input.valid):
                with m.Switch(place):
                    for index in range(room):
                        with m.Case(index):
                            m.d.sync += out.data.word_select(index, bits).eq(word.word)
                m.d.sync += [
                    out.words.eq((place + word.some) * (bits // 32)),
                    out.last.eq(word.last),
                    self.output.valid.eq(word.last | (word.some & (place == room - 1))),
                    place.eq(Mux(word.last, 0, place + word.some)),
                ]
        return m


def result_beat(words: int) -> data.StructLayout:
    """Result words of a beat, as `spec.descriptors` says. The first `count` are there. `last` ends the packet."""
    return data.StructLayout({"words": data.ArrayLayout(_RESULT_BITS, words), "count": range(words + 1), "last": 1})


def cut_result(word: Value) -> Value:
    """A result word of the core, cut to the 32 bits of `spec.descriptors`."""
    return Cat(word[VALUE_FIELD.low : VALUE_FIELD.high + 1], word[HIT_FIELD.low], word[LAST_FIELD.low])


class ResultPacker(wiring.Component):
    """Puts result words in beats of the bus.

    Ports:
        input: payload `result_beat`. It is dense: every beat but the packet's last is full.
        output: payload `write_beat`.

    Throughput: a beat of the narrower side a cycle.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "input": In(stream.Signature(result_beat(geometry.lanes))),
                "output": Out(stream.Signature(write_beat(geometry))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        beat, out = self.input.payload, self.output.payload
        results = beat.words.as_value()
        room = g.axi_bits // _RESULT_BITS
        if room > g.lanes:
            self._collect(m, results, room // g.lanes)
        else:
            parts = g.lanes // room
            part = Signal(range(max(2, parts)))
            left = Signal(range(g.lanes + 1))
            final = Signal()
            chosen = Signal(g.axi_bits)
            with m.Switch(part):
                for index in range(parts):
                    with m.Case(index):
                        m.d.comb += [
                            chosen.eq(results.word_select(index, g.axi_bits)),
                            left.eq(Mux(beat.count > index * room, beat.count - index * room, 0)),
                        ]
            m.d.comb += [
                final.eq(left <= room),
                out.data.eq(chosen),
                out.words.eq(Mux(final, left, room)),
                out.last.eq(beat.last & final),
                self.output.valid.eq(self.input.valid),
                self.input.ready.eq(self.output.ready & final),
            ]
            with m.If(self.output.valid & self.output.ready):
                m.d.sync += part.eq(Mux(final, 0, part + 1))
        return m

    def _collect(self, m: Module, results, beats: int) -> None:
        """Used if several of the core's beats make up one beat of the bus."""
        lanes, bits = self.geometry.lanes, self.geometry.lanes * _RESULT_BITS
        beat, out = self.input.payload, self.output.payload
        place = Signal(range(beats))
        m.d.comb += self.input.ready.eq(~self.output.valid | self.output.ready)
        with m.If(self.input.ready):
            m.d.sync += self.output.valid.eq(0)
            with m.If(self.input.valid):
                with m.Switch(place):
                    for index in range(beats):
                        with m.Case(index):
                            m.d.sync += out.data.word_select(index, bits).eq(results)
                m.d.sync += [
                    out.words.eq(place * lanes + beat.count),
                    out.last.eq(beat.last),
                    self.output.valid.eq(beat.last | (place == beats - 1)),
                    place.eq(Mux(beat.last, 0, place + 1)),
                ]


class StateSplitter(wiring.Component):
    """Cuts beats of m_axis_state into beats of the bus. Each beat of the state has the words of a set.

    Ports:
        input: payload `state_beat`.
        output: payload `write_beat`.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "input": In(stream.Signature(state_beat(geometry))),
                "output": Out(stream.Signature(write_beat(geometry))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        beat, out = self.input.payload, self.output.payload
        parts = g.ways * WORD_BITS // g.axi_bits
        part = Signal(range(max(2, parts)))
        final = part == parts - 1
        with m.Switch(part):
            for index in range(parts):
                with m.Case(index):
                    m.d.comb += out.data.eq(beat.words.as_value().word_select(index, g.axi_bits))
        m.d.comb += [
            out.words.eq(g.axi_bits // 32),
            out.last.eq(beat.last & final),
            self.output.valid.eq(self.input.valid),
            self.input.ready.eq(self.output.ready & final),
        ]
        with m.If(self.output.valid & self.output.ready):
            m.d.sync += part.eq(Mux(final, 0, part + 1))
        return m


class StateJoiner(wiring.Component):
    """Joins a buffer of sets in memory into beats of s_axis_state.

    Ports:
        input: payload `read_beat`.
        output: payload `state_beat`. `last` comes with the buffer's last beat.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "input": In(stream.Signature(read_beat(geometry))),
                "output": Out(stream.Signature(state_beat(geometry))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        beat, out = self.input.payload, self.output.payload
        parts = g.ways * WORD_BITS // g.axi_bits
        part = Signal(range(max(2, parts)))
        m.d.comb += self.input.ready.eq(~self.output.valid | self.output.ready)
        with m.If(self.input.ready):
            m.d.sync += self.output.valid.eq(0)
            with m.If(self.input.valid):
                with m.Switch(part):
                    for index in range(parts):
                        with m.Case(index):
                            m.d.sync += out.words.as_value().word_select(index, g.axi_bits).eq(beat.data)
                m.d.sync += [
                    out.last.eq(beat.last),
                    self.output.valid.eq(part == parts - 1),
                    part.eq(Mux(part == parts - 1, 0, part + 1)),
                ]
        return m
