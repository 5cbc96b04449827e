"""RowPath: turns the names of rows into their data, ready to be packed."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.lib.streams import SkidBuffer
from hotline_hw.shell.granules import GranulePacker
from hotline_hw.shell.layouts import descriptor_layout, named_row, read_beat, read_request, row_beat, table_entry
from hotline_hw.spec.descriptors import GRANULE_BYTES, Flag
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import TABLE_FIELD

from .names import ListNames, MemoryNames
from .walker import RowWalker

__all__ = ["RowPath"]

_GRANULE_SHIFT = GRANULE_BYTES.bit_length() - 1


class RowPath(wiring.Component):
    """Names rows, asks for them, and aligns their data.

        ListNames, MemoryNames --names--> RowWalker --> row_request
        rows --> GranulePacker (a row begins at granule 0) --> output

    Keys and requests leave through skid buffers: so the walker does not wait for who takes them in the same cycle.

    Ports:
        it: the descriptor, a GATHER.
        start: begins it.
        stop: names are dropped from now on.
        list_*: HotlineCore's lists of cold rows.
        table_*, clearing: as in RowWalker.
        list_request: reads of a list in memory: payload `read_request`.
        list_data: the answers: payload `read_beat`.
        row_request: reads of rows: payload `read_request`.
        rows: the answers: payload `read_beat`.
        keys: the names of the rows, if the descriptor wants them: payload `named_row`.
        output: the rows: payload `row_beat`.
        row_came: high for a cycle. The last beat of a row left in the cycle before.
        done: every row that was asked for has left, as of the cycle before. It is right three cycles after `start`.
        unknown_table, beyond_table: as in RowWalker.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        request = Out(stream.Signature(read_request(geometry)))
        beats = In(stream.Signature(read_beat(geometry)))
        super().__init__(
            {
                "it": In(descriptor_layout()),
                "start": In(1),
                "stop": In(1),
                "list_bank": Out(range(geometry.banks)),
                "list_held": Out(1),
                "list_number": Out(geometry.local_bits),
                "list_count": In(geometry.local_bits + 1),
                "list_key": In(geometry.key_bits),
                "table_write": In(1),
                "table_index": In(TABLE_FIELD.width),
                "table": In(table_entry()),
                "clearing": Out(1, init=1),
                "list_request": request,
                "row_request": request,
                "list_data": beats,
                "rows": beats,
                "keys": Out(stream.Signature(named_row())),
                "output": Out(stream.Signature(row_beat(geometry))),
                "done": Out(1),
                "unknown_table": Out(1),
                "beyond_table": Out(1),
                "row_came": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        m.submodules.lists = lists = ListNames(g)
        m.submodules.memory = in_memory = MemoryNames(g)
        m.submodules.walker = walker = RowWalker(g)
        m.submodules.aligner = aligner = GranulePacker(g)
        m.submodules.key_slice = keys = SkidBuffer(named_row())
        m.submodules.request_slice = requests = SkidBuffer(read_request(g))
        flags = self.it.flags

        def has(flag: Flag):
            return (flags & flag) != 0

        # Names
        from_memory = has(Flag.LIST)
        stop = Signal()
        m.d.comb += [
            stop.eq(self.stop | walker.unknown_table | walker.beyond_table),
            lists.start.eq(self.start & ~from_memory), lists.held.eq(has(Flag.HELD)), lists.stop.eq(stop),
            self.list_bank.eq(lists.list_bank), self.list_held.eq(lists.list_held),
            self.list_number.eq(lists.list_number), lists.list_count.eq(self.list_count),
            lists.list_key.eq(self.list_key),
            in_memory.start.eq(self.start & from_memory), in_memory.source.eq(self.it.source),
            in_memory.count.eq(self.it.count), in_memory.stop.eq(stop),
            walker.names.valid.eq(Mux(from_memory, in_memory.output.valid, lists.output.valid)),
            walker.names.payload.eq(Mux(from_memory, in_memory.output.payload, lists.output.payload)),
            in_memory.output.ready.eq(walker.names.ready & from_memory),
            lists.output.ready.eq(walker.names.ready & ~from_memory),
        ]  # fmt: skip
        wiring.connect(m, in_memory.request, wiring.flipped(self.list_request))
        wiring.connect(m, wiring.flipped(self.list_data), in_memory.data)
        wiring.connect(m, walker.keys, keys.input)
        wiring.connect(m, keys.output, wiring.flipped(self.keys))

        # Requests. At most `limit` rows are due, those in the skid buffer too. Some of their reads are outstanding, and
        # the others wait behind them.
        limit = 2 * g.read_tags
        due = Signal(range(limit + 1))
        room = Signal()
        asked = Signal()
        came = Signal()  # a row has left, in the cycle before
        m.d.comb += [
            walker.start.eq(self.start), walker.stop.eq(self.stop), walker.want_keys.eq(has(Flag.KEYS)),
            walker.row_granules.eq(self.it.operand >> _GRANULE_SHIFT),
            walker.table_write.eq(self.table_write), walker.table_index.eq(self.table_index),
            walker.table.eq(self.table), self.clearing.eq(walker.clearing),
            self.unknown_table.eq(walker.unknown_table), self.beyond_table.eq(walker.beyond_table),
            requests.input.payload.eq(walker.output.payload),
            requests.input.valid.eq(walker.output.valid & room),
            walker.output.ready.eq(requests.input.ready & room),
            asked.eq(requests.input.valid & requests.input.ready),
        ]  # fmt: skip
        wiring.connect(m, requests.output, wiring.flipped(self.row_request))
        m.d.sync += [due.eq(due + asked - came), room.eq(due < limit - 1)]  # whether or not one is asked for now

        # Data
        m.submodules.row_slice = rows = SkidBuffer(row_beat(g))
        row = rows.input
        wiring.connect(m, rows.output, wiring.flipped(self.output))
        piece, beat, aligned = aligner.input.payload, self.rows.payload, aligner.output.payload
        m.d.comb += [
            piece.data.eq(beat.data), piece.first.eq(beat.first), piece.count.eq(beat.count), piece.end.eq(beat.last),
            aligner.input.valid.eq(self.rows.valid), self.rows.ready.eq(aligner.input.ready),
            row.payload.data.eq(aligned.data), row.payload.count.eq(aligned.count),
            row.payload.row_last.eq(aligned.end),
            row.valid.eq(aligner.output.valid), aligner.output.ready.eq(row.ready),
            self.row_came.eq(came),
        ]  # fmt: skip
        m.d.sync += came.eq(self.output.valid & self.output.ready & self.output.payload.row_last)
        m.d.sync += self.done.eq(
            lists.done & in_memory.done & walker.idle & ~keys.output.valid & (due == 0) & ~aligner.busy
        )
        return m
