"""RowWalker: turns the names of rows into read requests."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.shell.layouts import EXTENT_BITS, ReadTarget, named_row, read_request, table_entry
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import TABLE_FIELD

__all__ = ["RowWalker"]

_TABLES = 1 << TABLE_FIELD.width
_STAGES = 4


class RowWalker(wiring.Component):
    """Finds the address of a row, table base + row * stride, and requests the row.

        names --> table memory --> row * stride --> + base --> requests
           '----> keys

    A row of an unknown table, or beyond its table, ends the walk. That row and all names behind it are dropped.

    Ports:
        start: a new walk.
        stop: names are dropped from now on.
        row_granules: granules of a row.
        want_keys: names go to `keys` too.
        table_write, table_index, table: sets up an embedding table. A table of 0 rows is unknown.
        names: payload `named_row`.
        keys: payload `named_row`. It is withdrawn while no request can leave.
        output: payload `read_request`.
        idle: it holds no name.
        unknown_table, beyond_table: why the walk has ended. Sticky.

    Throughput: a row a cycle. Latency: four cycles.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "start": In(1),
                "stop": In(1),
                "row_granules": In(EXTENT_BITS),
                "want_keys": In(1),
                "table_write": In(1),
                "table_index": In(TABLE_FIELD.width),
                "table": In(table_entry()),
                "names": In(stream.Signature(named_row())),
                "keys": Out(stream.Signature(named_row())),
                "output": Out(stream.Signature(read_request(geometry))),
                "idle": Out(1),
                "unknown_table": Out(1),
                "beyond_table": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.tables = store = memory.Memory(shape=table_entry(), depth=_TABLES, init=[])
        write = store.write_port()
        read = store.read_port()
        known = Signal(_TABLES)
        m.d.comb += [write.addr.eq(self.table_index), write.data.eq(self.table), write.en.eq(self.table_write)]
        with m.If(self.table_write):
            m.d.sync += known.bit_select(self.table_index, 1).eq(self.table.rows != 0)

        move = Signal()
        take = Signal()
        dropping = Signal()
        ended = Signal()
        valid = Signal(_STAGES)
        name = self.names.payload
        m.d.comb += [
            move.eq(~valid[-1] | self.output.ready),
            dropping.eq(ended | self.stop),
            self.keys.payload.eq(name),
            self.keys.valid.eq(self.names.valid & self.want_keys & move & ~dropping),
            take.eq(self.names.valid & (self.keys.ready | ~self.want_keys) & ~dropping),
            self.names.ready.eq(dropping | (move & (self.keys.ready | ~self.want_keys))),
            read.addr.eq(name.table),
            read.en.eq(move),
            self.idle.eq(~valid.any()),
            self.output.valid.eq(valid[-1]),
            self.output.payload.granules.eq(self.row_granules),
            self.output.payload.target.eq(ReadTarget.ROW),
        ]

        # Stage 0: the table's entry. 1: row times stride, by halves. 2: their sum. 3: the address.
        row = Signal(32)
        is_known = Signal()
        low = Signal(32)
        high = Signal(32)
        product = Signal(60)
        bases = [Signal(60, name=f"base{stage}") for stage in range(2)]
        unknown = Signal()
        beyond = Signal()
        m.d.comb += [
            unknown.eq(valid[0] & ~is_known),
            beyond.eq(valid[0] & is_known & (row >= read.data.rows)),
        ]
        with m.If(move):
            m.d.sync += [
                valid.eq(Cat(take, valid[0] & ~unknown & ~beyond & ~ended, valid[1:-1])),
                row.eq(name.row),
                is_known.eq(known.bit_select(name.table, 1)),
                low.eq(row[:16] * read.data.stride),
                high.eq(row[16:] * read.data.stride),
                bases[0].eq(read.data.base),
                product.eq(low + Cat(Const(0, 16), high)),
                bases[1].eq(bases[0]),
                self.output.payload.address.eq(Cat(Const(0, 4), (bases[1] + product)[:60])),
            ]
            with m.If((unknown | beyond) & ~ended):
                m.d.sync += [ended.eq(1), self.unknown_table.eq(unknown), self.beyond_table.eq(beyond)]
        with m.If(self.start):
            m.d.sync += [ended.eq(0), self.unknown_table.eq(0), self.beyond_table.eq(0)]
        return m
