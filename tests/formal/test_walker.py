"""RowWalker: never asks for a row beyond its table, and asks for every row before that once, in order.

There are two tables, and row numbers have few bits. tests/unit/hw/shell/test_blocks.py checks where a row lies.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Array, Assert, Assume, Cover, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hotline_hw.shell.rows.walker import RowWalker
from hotline_hw.spec.params import preset
from hotline_sim.formal import PropertyFailed, check, cover, prove
from tests.formal.dma_parts import with_parts
from tests.formal.mutants import mutated
from tests.formal.shell_mutants import WALKER

ROW_BITS = 3
TABLES = 2
MOST_INSIDE = 6
SOON = 2  # moves until a bad row is told


class RowsAreOfTheirTables(wiring.Component):
    """Ports:
    valid, table, row: a name. want_keys, key_ready, ready: of its receivers. stop, start: as in RowWalker.
    write, rows: a table is set up while no name is there. watch: watch this name.
    """

    def __init__(self, dut: type[RowWalker] = RowWalker) -> None:
        self.dut = dut
        super().__init__(
            {
                "valid": In(1), "table": In(range(TABLES)), "row": In(ROW_BITS),
                "want_keys": In(1), "key_ready": In(1), "ready": In(1), "stop": In(1), "start": In(1),
                "write": In(1), "rows": In(ROW_BITS), "watch": In(1),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dut = dut = with_parts(self.dut, _TABLES=TABLES)(preset("tiny"))
        name, granule = dut.names.payload, dut.output.payload.address[4:]
        m.d.comb += [
            dut.names.valid.eq(self.valid), name.table.eq(self.table), name.row.eq(self.row),
            dut.want_keys.eq(self.want_keys), dut.keys.ready.eq(self.key_ready),
            dut.output.ready.eq(self.ready), dut.stop.eq(self.stop), dut.start.eq(self.start),
            dut.table_write.eq(self.write), dut.table_index.eq(self.table), dut.table.rows.eq(self.rows),
            dut.table.base.eq(self.table),  # with a stride of 0, the address is the table's number
        ]  # fmt: skip
        taken, left, key = Signal(), Signal(), Signal()
        m.d.comb += [
            taken.eq(self.valid & dut.names.ready), left.eq(dut.output.valid & self.ready),
            key.eq(dut.keys.valid & self.key_ready),
        ]  # fmt: skip

        # Tables as they were set up. At first they have 0 rows.
        sizes = [Signal(ROW_BITS, name=f"rows{table}") for table in range(TABLES)]
        for table, rows in enumerate(sizes):
            with m.If(self.write & (self.table == table)):
                m.d.sync += rows.eq(self.rows)
        good, over = Signal(), Signal()  # `over`: a bad row or a stop has come
        m.d.comb += good.eq(self.row < Array(sizes)[self.table])
        due, late = Signal(range(MOST_INSIDE + 1)), Signal(3)  # requests for good rows; cycles since a bad one came
        bad_unknown, bad_beyond = Signal(), Signal()
        inside = taken & ~over & ~self.stop
        counted = Signal()
        m.d.comb += counted.eq(inside & good)
        m.d.sync += due.eq(due + counted - left)
        with m.If(inside & ~good):
            rows = Array(sizes)[self.table]
            m.d.sync += [over.eq(1), late.eq(0), bad_unknown.eq(rows == 0), bad_beyond.eq(rows != 0)]
        with m.Elif(self.start):
            m.d.sync += [over.eq(0), bad_unknown.eq(0), bad_beyond.eq(0)]
        with m.Elif(late != 7):
            m.d.sync += late.eq(late + (~dut.output.valid | self.ready))
        m.d.sync += [
            Assume(~(self.write | self.start) | (dut.idle & ~self.valid), "between walks"),
            Assume(~self.write | ~self.start, "one thing at a time"),
            Assume(~dut.clearing | ~(self.write | self.start | self.valid), "not while tables are forgotten"),
            Assert(due <= MOST_INSIDE, "no more names inside than there is room for"),
            Assert(~dut.output.valid | (due != 0), "no request for a row beyond its table, or behind one"),
            Assert(dut.idle | over | (due != 0), "idle without a name"),
            Assert(~dut.idle | (due == 0), "not idle with one"),
            Assert(~dut.unknown_table | bad_unknown, "unknown tables are told"),
            Assert(~dut.beyond_table | bad_beyond, "rows beyond their table are told"),
            Assert(~over | (late <= SOON) | (dut.unknown_table == bad_unknown), "an unknown table is told soon"),
            Assert(~over | (late <= SOON) | (dut.beyond_table == bad_beyond), "a row beyond its table is told soon"),
        ]

        # The watched name: it is asked for at its own address, after all names ahead of it.
        watching, ahead, address = Signal(), Signal(range(MOST_INSIDE)), Signal(range(TABLES))
        with m.If(~watching):
            with m.If(counted & self.watch):
                m.d.sync += [watching.eq(1), ahead.eq(due - left), address.eq(self.table)]
        with m.Elif(left):
            m.d.sync += ahead.eq(ahead - 1)
            with m.If(ahead == 0):
                m.d.sync += [watching.eq(0), Assert(granule == address, "an address stays with its row")]
        held, payload = Signal(), Signal(range(TABLES))
        waits = Signal(3)
        dropped = dut.unknown_table | dut.beyond_table | self.stop
        m.d.sync += [
            held.eq(dut.output.valid & ~self.ready),
            payload.eq(granule),
            Assert(~held | (dut.output.valid & (granule == payload)), "a request that is offered stays"),
            waits.eq(Mux((due == 0) | dut.output.valid, 0, waits + 1)),
            Assert(waits < MOST_INSIDE, "what is good is asked for"),
            Assert(key == (taken & self.want_keys & ~dropped), "a key for every name that is not dropped"),
            Assert(~inside | ~dropped, "no name is dropped ahead of a bad one"),
            Cover(watching & (ahead == 2) & left & address & over & (late == SOON), "a bad row behind three good ones"),
        ]
        return m


@pytest.mark.slow
def test_rows_are_of_their_tables(tmp_path):
    prove(RowsAreOfTheirTables(), tmp_path, seconds=900)


def test_rows_are_of_their_tables_for_some_time(tmp_path):
    check(RowsAreOfTheirTables(), tmp_path / "check", cycles=18)
    cover(RowsAreOfTheirTables(), tmp_path / "cover", cycles=18)


@pytest.mark.parametrize("mutant", WALKER)
def test_a_broken_walker_is_caught(mutant, tmp_path):
    with pytest.raises(PropertyFailed):
        check(RowsAreOfTheirTables(mutated(RowWalker, *WALKER[mutant])), tmp_path, cycles=15)
