"""TrackerControl: budget, clearing, dump and restore of the tracker."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .layouts import entry_row, row_parts
from .params import Geometry
from .regmap import Command
from .tracker import tracker_budget
from .words import ENTRY_RRPV, ENTRY_TAG, ENTRY_VALID, WORD_BITS

__all__ = ["TrackerControl", "state_beat"]


def state_beat(geometry: Geometry) -> data.StructLayout:
    """Payload of the state streams: the entry words of one set, way 0 first."""
    return data.StructLayout({"words": data.ArrayLayout(WORD_BITS, geometry.ways), "last": 1})


class TrackerControl(wiring.Component):
    """Carries out commands, and keeps the budget.

    Ports:
        command_write, hot_rows_write, write_data: register writes. hot_rows, index_bits: register values.
        busy: a mini-batch is in the core, or starts. running: a command is. hold: keeps mini-batches from starting.
        done: a command has ended. snapshot, clear_counters: for the counters.
        command_busy, command_code, hot_rows_range, restore_length, restore_entry: error pulses.
        budget: for the banks; it settles within three cycles of a HOT_ROWS write, long before the clearing walk ends.
        row_*, clear: access to the banks' sets, as in `SrripTracker`. row_bank: one-hot, the banks that are written.
        dump, restore: payload `state_beat`.

    Cost: CLEAR one cycle for each set of a bank, DUMP three and RESTORE two for each set in use.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        pulses = (
            "done", "snapshot", "clear_counters",
            "command_busy", "command_code", "hot_rows_range", "restore_length", "restore_entry",
        )  # fmt: skip
        super().__init__(
            {
                "command_write": In(1),
                "hot_rows_write": In(1),
                "write_data": In(32),
                "hot_rows": Out(geometry.hot_rows_bits),
                "index_bits": Out(range(geometry.index_bits + 1)),
                "busy": In(1),
                "running": Out(1),
                "hold": Out(1),
                **{name: Out(1) for name in pulses},
                "budget": Out(tracker_budget(geometry)),
                "row_access": Out(1),
                "row_set": Out(geometry.set_bits),
                "row_write": Out(geometry.banks),
                "clear": Out(1),
                "row_in": Out(entry_row(geometry)),
                "row_out": In(entry_row(geometry)).array(geometry.banks),
                "dump": Out(stream.Signature(state_beat(geometry))),
                "restore": In(stream.Signature(state_beat(geometry))),
            }
        )

    def _budget(self, m: Module, hot_rows: Signal) -> None:
        """Registers that follow from HOT_ROWS: see `Geometry.index_bits_in_use` for the rule."""
        g = self.geometry
        budget = self.budget
        quota = Signal(g.quota_bits)
        m.d.sync += budget.shift.eq(
            sum((hot_rows > (g.ways << (g.bank_bits + shift)) for shift in range(g.set_bits)), Const(0))
        )
        choices = range(g.set_bits + 1)
        m.d.sync += [
            budget.set_mask.eq(Array(Const((1 << shift) - 1, g.set_bits) for shift in choices)[budget.shift]),
            quota.eq(Array(hot_rows >> (g.bank_bits + shift) for shift in choices)[budget.shift]),
            budget.boundary.eq(Array(hot_rows[: g.bank_bits + shift] for shift in choices)[budget.shift]),
            budget.ways_low.eq(Cat(quota > way for way in range(g.ways))),
            budget.ways_high.eq(Cat(quota >= way for way in range(g.ways))),
        ]
        m.d.comb += self.index_bits.eq(g.bank_bits + budget.shift)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        hot_rows = Signal(g.hot_rows_bits, init=g.entries)
        self._budget(m, hot_rows)
        m.d.comb += self.hot_rows.eq(hot_rows)

        index = Signal(g.index_bits)  # global set index: set above bank
        bank, set_ = index[: g.bank_bits], index[g.bank_bits :]
        final = Signal()
        usable = Signal(g.ways)
        report = Signal()  # the walk ends a command
        m.d.comb += [
            final.eq(index == ((Const(1, g.index_bits + 1) << self.index_bits) - 1)[: g.index_bits]),
            usable.eq(Mux(index < self.budget.boundary, self.budget.ways_high, self.budget.ways_low)),
            self.hold.eq(self.running),
        ]
        row = self.row_in  # registers: the set on its way out (DUMP) or in (RESTORE)

        with m.FSM(init="WALK") as fsm:
            m.d.comb += self.running.eq(~fsm.ongoing("IDLE"))
            with m.State("WALK"):
                walk = Signal(g.set_bits)
                m.d.comb += [
                    self.row_access.eq(1),
                    self.row_set.eq(walk),
                    self.row_write.eq(~Const(0, g.banks)),
                    self.clear.eq(1),
                ]
                m.d.sync += [walk.eq(walk + 1), index.eq(0)]
                with m.If(walk == g.sets - 1):
                    m.d.comb += self.done.eq(report)
                    m.d.sync += report.eq(0)
                    m.next = "IDLE"
            with m.State("IDLE"):
                self._commands(m, hot_rows, report)
            with m.State("DUMP_READ"):
                m.d.comb += [self.row_access.eq(1), self.row_set.eq(set_)]
                m.next = "DUMP_LATCH"
            with m.State("DUMP_LATCH"):
                m.d.comb += [self.row_access.eq(1), self.row_set.eq(set_)]
                with m.Switch(bank):
                    for number in range(g.banks):
                        with m.Case(number):
                            for part, read in zip(row_parts(row), row_parts(self.row_out[number]), strict=True):
                                m.d.sync += part.eq(read)
                m.next = "DUMP_SEND"
            with m.State("DUMP_SEND"):
                m.d.comb += [self.dump.valid.eq(1), self.dump.payload.last.eq(final)]
                with m.If(self.dump.ready):
                    m.d.sync += index.eq(Mux(final, 0, index + 1))
                    m.d.comb += self.done.eq(final)
                    m.next = "DUMP_READ"
                    with m.If(final):
                        m.next = "IDLE"
            with m.State("RESTORE_TAKE"):
                self._take_row(m, usable, final, report)
            with m.State("RESTORE_WRITE"):
                m.d.comb += [
                    self.row_access.eq(1),
                    self.row_set.eq(set_),
                    self.row_write.eq(Const(1, g.banks) << bank),
                ]
                m.d.sync += index.eq(Mux(final, 0, index + 1))
                m.d.comb += self.done.eq(final)
                m.next = "RESTORE_TAKE"
                with m.If(final):
                    m.next = "IDLE"
            with m.State("RESTORE_DRAIN"):
                m.d.comb += self.restore.ready.eq(1)
                with m.If(self.restore.valid & self.restore.payload.last):
                    m.next = "WALK"

        for way in range(g.ways):
            rrpv = Cat(plane[way] for plane in row.rrpv)
            word = Cat(
                Cat(row.tag[way], Const(0, ENTRY_RRPV.low - g.tag_bits)),
                Cat(rrpv, Const(0, ENTRY_VALID.low - ENTRY_RRPV.low - g.rrpv_bits)),
                Const(1, 1),
            )
            m.d.comb += self.dump.payload.words[way].eq(Mux(row.valid[way], word, 0))

        with m.If((self.command_write | self.hot_rows_write) & (self.busy | self.running)):
            m.d.comb += self.command_busy.eq(~self._is_snapshot())
        with m.If(self._is_snapshot()):
            m.d.comb += [self.snapshot.eq(1), self.done.eq(1)]
        return m

    def _is_snapshot(self):
        return self.command_write & (self.write_data == Command.SNAPSHOT)

    def _commands(self, m: Module, hot_rows: Signal, report: Signal) -> None:
        """In IDLE: starts what a register write asks for."""
        g = self.geometry
        with m.If(self.hot_rows_write & ~self.busy):
            with m.If(self.write_data > g.entries):
                m.d.comb += self.hot_rows_range.eq(1)
            with m.Else():
                m.d.sync += [hot_rows.eq(self.write_data), report.eq(1)]
                m.next = "WALK"
        with m.Elif(self.command_write & ~self.busy), m.Switch(self.write_data):
            with m.Case(Command.CLEAR):
                m.d.sync += report.eq(1)
                m.next = "WALK"
            with m.Case(Command.DUMP):
                m.next = "DUMP_READ"
            with m.Case(Command.RESTORE):
                m.next = "RESTORE_TAKE"
            with m.Case(Command.SNAPSHOT):
                pass
            with m.Case(Command.RESET_COUNTERS):
                m.d.comb += [self.clear_counters.eq(1), self.done.eq(1)]
            with m.Default():
                m.d.comb += self.command_code.eq(1)

    def _take_row(self, m: Module, usable: Signal, final: Signal, report: Signal) -> None:
        """In RESTORE_TAKE: one set from the stream, without the entries that the budget has no room for."""
        g = self.geometry
        row = self.row_in
        beat = self.restore.payload
        m.d.comb += self.restore.ready.eq(1)
        valid = Cat(beat.words[way][ENTRY_VALID.low] for way in range(g.ways))
        with m.If(self.restore.valid):
            m.d.comb += self.restore_entry.eq((valid & ~usable).any())
            for way in range(g.ways):
                word = beat.words[way]
                kept = valid[way] & usable[way]
                m.d.sync += [
                    row.valid[way].eq(kept),
                    *(row.rrpv[bit][way].eq(kept & word[ENTRY_RRPV.low + bit]) for bit in range(g.rrpv_bits)),
                    row.tag[way].eq(word[ENTRY_TAG.low : ENTRY_TAG.low + g.tag_bits]),
                ]
            m.next = "RESTORE_WRITE"
            with m.If(beat.last != final):
                m.d.comb += self.restore_length.eq(1)
                m.d.sync += report.eq(1)
                m.next = "RESTORE_DRAIN"
                with m.If(beat.last):
                    m.next = "WALK"
