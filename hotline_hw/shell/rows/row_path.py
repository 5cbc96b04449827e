"""RowPath: everything between the names of rows and their data, ready to be packed."""

from __future__ import annotations

from amaranth.hdl import DomainRenamer, Module, Mux, Signal
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.lib.axi import RegisterSlice
from hotline_hw.shell.granules import GranulePacker
from hotline_hw.shell.layouts import read_beat, read_request, row_beat
from hotline_hw.shell.rings.entries import descriptor_layout
from hotline_hw.spec.descriptors import GRANULE_BYTES, Flag
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import TABLE_FIELD

from .bag_reducer import BagReducer
from .names import ListNames, MemoryNames, named_row
from .walker import RowWalker, table_entry

__all__ = ["GATED_DOMAIN", "RowPath"]

GATED_DOMAIN = "gated"
"""Clock domain whose clock may stand still: that of the stream core and of the BagReducer."""

_GRANULE_SHIFT = GRANULE_BYTES.bit_length() - 1


class RowPath(wiring.Component):
    """Names rows, asks for them, and aligns and pools what comes.

        ListNames, MemoryNames --names--> RowWalker --> row_request
                                                   \\-- end of bag, FIFO --.
        rows --> GranulePacker (a row begins at granule 0) ---------------+--> BagReducer, or past it --> output

    Ports:
        it: the descriptor, a GATHER. start: begins it. stop: names are dropped from now on.
        list_*: HotlineCore's lists. table_*: as in RowWalker.
        list_request, row_request: payload `read_request`. list_data, rows: payload `read_beat`, what comes of them.
        keys: payload `named_row`, where the descriptor wants them. output: payload `row_beat`.
        done: every row that was asked for has left.
        unknown_table, beyond_table: as in RowWalker. pooling: the BagReducer is used,
            in GATED_DOMAIN, whose clock must run then. held_back: it is not ready.
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
                "list_request": request,
                "row_request": request,
                "list_data": beats,
                "rows": beats,
                "keys": Out(stream.Signature(named_row())),
                "output": Out(stream.Signature(row_beat(geometry))),
                "done": Out(1),
                "unknown_table": Out(1),
                "beyond_table": Out(1),
                "pooling": Out(1),
                "held_back": Out(1),
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
        reducer = BagReducer(g)
        m.submodules.reducer = DomainRenamer(GATED_DOMAIN)(reducer)
        into_reducer = RegisterSlice(row_beat(g))  # so that no logic there sees rows that only pass
        m.submodules.into_reducer = DomainRenamer(GATED_DOMAIN)(into_reducer)
        # Rows that were asked for and have not come: no more than the reads that may be outstanding, and a few.
        m.submodules.bags = bags = fifo.SyncFIFOBuffered(width=1, depth=2 * g.read_tags)
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
        wiring.connect(m, walker.keys, wiring.flipped(self.keys))

        # Requests
        row_request = walker.output.payload
        asked, came = Signal(), Signal()
        m.d.comb += [
            walker.start.eq(self.start), walker.stop.eq(self.stop), walker.want_keys.eq(has(Flag.KEYS)),
            walker.row_granules.eq(self.it.operand >> _GRANULE_SHIFT),
            walker.table_write.eq(self.table_write), walker.table_index.eq(self.table_index),
            walker.table.eq(self.table),
            self.unknown_table.eq(walker.unknown_table), self.beyond_table.eq(walker.beyond_table),
            self.row_request.payload.eq(row_request.read),
            self.row_request.valid.eq(walker.output.valid & bags.w_rdy),
            walker.output.ready.eq(self.row_request.ready & bags.w_rdy),
            asked.eq(self.row_request.valid & self.row_request.ready),
            bags.w_data.eq(row_request.bag_last), bags.w_en.eq(asked),
        ]  # fmt: skip

        # Data. Only what is pooled goes through the BagReducer, whose clock stands still otherwise.
        row = Signal(row_beat(g))
        row_valid, row_ready = Signal(), Signal()
        piece, beat = aligner.input.payload, self.rows.payload
        m.d.comb += [
            piece.data.eq(beat.data), piece.first.eq(beat.first), piece.count.eq(beat.count), piece.end.eq(beat.last),
            aligner.input.valid.eq(self.rows.valid), self.rows.ready.eq(aligner.input.ready),
            row.data.eq(aligner.output.payload.data), row.count.eq(aligner.output.payload.count),
            row.row_last.eq(aligner.output.payload.end), row.bag_last.eq(row.row_last & bags.r_data),
            row_valid.eq(aligner.output.valid & bags.r_rdy), aligner.output.ready.eq(row_ready & bags.r_rdy),
            came.eq(row_valid & row_ready & row.row_last),
            bags.r_en.eq(came),
            self.row_came.eq(came),
            self.pooling.eq(has(Flag.POOL)),
            into_reducer.input.payload.eq(row), into_reducer.input.valid.eq(row_valid & self.pooling),
            reducer.pool.eq(1), reducer.mean.eq(has(Flag.MEAN)), reducer.bf16.eq(has(Flag.BF16)),
            reducer.output.ready.eq(self.output.ready),
            self.output.payload.eq(Mux(self.pooling, reducer.output.payload, row)),
            self.output.valid.eq(Mux(self.pooling, reducer.output.valid, row_valid)),
            row_ready.eq(Mux(self.pooling, into_reducer.input.ready, self.output.ready)),
            self.held_back.eq(self.pooling & row_valid & ~row_ready),
        ]  # fmt: skip

        wiring.connect(m, into_reducer.output, reducer.input)

        due = Signal(range(2 * g.read_tags + 4))
        m.d.sync += due.eq(due + asked - came)
        all_came = Signal()
        m.d.comb += [
            all_came.eq(
                lists.done
                & in_memory.done
                & walker.idle
                & (due == 0)
                & ~aligner.busy
                & ~(self.pooling & into_reducer.output.valid)
            ),
            reducer.drop.eq(all_came),  # a bag that is open now was cut short by an error
            self.done.eq(all_came & ~(self.pooling & reducer.busy)),
        ]
        return m
