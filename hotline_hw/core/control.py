"""TrackerControl: budget, clearing, dump and restore of the tracker."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import Command
from hotline_hw.spec.words import (
    AGE_FIELD,
    COUNTER_FIELD,
    ENTRY_HOT,
    ENTRY_REFERENCED,
    ENTRY_TAG,
    ENTRY_VALID,
    SLOT_WORD_SLOT,
    Field,
)

from .layouts import entry_row, row_parts, state_beat, tracker_budget

__all__ = ["TrackerControl"]


class TrackerControl(wiring.Component):
    """Carries out commands, and keeps the budget.

    Ports:
        command_write, hot_rows_write, write_data: register writes. hot_rows, index_bits: register values.
        busy: a mini-batch is in the core, or starts. running: a command is. hold: keeps mini-batches from starting.
        done: a command has ended. snapshot, clear_counters: for the counters.
        command_busy, command_code, hot_rows_range, restore_length, restore_entry: error pulses.
        budget: for the banks; it settles within four cycles of a HOT_ROWS write, long before the clearing walk ends.
        row_*, clear: access to the banks' sets, as in `SampleAwareTracker`. row_write: one-hot, the banks written to.
        dump, restore: payload `state_beat`.

    Ports with the sample-aware tracker:
        row_way, slot_write, slot_in, slot_out: access to the slots of a set, as in `SampleAwareTracker`.
        select: starts the HotSetSelector; `selecting` until it has ended. restored: so many hot entries in a set;
            restore_start: before the first.

    Cost: CLEAR one cycle for each set of a bank, DUMP three and RESTORE two for each set in use; for slots, `ways` + 2
    more each.
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
                "row_way": Out(geometry.way_bits),
                "slot_write": Out(geometry.banks),
                "slot_in": Out(geometry.slot_bits),
                "slot_out": In(geometry.slot_bits).array(geometry.banks),
                "select": Out(1),
                "selecting": In(1),
                "restored": Out(range(geometry.ways + 1)),
                "restore_start": Out(1),
            }
        )

    def _budget(self, m: Module, hot_rows: Signal) -> None:
        """Registers that follow from HOT_ROWS: see `Geometry.index_bits_in_use` for the rule."""
        g = self.geometry
        budget = self.budget
        quota = Signal(g.quota_bits)
        entries = Signal(g.entries_bits)
        m.d.sync += entries.eq(hot_rows * g.entries_per_hot_row)
        m.d.sync += budget.shift.eq(
            sum((entries > (g.ways << (g.bank_bits + shift)) for shift in range(g.set_bits)), Const(0))
        )
        choices = range(g.set_bits + 1)
        m.d.sync += [
            budget.set_mask.eq(Array(Const((1 << shift) - 1, g.set_bits) for shift in choices)[budget.shift]),
            quota.eq(Array(entries >> (g.bank_bits + shift) for shift in choices)[budget.shift]),
            budget.boundary.eq(Array(entries[: g.bank_bits + shift] for shift in choices)[budget.shift]),
            budget.ways_low.eq(Cat(quota > way for way in range(g.ways))),
            budget.ways_high.eq(Cat(quota >= way for way in range(g.ways))),
        ]
        m.d.comb += self.index_bits.eq(g.bank_bits + budget.shift)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        hot_rows = Signal(g.hot_rows_bits, init=g.hot_capacity)
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

        def next_set(m: Module) -> None:
            m.d.sync += index.eq(Mux(final, 0, index + 1))
            m.d.comb += self.done.eq(final)
            m.next = "DUMP_READ"
            with m.If(final):
                m.next = "IDLE"

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
                m.d.comb += self.dump.valid.eq(1)
                with m.If(self.dump.ready):
                    m.next = "DUMP_SLOT"
            with m.State("RESTORE_TAKE"):
                self._take_row(m, usable, report)
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
            self._slots(m, bank, set_, final, report, next_set)
            with m.State("RESTORE_DRAIN"):
                m.d.comb += self.restore.ready.eq(1)
                with m.If(self.restore.valid & self.restore.payload.last):
                    m.next = "WALK"

        for way in range(g.ways):
            word = Cat()
            for field, value in [*self._entry(way), (ENTRY_VALID, Const(1, 1))]:
                word = Cat(word, Const(0, field.low - len(word)), value)
            m.d.comb += self.dump.payload.words[way].eq(Mux(row.valid[way], word, 0))
        with m.If(self._sending_slots):
            for way, slot in enumerate(self._slot_words):
                age = Const(0, AGE_FIELD.width) if way else row.age
                word = Cat(Mux(row.hot[way], slot, 0), Const(0, AGE_FIELD.low - g.slot_bits), age)
                m.d.comb += self.dump.payload.words[way].eq(word)

        with m.If((self.command_write | self.hot_rows_write) & (self.busy | self.running)):
            m.d.comb += self.command_busy.eq(~self._is_snapshot())
        with m.If(self._is_snapshot()):
            m.d.comb += [self.snapshot.eq(1), self.done.eq(1)]
        return m

    def _entry(self, way: int) -> list[tuple[Field, Any]]:
        """Fields of a way's entry word but `valid`, from the low end, with the parts of `row_in` they stand for."""
        g, row = self.geometry, self.row_in
        return [
            (ENTRY_TAG, row.tags.word_select(way, g.tag_bits)),
            (COUNTER_FIELD, row.counters.word_select(way, g.counter_bits)),
            (ENTRY_REFERENCED, row.referenced[way]),
            (ENTRY_HOT, row.hot[way]),
        ]

    def _slots(self, m: Module, bank, set_, final, report: Signal, next_set) -> None:
        """DUMP and RESTORE of the slots of the set in `row_in`, way by way: a second beat for each set."""
        g = self.geometry
        row = self.row_in
        self._slot_words = [Signal(g.slot_bits, name=f"slot{way}") for way in range(g.ways)]
        self._sending_slots = Signal()
        way = Signal(range(g.ways + 1))
        row_access = [self.row_access.eq(1), self.row_set.eq(set_), self.row_way.eq(way)]
        with m.State("DUMP_SLOT"):
            m.d.comb += row_access
            m.d.sync += way.eq(way + 1)
            with m.Switch(way):  # the slot read in the cycle before
                for number, slot in enumerate(self._slot_words):
                    with m.Case(number + 1):
                        m.d.sync += slot.eq(Array(self.slot_out)[bank])
            with m.If(way == g.ways):
                m.d.sync += way.eq(0)
                m.next = "DUMP_SEND_SLOTS"
        with m.State("DUMP_SEND_SLOTS"):
            m.d.comb += [self._sending_slots.eq(1), self.dump.valid.eq(1), self.dump.payload.last.eq(final)]
            with m.If(self.dump.ready):
                next_set(m)

        beat = self.restore.payload
        with m.State("RESTORE_TAKE_SLOTS"):
            m.d.comb += self.restore.ready.eq(1)
            within = Signal(g.ways)
            for number, slot in enumerate(self._slot_words):
                value = beat.words[number][SLOT_WORD_SLOT.low : SLOT_WORD_SLOT.high + 1]
                m.d.comb += within[number].eq(value < self.hot_rows)
                with m.If(self.restore.valid):
                    m.d.sync += [slot.eq(value), row.hot[number].eq(row.hot[number] & within[number])]
            with m.If(self.restore.valid):
                m.d.comb += self.restore_entry.eq((row.hot & ~within).any())
                m.d.comb += self.restored.eq(sum((row.hot & within)[number] for number in range(g.ways)))
                m.d.sync += row.age.eq(beat.words[0][AGE_FIELD.low : AGE_FIELD.high + 1])
                m.next = "RESTORE_SLOT"
                self._check_length(m, final, report)
        with m.State("RESTORE_SLOT"):
            m.d.comb += [
                *row_access,
                self.slot_write.eq(Const(1, g.banks) << bank),
                self.slot_in.eq(Array(self._slot_words)[way]),
            ]
            m.d.sync += way.eq(way + 1)
            with m.If(way == g.ways - 1):
                m.d.sync += way.eq(0)
                m.next = "RESTORE_WRITE"
        with m.State("SELECT"):
            with m.If(~self.selecting):
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"

    def _check_length(self, m: Module, final, report: Signal) -> None:
        """In a state that takes a beat of RESTORE: `final` tells whether that must be the packet's last."""
        beat = self.restore.payload
        with m.If(beat.last != final):
            m.d.comb += self.restore_length.eq(1)
            m.d.sync += report.eq(1)
            m.next = "RESTORE_DRAIN"
            with m.If(beat.last):
                m.next = "WALK"

    def _is_snapshot(self):
        return self.command_write & (self.write_data == Command.SNAPSHOT)

    def _commands(self, m: Module, hot_rows: Signal, report: Signal) -> None:
        """In IDLE: starts what a register write asks for."""
        g = self.geometry
        with m.If(self.hot_rows_write & ~self.busy):
            with m.If(self.write_data > g.hot_capacity):
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
                m.d.comb += self.restore_start.eq(1)
            with m.Case(Command.SELECT):
                m.d.comb += self.select.eq(1)
                m.next = "SELECT"
            with m.Case(Command.SNAPSHOT):
                pass
            with m.Case(Command.RESET_COUNTERS):
                m.d.comb += [self.clear_counters.eq(1), self.done.eq(1)]
            with m.Default():
                m.d.comb += self.command_code.eq(1)

    def _take_row(self, m: Module, usable: Signal, report: Signal) -> None:
        """In RESTORE_TAKE: one set from the stream, without the entries that the budget has no room for."""
        g = self.geometry
        row = self.row_in
        beat = self.restore.payload
        m.d.comb += self.restore.ready.eq(1)
        valid = Cat(beat.words[way][ENTRY_VALID.low] for way in range(g.ways))
        with m.If(self.restore.valid):
            # A set that the packet leaves half told is not judged.
            m.d.comb += self.restore_entry.eq((valid & ~usable).any() & ~beat.last)
            for way in range(g.ways):
                word = beat.words[way]
                kept = valid[way] & usable[way]
                m.d.sync += row.valid[way].eq(kept)
                for field, part in self._entry(way):
                    m.d.sync += part.eq(Mux(kept, word[field.low : field.low + len(part)], 0))
            m.next = "RESTORE_TAKE_SLOTS"
            self._check_length(m, Const(0), report)
