"""TrackerControl: carries out commands on the tracker."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import Command

from .budget import derive_budget, tracker_budget
from .layouts import entry_row, state_beat
from .transfer import Transfer

__all__ = ["TrackerControl"]


class TrackerControl(wiring.Component):
    """Keeps the budget, clears the tracker, dumps and restores it, and starts SELECT.

    Ports:
        command_write: A command, a register write. It is carried out a cycle later.
        command_is: Which one: a bit for each `Command`, in its order. No bit is set if the code is unknown.
        hot_rows_write, write_data: A write of HOT_ROWS, likewise.
        hot_rows, index_bits: Register values.
        busy: A mini-batch is in the core, or starts.
        running: A command is being carried out. Low in the cycle of its write.
        hold: No mini-batch may start.
        done: Pulse. A command has ended.
        snapshot, clear_counters: Pulses to the counters.
        command_busy, command_code, hot_rows_range, restore_length, restore_entry: Error pulses.
        budget: To the banks. It settles within seven cycles of a HOT_ROWS write.
        row_access, row_set, clear, row_in, row_way, tag_in, make_hot, slot_in: To all banks, as in `PopularityBank`.
        row_write, entry_write: The same, one bit a bank.
        row_out, hot_out, tag_out, slot_out: From each bank.
        dump, restore: Streams of `state_beat`.
        select: Pulse. Starts the HotSetSelector.
        selecting: The HotSetSelector is at work.
        restore_start: Pulse. A RESTORE begins.
        restored: So many hot entries of a set were restored. It comes two cycles after the set's slots.

    Cost in cycles: CLEAR takes one for each set of a bank. For each set in use, DUMP takes `ways` + 5 and RESTORE
    `ways` + 6.
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
                "command_is": In(len(Command)),
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
                "hot_out": In(geometry.ways).array(geometry.banks),
                "dump": Out(stream.Signature(state_beat(geometry))),
                "restore": In(stream.Signature(state_beat(geometry))),
                "row_way": Out(geometry.way_bits),
                "tag_out": In(geometry.tag_bits).array(geometry.banks),
                "slot_out": In(geometry.slot_bits).array(geometry.banks),
                "entry_write": Out(geometry.banks),
                "tag_in": Out(geometry.tag_bits),
                "make_hot": Out(1),
                "slot_in": Out(geometry.slot_bits),
                "select": Out(1),
                "selecting": In(1),
                "restored": Out(range(geometry.ways + 1)),
                "restore_start": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        hot_rows = Signal(g.hot_rows_bits, init=g.hot_capacity)
        derive_budget(m, g, hot_rows, self.budget)

        index = Signal(g.index_bits)
        final = Signal()
        usable = Signal(g.ways)
        report = Signal()
        # What a write asks for is found in one cycle, and carried out in the next.
        commands = Signal()
        resizes = Signal()
        is_ = {code: Signal(name=f"is_{code.name.lower()}") for code in Command}
        unknown = Signal()  # no command has this code
        asked_rows = Signal(g.hot_rows_bits)
        too_many = Signal()
        m.d.sync += [
            commands.eq(self.command_write), resizes.eq(self.hot_rows_write),
            Cat(is_.values()).eq(self.command_is), unknown.eq(~self.command_is.any()),
            asked_rows.eq(self.write_data), too_many.eq(self.write_data > g.hot_capacity),
        ]  # fmt: skip
        asked = commands | resizes
        # No mini-batch may start, and sets are accessed, from the first cycle of a command to the one behind its last.
        accessing = Signal(init=1)
        leaves = Signal()  # IDLE
        walk = Signal(g.set_bits)
        walking = Signal(init=1)
        m.d.comb += [
            self.hot_rows.eq(hot_rows),
            self.index_bits.eq(g.bank_bits + self.budget.shift),
            self.hold.eq(accessing),
            self.row_access.eq(accessing),
            self.row_set.eq(Mux(walking, walk, index[g.bank_bits :])),
        ]
        last = Signal(g.index_bits)
        m.d.sync += [
            last.eq((Const(1, g.index_bits + 1) << self.index_bits) - 1),
            final.eq(index == last),
            usable.eq(Mux(index < self.budget.boundary, self.budget.ways_high, self.budget.ways_low)),
        ]
        transfer = Transfer(self, index, final, usable, report, walking)
        transfer.connect(m)

        with m.FSM(init="WALK") as fsm:
            at_work = ~fsm.ongoing("IDLE")
            m.d.comb += self.running.eq(at_work | asked)
            m.d.sync += accessing.eq(at_work | leaves)
            with m.State("WALK"):
                m.d.comb += [
                    self.row_write.eq(~Const(0, g.banks)),
                    self.clear.eq(1),
                ]
                m.d.sync += [walk.eq(walk + 1), index.eq(0)]
                with m.If(walk == g.sets - 1):
                    m.d.sync += walking.eq(0)
                    m.d.comb += self.done.eq(report)
                    m.d.sync += report.eq(0)
                    m.next = "IDLE"
            with m.State("IDLE"):
                m.d.comb += leaves.eq(asked & ~self.busy)
                with m.If(resizes & ~self.busy):
                    with m.If(too_many):
                        m.d.comb += self.hot_rows_range.eq(1)
                    with m.Else():
                        m.d.sync += [hot_rows.eq(asked_rows), report.eq(1), walking.eq(1)]
                        m.next = "WALK"
                with m.Elif(commands & ~self.busy):
                    self._begin(m, is_, report, walking)
                    m.d.comb += self.command_code.eq(unknown)
            transfer.dump_states(m)
            transfer.restore_states(m)
            with m.State("SELECT"):
                with m.If(~self.selecting):
                    m.d.comb += self.done.eq(1)
                    m.next = "IDLE"
        transfer.drive_dump(m)

        is_snapshot = commands & is_[Command.SNAPSHOT]
        with m.If(asked & (self.busy | at_work)):
            m.d.comb += self.command_busy.eq(~is_snapshot)
        with m.If(is_snapshot):
            m.d.comb += [self.snapshot.eq(1), self.done.eq(1)]
        return m

    def _begin(self, m: Module, is_: dict[Command, Signal], report: Signal, walking: Signal) -> None:
        """In IDLE: starts a command."""
        with m.If(is_[Command.CLEAR]):
            m.d.sync += [report.eq(1), walking.eq(1)]
            m.next = "WALK"
        with m.If(is_[Command.DUMP]):
            m.next = "DUMP_READ"
        with m.If(is_[Command.RESTORE]):
            m.d.comb += self.restore_start.eq(1)
            m.next = "RESTORE_TAKE"
        with m.If(is_[Command.SELECT]):
            m.d.comb += self.select.eq(1)
            m.next = "SELECT"
        with m.If(is_[Command.RESET_COUNTERS]):
            m.d.comb += [self.clear_counters.eq(1), self.done.eq(1)]
