"""RowWalker: turns the names of rows into read requests."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.shell.layouts import EXTENT_BITS, ReadTarget, named_row, read_request, table_entry
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import TABLE_FIELD

__all__ = ["RowWalker"]

_TABLES = 1 << TABLE_FIELD.width
_STAGES = 6
_HALF = 32  # granules of an address are added in two halves


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
        clearing: after a reset, every table becomes unknown, one a cycle. None is set up, and no walk starts meanwhile.
        names: payload `named_row`.
        keys: payload `named_row`. It is withdrawn while no request can leave.
        output: payload `read_request`.
        idle: it holds no name.
        unknown_table, beyond_table: why the walk has ended. Sticky.

    Throughput: a row a cycle. Latency: six cycles.
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
                "clearing": Out(1, init=1),
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
        cleared = Signal(range(_TABLES + 1))  # tables, since a reset
        m.d.comb += [
            self.clearing.eq(~cleared[-1]),
            write.en.eq(self.table_write | self.clearing),
            write.addr.eq(Mux(self.clearing, cleared[:-1], self.table_index)),
            write.data.eq(Mux(self.clearing, 0, self.table.as_value())),
        ]
        with m.If(self.clearing):
            m.d.sync += cleared.eq(cleared + 1)

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

        # Stage 0: the memory's entry. 1: the entry. 2: row times stride, by halves, and whether there is such a table
        # and such a row. 3: the sum of the halves. 4: the lower half of the address. 5: all of it.
        rows = [Signal(32, name=f"row{stage}") for stage in range(2)]
        entry = Signal(table_entry())
        low = Signal(32)
        high = Signal(32)
        unknown = Signal()
        beyond = Signal()
        product = Signal(60)
        bases = [Signal(60, name=f"base{stage}") for stage in range(2)]
        lower = Signal(_HALF + 1)
        upper = [Signal(60 - _HALF, name=name) for name in ("base_upper", "product_upper")]
        some = entry.rows != 0
        with m.If(move):
            m.d.sync += [
                valid.eq(Cat(take, valid[:2], valid[2] & ~unknown & ~beyond & ~ended, valid[3:-1])),
                rows[0].eq(name.row),
                rows[1].eq(rows[0]), entry.eq(read.data),
                low.eq(rows[1][:16] * entry.stride), high.eq(rows[1][16:] * entry.stride), bases[0].eq(entry.base),
                unknown.eq(valid[1] & ~some), beyond.eq(valid[1] & some & (rows[1] >= entry.rows)),
                product.eq(low + Cat(Const(0, 16), high)), bases[1].eq(bases[0]),
                lower.eq(bases[1][:_HALF] + product[:_HALF]),
                upper[0].eq(bases[1][_HALF:]), upper[1].eq(product[_HALF:]),
                self.output.payload.address.eq(
                    Cat(Const(0, 4), lower[:_HALF], (upper[0] + upper[1] + lower[_HALF])[: 60 - _HALF])
                ),
            ]  # fmt: skip
            with m.If((unknown | beyond) & ~ended):
                m.d.sync += [ended.eq(1), self.unknown_table.eq(unknown), self.beyond_table.eq(beyond)]
        with m.If(self.start):
            m.d.sync += [ended.eq(0), self.unknown_table.eq(0), self.beyond_table.eq(0)]
        return m
