"""DUMP and RESTORE: states of TrackerControl's FSM. They move the sets in use over the state streams, one by one.

    DUMP      read a set way by way, send its entries, send its slots
    RESTORE   take a set's entries, take its slots, judge them, write the entries way by way, write the rest of the set

The set that is being moved is in `control.row_in`, and its `hot`, `tags` and `slots` in Transfer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal

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

from .layouts import row_parts

if TYPE_CHECKING:
    from .control import TrackerControl

__all__ = ["Transfer"]

_GROUP = 8  # banks whose rows are chosen from in one cycle


def _log2(value: int) -> int:
    return (value - 1).bit_length()


@dataclass
class Transfer:
    """Adds the states to a module whose FSM is open. It also adds the logic that drives the dump stream.

    Attributes:
        control: The owner of the FSM.
        index: The global set index (set above bank) that the walk over the sets is at.
        final: `index` is the last one in use. It follows `index` a cycle later.
        usable: The ways in use of that set, also a cycle later.
        report: A register. If it is set, the walk that clears the tracker ends a command.
        walking: A register. It is set while the FSM is in WALK.
    """

    control: TrackerControl
    index: Signal
    final: Signal
    usable: Signal
    report: Signal
    walking: Signal
    hot: Signal = field(init=False)
    tags: list[Signal] = field(init=False)
    slots: list[Signal] = field(init=False)
    way: Signal = field(init=False)
    sending_slots: Signal = field(init=False)
    groups: list[list[Any]] = field(init=False)
    beyond: Signal = field(init=False)
    judge: Signal = field(init=False)
    counts: Signal = field(init=False)
    unusable: Signal = field(init=False)

    def __post_init__(self) -> None:
        g = self.control.geometry
        self.hot = Signal(g.ways, name="hot")
        self.tags = [Signal(g.tag_bits, name=f"tag{way}") for way in range(g.ways)]
        self.slots = [Signal(g.slot_bits, name=f"slot{way}") for way in range(g.ways)]
        self.way = Signal(range(g.ways + 3), name="way")
        self.sending_slots = Signal(name="sending_slots")
        self.beyond = Signal(g.ways, name="beyond")  # slots that no field of a slot holds
        self.judge = Signal(name="judge")
        self.counts = Signal(name="counts")  # the rows of the set that is judged become hot
        self.unusable = Signal(name="unusable")
        self.bank, self.set = self.index[: g.bank_bits], self.index[g.bank_bits :]

    def connect(self, m: Module) -> None:
        """What needs no state: banks in groups, of which one each is registered, and the judging of restored slots."""
        control, g = self.control, self.control.geometry
        m.d.comb += [
            control.row_way.eq(self.way), control.tag_in.eq(Array(self.tags)[control.row_way]),
            control.make_hot.eq(Array(self.hot)[control.row_way]),
            control.slot_in.eq(Array(self.slots)[control.row_way]),
        ]  # fmt: skip
        self.groups = []
        within_group = self.bank[: _log2(_GROUP)]
        for first in range(0, g.banks, _GROUP):
            group = range(first, min(first + _GROUP, g.banks))
            sources = [
                [control.tag_out[number], control.slot_out[number], control.hot_out[number],
                 *row_parts(control.row_out[number])]
                for number in group
            ]  # fmt: skip
            held = [Signal.like(part, name=f"group{first}_{index}") for index, part in enumerate(sources[0])]
            with m.Switch(within_group):
                for number, source in enumerate(sources):
                    with m.Case(number):
                        m.d.sync += [part.eq(read) for part, read in zip(held, source, strict=True)]
            self.groups.append(held)

        # Restored slots are compared a cycle after they came, and then judged. A packet that is too short or too long
        # leaves nothing hot, so its rows are not counted.
        within = Signal(g.ways)
        judged = Signal()
        counted = Signal()
        hot = Signal(g.ways)
        m.d.comb += hot.eq(self.hot & within)
        m.d.sync += [
            within.eq(~self.beyond & Cat(slot < control.hot_rows for slot in self.slots)),
            judged.eq(self.judge), self.judge.eq(0), counted.eq(self.counts & self.judge),
            control.restored.eq(Mux(counted, sum((hot[way] for way in range(g.ways)), Const(0)), 0)),
            control.restore_entry.eq((judged & (self.hot & ~within).any()) | self.unusable),
            self.unusable.eq(0),
        ]  # fmt: skip
        with m.If(judged):
            m.d.sync += self.hot.eq(hot)

    def dump_states(self, m: Module) -> None:
        """From DUMP_READ until the FSM is IDLE."""
        control, row = self.control, self.control.row_in
        with m.State("DUMP_READ"):
            chosen = [Array(parts)[self.bank[_log2(_GROUP) :]] for parts in zip(*self.groups, strict=True)]
            m.d.sync += self.way.eq(self.way + 1)
            with m.Switch(self.way):  # what was asked for three cycles before
                for number, entry in enumerate(zip(self.tags, self.slots, strict=True)):
                    with m.Case(number + 3):
                        m.d.sync += [part.eq(read) for part, read in zip(entry, chosen[:2], strict=True)]
            with m.If(self.way == control.geometry.ways + 2):
                m.d.sync += [part.eq(read) for part, read in zip([self.hot, *row_parts(row)], chosen[2:], strict=True)]
                m.d.sync += self.way.eq(0)
                m.next = "DUMP_SEND"
        with m.State("DUMP_SEND"):
            m.d.comb += control.dump.valid.eq(1)
            with m.If(control.dump.ready):
                m.d.sync += self.sending_slots.eq(1)
                m.next = "DUMP_SEND_SLOTS"
        with m.State("DUMP_SEND_SLOTS"):
            m.d.comb += control.dump.valid.eq(1)
            with m.If(control.dump.ready):
                m.d.sync += self.sending_slots.eq(0)
                self._next_set(m, "DUMP_READ")

    def restore_states(self, m: Module) -> None:
        """From RESTORE_TAKE until the FSM is IDLE, or in WALK if the packet is not as long as DUMP's."""
        control, row, g = self.control, self.control.row_in, self.control.geometry
        beat = control.restore.payload
        with m.State("RESTORE_TAKE"):
            m.d.comb += control.restore.ready.eq(1)
            valid = Cat(beat.words[way][ENTRY_VALID.low] for way in range(g.ways))
            with m.If(control.restore.valid):
                # Entries that the budget has no room for are dropped. A set whose slots are missing is not judged.
                m.d.sync += self.unusable.eq((valid & ~self.usable).any() & ~beat.last)
                for way in range(g.ways):
                    word = beat.words[way]
                    kept = valid[way] & self.usable[way]
                    m.d.sync += row.valid[way].eq(kept)
                    for entry_field, part in self._entry(way):
                        m.d.sync += part.eq(Mux(kept, word[entry_field.low : entry_field.low + len(part)], 0))
                m.next = "RESTORE_TAKE_SLOTS"
                self._check_length(m, Const(0))
        with m.State("RESTORE_TAKE_SLOTS"):
            m.d.comb += control.restore.ready.eq(1)
            for number, slot in enumerate(self.slots):
                value = beat.words[number][SLOT_WORD_SLOT.low : SLOT_WORD_SLOT.high + 1]
                with m.If(control.restore.valid):
                    m.d.sync += [slot.eq(value), self.beyond[number].eq(value[g.slot_bits :].any())]
            with m.If(control.restore.valid):
                m.d.sync += [
                    self.judge.eq(1), self.counts.eq(beat.last == self.final),
                    row.age.eq(beat.words[0][AGE_FIELD.low : AGE_FIELD.high + 1]),
                ]  # fmt: skip
                m.next = "RESTORE_JUDGE"
                self._check_length(m, self.final)
        with m.State("RESTORE_JUDGE"):
            m.next = "RESTORE_JUDGED"
        with m.State("RESTORE_JUDGED"):
            m.next = "RESTORE_ENTRY"
        with m.State("RESTORE_ENTRY"):
            m.d.comb += control.entry_write.eq(Const(1, g.banks) << self.bank)
            m.d.sync += self.way.eq(self.way + 1)
            with m.If(self.way == g.ways - 1):
                m.d.sync += self.way.eq(0)
                m.next = "RESTORE_WRITE"
        with m.State("RESTORE_WRITE"):
            m.d.comb += control.row_write.eq(Const(1, g.banks) << self.bank)
            self._next_set(m, "RESTORE_NEXT")
        with m.State("RESTORE_NEXT"):
            m.next = "RESTORE_TAKE"
        with m.State("RESTORE_DRAIN"):
            m.d.comb += control.restore.ready.eq(1)
            with m.If(control.restore.valid & beat.last):
                m.d.sync += self.walking.eq(1)
                m.next = "WALK"

    def drive_dump(self, m: Module) -> None:
        """The words on the dump stream: entries, or slots in DUMP_SEND_SLOTS."""
        control, row, g = self.control, self.control.row_in, self.control.geometry
        words = control.dump.payload.words
        for way in range(g.ways):
            word = Cat()
            for entry_field, value in [*self._entry(way), (ENTRY_VALID, Const(1, 1))]:
                word = Cat(word, Const(0, entry_field.low - len(word)), value)
            m.d.comb += words[way].eq(Mux(row.valid[way], word, 0))
        m.d.comb += control.dump.payload.last.eq(self.sending_slots & self.final)
        with m.If(self.sending_slots):
            for way, slot in enumerate(self.slots):
                age = Const(0, AGE_FIELD.width) if way else row.age
                m.d.comb += words[way].eq(Cat(Mux(self.hot[way], slot, 0), Const(0, AGE_FIELD.low - g.slot_bits), age))

    def _entry(self, way: int) -> list[tuple[Field, Any]]:
        """Fields of a way's entry word from the low end, without `valid`, each with what holds it."""
        g, row = self.control.geometry, self.control.row_in
        return [
            (ENTRY_TAG, self.tags[way]),
            (COUNTER_FIELD, row.counters.word_select(way, g.counter_bits)),
            (ENTRY_REFERENCED, row.referenced[way]),
            (ENTRY_HOT, self.hot[way]),
        ]

    def _next_set(self, m: Module, state: str) -> None:
        """Goes on to the next set in `state`. After the last set the command is done."""
        m.d.sync += self.index.eq(Mux(self.final, 0, self.index + 1))
        m.d.comb += self.control.done.eq(self.final)
        m.next = state
        with m.If(self.final):
            m.next = "IDLE"

    def _check_length(self, m: Module, final: Any) -> None:
        """Used in a state that takes a beat of RESTORE. `final` says whether it must be the packet's last."""
        beat = self.control.restore.payload
        with m.If(beat.last != final):
            m.d.comb += self.control.restore_length.eq(1)
            m.d.sync += self.report.eq(1)
            m.next = "RESTORE_DRAIN"
            with m.If(beat.last):
                m.d.sync += self.walking.eq(1)
                m.next = "WALK"
