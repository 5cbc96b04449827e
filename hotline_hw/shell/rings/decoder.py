"""Decoder: decides whether a descriptor may begin."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.shell.bus.windows import PAGE_BITS, WindowCheck, share_windows
from hotline_hw.shell.layouts import COUNT_BITS, descriptor_layout, window_signature
from hotline_hw.spec.descriptors import (
    BUFFER_ALIGN,
    EVENT_BYTES,
    GRANULE_BYTES,
    MAX_COUNT,
    MAX_ROW_BYTES,
    MAX_TABLES32,
    OPCODES,
    SLOTS,
    Flag,
    Quantities,
    Status,
)
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.shell_registers import WINDOWS
from hotline_hw.spec.words import WORD_BYTES

__all__ = ["Decoder"]

_EXTENT_BITS = 40
_HALF = 32  # addresses are added in two halves
_SUM_CYCLES = 6 + WindowCheck.LATENCY  # until the sums of a buffer, and the verdict on its first page, are there
_CHECK_CYCLES = 5 + WindowCheck.LATENCY  # until the verdict on its last page is
_ALIGN_BITS = BUFFER_ALIGN.bit_length() - 1
_GRANULE_BITS = GRANULE_BYTES.bit_length() - 1


class Decoder(wiring.Component):
    """Judges a descriptor by its fields: opcode and flags, alignment, lengths, windows of its buffers.

    The checks are in this order. The first that fails gives the status.

    The first and the last page of a buffer are looked up here. The other pages, and the rows of a GATHER, are checked
    when they are accessed.

    Ports:
        start: `descriptor` is to be judged.
        descriptor: must stay until done.
        state_rows: beats of a DUMP.
        windows: memory that may be accessed.
        done: high for a cycle.
        status: the verdict.

    Latency: 8 cycles, and 15 for each buffer. It takes 27 more if `count` is divided by a number of tables. The
    descriptor stays, so sums and comparisons have a cycle each.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "start": In(1),
                "descriptor": In(descriptor_layout()),
                "state_rows": In(32),
                "windows": In(window_signature()).array(WINDOWS),
                "done": Out(1),
                "status": Out(8),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        it = self.descriptor
        flags = it.flags

        def has(flag: Flag) -> Value:
            return (flags & flag) != 0

        def needs(flag: Flag) -> Value:
            """Whether something that `flag` enables is there. Without a flag it always is."""
            return has(flag) if flag else Const(1)

        # What the opcode's rule says about this descriptor.
        known = Signal()
        allowed = Signal(8)
        conflict = Signal()
        counted = Signal()
        with_tables = Signal()
        with_rows = Signal()
        restores = Signal()
        of = Quantities(it.count, Mux(it.operand == 0, 3, 2), self.state_rows * (g.ways * WORD_BYTES),
                         (g.max_moves + 1) * EVENT_BYTES)  # fmt: skip
        uses = Signal(len(SLOTS))
        sizes = [Signal(_EXTENT_BITS, name=f"bytes{slot}") for slot in range(len(SLOTS))]
        m.d.sync += [uses.eq(0), *(size.eq(0) for size in sizes)]
        with m.Switch(it.opcode):
            for opcode, rule in OPCODES.items():
                first_flag, other_flags = rule.conflict
                with m.Case(opcode):
                    m.d.comb += [
                        known.eq(1),
                        allowed.eq(rule.flags | Flag.INTERRUPT),
                        conflict.eq(has(first_flag) & has(other_flags)),
                        counted.eq((rule.count == "lookups") & needs(rule.count_flag)),
                        restores.eq(rule.count == "rows"),
                        with_tables.eq(rule.operand == "tables"),
                        with_rows.eq(rule.operand == "row bytes"),
                    ]
                    for buffer in rule.buffers:
                        slot = SLOTS.index(buffer.slot)
                        m.d.sync += uses[slot].eq(needs(buffer.flag))
                        m.d.sync += sizes[slot].eq(buffer.size(of))

        addresses = [it.source, *it.targets]
        remainder = Signal(range(2 * MAX_TABLES32))
        bad_opcode = Signal()
        bad_alignment = Signal()
        bad_length = Signal()

        # Each verdict has two cycles: what its fields are, and what follows. Which buffers there are takes one more.
        def found(name: str, value: Value) -> Signal:
            signal = Signal(name=name)
            m.d.sync += signal.eq(value)
            return signal

        not_zero = found("not_zero", it.reserved.any() | it.unused.any())
        not_allowed = found("not_allowed", ~known | (flags & ~allowed).any() | conflict)
        unaligned = [
            found(f"unaligned{slot}", used & address[:_ALIGN_BITS].any())
            for slot, (used, address) in enumerate(zip(uses, addresses, strict=True))
        ]
        odd_row = found("odd_row", with_rows & it.operand[:_GRANULE_BITS].any())
        bad_count = found("bad_count", (it.count == 0) | (it.count > MAX_COUNT))
        many_tables = found("many_tables", it.operand > MAX_TABLES32)
        bad_row = found("bad_row", (it.operand == 0) | (it.operand > MAX_ROW_BYTES))
        other_state = found("other_state", it.count != self.state_rows)
        m.d.sync += [
            bad_opcode.eq(not_zero | not_allowed),
            bad_alignment.eq(Cat(*unaligned, odd_row).any()),
            bad_length.eq(
                (counted & bad_count) | (with_tables & (many_tables | (remainder != 0))) | (with_rows & bad_row)
                | (restores & other_state)
            ),
        ]  # fmt: skip

        m.submodules.check = check = WindowCheck()
        share_windows(m, self.windows, check.windows)
        slot = Signal(range(len(SLOTS) + 1))
        used = Signal()
        first = Signal(64)
        length = Signal(_EXTENT_BITS)
        extent = Signal(_EXTENT_BITS)
        low = Signal(_HALF + 1)  # of the buffer's last byte, with a carry
        high = Signal(64 - _HALF + 1)
        end_of_it = Signal()
        page = Signal(52)
        wait = Signal(range(_SUM_CYCLES + 1))
        inside = Signal()
        with m.Switch(slot):
            for index, (address, size) in enumerate(zip(addresses, sizes, strict=True)):
                with m.Case(index):
                    m.d.sync += [used.eq(uses[index]), first.eq(address), length.eq(size)]
        m.d.sync += [
            extent.eq(length - 1),
            low.eq(first[:_HALF] + extent[:_HALF]),
            high.eq(first[_HALF:] + extent[_HALF:] + low[-1]),
            page.eq(Mux(end_of_it, Cat(low[PAGE_BITS:_HALF], high[:-1]), first[PAGE_BITS:])),
            inside.eq(check.inside),
        ]
        m.d.comb += [check.page.eq(page), check.enable.eq(1), check.write.eq(slot != SLOTS.index("source"))]

        left = Signal(range(COUNT_BITS + 1))
        bits = Signal(COUNT_BITS)
        beyond = Signal()
        wide = Signal.like(remainder)
        m.d.comb += [wide.eq(Cat(bits[-1], remainder)), beyond.eq(wide >= it.operand[:9])]

        def conclude(status: Status) -> None:
            m.d.sync += [self.done.eq(1), self.status.eq(status)]
            m.next = "IDLE"

        def next_buffer() -> None:
            m.d.sync += [end_of_it.eq(0), wait.eq(_SUM_CYCLES - 1)]
            m.next = "FIRST PAGE"

        def buffer_is_good() -> None:
            m.d.sync += slot.eq(slot + 1)
            next_buffer()
            with m.If(slot == len(SLOTS) - 1):
                conclude(Status.OK)

        m.d.sync += self.done.eq(0)
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [slot.eq(0), end_of_it.eq(0), remainder.eq(0), bits.eq(it.count), left.eq(COUNT_BITS)]
                with m.If(self.start):
                    m.next = "MODULO"
            with m.State("MODULO"):  # count modulo tables, bit by bit
                m.d.sync += [
                    left.eq(left - 1), bits.eq(bits << 1), remainder.eq(Mux(beyond, wide - it.operand[:9], wide)),
                ]  # fmt: skip
                with m.If((left == 1) | ~with_tables | (it.operand == 0) | (it.operand > MAX_TABLES32)):
                    m.next = "RULES"
                with m.If(~with_tables | (it.operand == 0)):
                    m.d.sync += remainder.eq(0)
            with m.State("RULES"):  # the remainder is there; what follows from it comes a cycle later
                m.next = "VERDICT"
            with m.State("VERDICT"):
                next_buffer()
                with m.If(bad_opcode):
                    conclude(Status.OPCODE)
                with m.Elif(bad_alignment):
                    conclude(Status.ALIGNMENT)
                with m.Elif(bad_length):
                    conclude(Status.LENGTH)
            with m.State("FIRST PAGE"):
                m.d.sync += wait.eq(wait - 1)
                with m.If((wait == _SUM_CYCLES - 2) & ~used):
                    buffer_is_good()
                with m.Elif(wait == 0):
                    m.d.sync += [end_of_it.eq(1), wait.eq(_CHECK_CYCLES - 1)]
                    m.next = "LAST PAGE"
                    with m.If(~inside):
                        conclude(Status.WINDOW)
            with m.State("LAST PAGE"):
                m.d.sync += wait.eq(wait - 1)
                with m.If(wait == 0):
                    buffer_is_good()
                    with m.If(~inside | high[-1]):
                        conclude(Status.WINDOW)
        return m
