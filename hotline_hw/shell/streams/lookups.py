"""LookupFeeder: turns lookups in memory into beats of lookup words for the core."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.shell.layouts import COUNT_BITS, read_beat
from hotline_hw.spec.descriptors import MAX_TABLES32
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import TABLE_FIELD, WORD_BITS

__all__ = ["LookupFeeder", "lookup_words"]


def lookup_words(geometry: Geometry) -> data.StructLayout:
    """A beat of s_axis_lookup, with one keep bit for each word."""
    return data.StructLayout({"words": data.ArrayLayout(WORD_BITS, geometry.lanes), "keep": geometry.lanes, "last": 1})


class LookupFeeder(wiring.Component):
    """Turns a buffer of `count` lookups into one mini-batch. The buffer holds 64-bit lookup words, or 32-bit rows.

    If `tables` = T is above 0, the buffer holds rows. Row i belongs to table i modulo T, and the row of table T - 1
    ends its sample. Otherwise the lookup words pass as they are. Lookups that could not be read are left out. The
    mini-batch ends all the same.

    Ports:
        start: `count` and `tables` are taken.
        input: payload `read_beat`, the buffer.
        output: payload `lookup_words`.
        done: the last beat has left.

    Throughput: one beat a cycle, with as many lookups as a bus beat and `lanes` allow. Latency: none, except that the
    first beat comes `lanes` + 1 cycles after `start`.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "start": In(1),
                "count": In(COUNT_BITS),
                "tables": In(range(MAX_TABLES32 + 1)),
                "input": In(stream.Signature(read_beat(geometry))),
                "output": Out(stream.Signature(lookup_words(geometry))),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        wide = g.axi_bits // WORD_BITS  # 64-bit words of a bus beat; as many 32-bit rows make up one beat's `lanes`
        narrow = min(g.lanes, 2 * wide)
        parts = 2 * wide // narrow
        beat, out = self.input.payload, self.output.payload

        left = Signal(COUNT_BITS)
        tables = Signal(range(MAX_TABLES32 + 1))
        by_row = Signal()
        part = Signal(range(max(2, parts)))
        # What follows from `left` and `tables` is found a beat ahead, so that a beat waits for no sum.
        running = Signal()
        last = Signal()  # the next beat is the last
        step = Signal(range(MAX_TABLES32))  # `narrow` modulo T
        back = Signal(TABLE_FIELD.width + 2)  # step - T, negative
        last_table = Signal(range(MAX_TABLES32))
        # The table of each lane: lane modulo T at first, found one by one when a buffer begins.
        of_table = [Signal(range(MAX_TABLES32), name=f"table{lane}") for lane in range(narrow)]
        preparing = Signal(range(narrow + 2))

        with m.If(self.start):
            m.d.sync += [
                left.eq(self.count), tables.eq(self.tables), by_row.eq(self.tables != 0), part.eq(0), step.eq(0),
                preparing.eq(narrow + 1),
            ]  # fmt: skip
        with m.Elif(preparing != 0):
            m.d.sync += preparing.eq(preparing - 1)
            m.d.sync += last.eq(Mux(by_row, _at_most(left, narrow), _at_most(left, wide)))
            with m.If(preparing != 1):
                m.d.sync += step.eq(Mux(step + 1 == tables, 0, step + 1))
                m.d.sync += [there.eq(here) for there, here in zip(of_table, [*of_table[1:], step], strict=True)]
            with m.Else():
                m.d.sync += running.eq(left != 0)
        m.d.sync += [back.eq(step - tables), last_table.eq(tables - 1)]

        taken = Signal(range(g.lanes + 1))
        m.d.comb += [
            taken.eq(Mux(by_row, narrow, wide)),
            self.output.valid.eq(self.input.valid & running),
            out.last.eq(last),
            self.input.ready.eq(self.output.ready & running & (~by_row | (part == parts - 1) | last)),
            self.done.eq(left == 0),
        ]

        rows = Signal(narrow * 32)
        with m.Switch(part):
            for index in range(parts):
                with m.Case(index):
                    m.d.comb += rows.eq(beat.data[index * narrow * 32 :][: narrow * 32])
        zeros = Const(0, WORD_BITS - 1 - TABLE_FIELD.high - 1)
        for lane in range(g.lanes):
            word = Const(0, WORD_BITS)
            if lane < wide:
                word = beat.data.word_select(lane, WORD_BITS)
            if lane < narrow:
                table = Signal(TABLE_FIELD.width, name=f"table_of_lane{lane}")
                m.d.comb += table.eq(of_table[lane])
                ends = table == last_table
                word = Mux(by_row, Cat(rows.word_select(lane, 32), table, zeros, ends), word)
            here = left[: g.lanes.bit_length()] > lane  # the last beat has no more than `lanes`
            m.d.comb += out.words[lane].eq(word)
            m.d.comb += out.keep[lane].eq((here | ~last) & (taken > lane) & ~beat.fault)
        with m.If(self.output.valid & self.output.ready):
            m.d.sync += [
                left.eq(Mux(last, 0, left - taken)),
                running.eq(~last),
                last.eq(Mux(by_row, _at_most(left, 2 * narrow), _at_most(left, 2 * wide))),
                part.eq(Mux(by_row & (part != parts - 1), part + 1, 0)),
            ]
            for table in of_table:
                less = Signal(TABLE_FIELD.width + 2, name="less")
                m.d.comb += less.eq(table + back)
                m.d.sync += table.eq(Mux(less[-1], table + step, less))
        return m


def _at_most(value: Signal, power: int) -> Value:
    """Whether value <= power, a power of two."""
    bit = power.bit_length() - 1
    return ~value[bit + 1 :].any() & ~(value[bit] & value[:bit].any())
