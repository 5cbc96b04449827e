"""Descriptors and completions: their layout, what each opcode takes, and how each may end. Plain data.

The hardware's layouts and checks, the Python packing, the driver's messages and `docs/descriptors.md` come from here.
The golden model states the checks a second time (`hotline_sim.model.decoder`), and
`tests/unit/hw/spec/test_descriptors.py` holds bytes that were written by hand. So neither shares a mistake with this
file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any, NamedTuple

from .words import Field

__all__ = [
    "BUFFER_ALIGN", "COLD_BANK", "COLD_HELD", "COLD_LOCAL", "COMPLETION", "COUNTS", "DESCRIPTOR", "ENTRY_BYTES",
    "EVENT_BYTES", "FORMATS", "GRANULE_BYTES", "HIT_BIT", "LAST_BIT", "MAX_BANKS", "MAX_COUNT", "MAX_ROW_BYTES",
    "MAX_TABLES32", "NOT_LISTED", "OPCODES", "SLOTS", "STATUS_DOCS", "SUMMARY_BYTES", "SUMMARY_LISTS", "VALUE_FIELD",
    "Buffer", "EntryField", "Flag", "Opcode", "OpcodeRule", "Quantities", "Status",
]  # fmt: skip

ENTRY_BYTES = 64
BUFFER_ALIGN = 64
GRANULE_BYTES = 16
"""Rows, strides and table addresses are multiples of this: four float32. FBGEMM asks for the same."""
EVENT_BYTES = 16
MAX_TABLES32 = 256
MAX_COUNT = 1 << 26
"""The most lookups that a descriptor may have."""
MAX_ROW_BYTES = 4096

LAST_BIT, HIT_BIT = Field(31, 1), Field(30, 1)
VALUE_FIELD = Field(0, 30)
COLD_HELD, COLD_BANK, COLD_LOCAL = Field(29, 1), Field(22, 7), Field(0, 22)
NOT_LISTED = (1 << 30) - 1
MAX_BANKS = 128
SUMMARY_LISTS = 2 * MAX_BANKS
SUMMARY_BYTES = 4 * SUMMARY_LISTS


class Opcode(IntEnum):
    FENCE = 1
    LEARN = 2
    CLASSIFY = 3
    GATHER = 4
    DUMP = 5
    RESTORE = 6
    SELECT = 7
    FRONT = 8


class Flag(IntFlag):
    INTERRUPT = 1 << 0  # no coalescing: interrupt with this completion
    LEARN = 1 << 1  # CLASSIFY: the tracker learns from the mini-batch too (RELEARN)
    HELD = 1 << 2  # GATHER: the rows that the mini-batch classified before had among its cold rows too
    KEYS = 1 << 3  # GATHER: the keys of the rows too
    LIST = 1 << 4  # GATHER: the rows that lookups in memory name


NO_FLAG = Flag(0)


class Status(IntEnum):
    """How a descriptor ended; STATUS_DOCS has the meanings."""

    OK = 0
    OPCODE = 1
    ALIGNMENT = 2
    LENGTH = 3
    WINDOW = 4
    READ = 5
    WRITE = 6
    TABLE = 7
    ROW = 8
    CORE = 9
    WORKING = 10
    ABORTED = 11


STATUS_DOCS = {
    Status.OK: "it is done",
    Status.OPCODE: "it has no such opcode, or flags or reserved bits that it must not have",
    Status.ALIGNMENT: "an address or a size is no multiple of what it must be",
    Status.LENGTH: "a count or a size is zero, or beyond what can be",
    Status.WINDOW: "a buffer, or a row, is not in memory that was exposed with that right",
    Status.READ: "the bus answered a read with an error",
    Status.WRITE: "the bus answered a write with an error",
    Status.TABLE: "a table was not set up",
    Status.ROW: "a row is beyond its table",
    Status.CORE: "the accelerator reports errors",
    Status.WORKING: "a mini-batch has more unique cold rows than the accelerator can list",
    Status.ABORTED: "it was aborted",
}
"""Outputs of a descriptor are defined with OK, CORE and WORKING only. With CORE they are as good as the core's errors
leave them. With WORKING all but the lists is right."""


class EntryField(NamedTuple):
    """A field of a ring entry: `number` times `bits` bits. It follows the field before it."""

    name: str
    bits: int
    doc: str
    number: int = 1


DESCRIPTOR = (
    EntryField("opcode", 8, "what to do"),
    EntryField("flags", 8, "how"),
    EntryField("reserved", 16, "zero"),
    EntryField("tag", 32, "comes back in the completion"),
    EntryField("source", 64, "address"),
    EntryField("count", 32, "lookups, or rows of the state"),
    EntryField("operand", 32, "tables, or bytes of a row"),
    EntryField("targets", 64, "addresses", 3),
    EntryField("unused", 128, "zero"),
)
COMPLETION = (
    EntryField("tag", 32, "of the descriptor"),
    EntryField("opcode", 8, "of the descriptor"),
    EntryField("status", 8, "how it ended"),
    EntryField("reserved", 15, "zero"),
    EntryField("generation", 1, "1 in the first round of the completion ring, 0 in the second, and so on: in memory "
               "that was zero at first, a host that polls sees by it what is new"),
    EntryField("samples", 32, "samples"),
    EntryField("popular_samples", 32, "popular samples"),
    EntryField("popular_words", 32, "words of the popular micro-batch"),
    EntryField("nonpopular_words", 32, "words of the non-popular micro-batch"),
    EntryField("listed", 32, "unique cold rows that are not held; rows written (GATHER, DUMP); events (SELECT)"),
    EntryField("held", 32, "unique cold rows that are held"),
    EntryField("errors", 32, "bits of the core's ERROR that were set meanwhile"),
    EntryField("cycles", 32, "clock cycles from decoding to this completion"),
    EntryField("address", 64, "what could not be accessed, where known"),
    EntryField("unused", 128, "zero"),
)  # fmt: skip
"""Fields of the entries of both rings, from bit 0 on, little-endian; ENTRY_BYTES in all."""

COUNTS = ("samples", "popular_samples", "popular_words", "nonpopular_words", "listed", "held")
"""Fields of a completion that describe the data."""

SLOTS = ("source", "target 0", "target 1", "target 2")
"""Where a descriptor names a buffer. The source is read, the targets are written."""


class Quantities(NamedTuple):
    """What the sizes of buffers depend on: plain numbers, or values of the hardware.

    Attributes:
        count: the descriptor's `count`.
        lookup_shift: log2 of the bytes of a lookup of a mini-batch.
        state_bytes: bytes of the whole state.
        event_bytes: bytes of the most events.
    """

    count: Any
    lookup_shift: Any
    state_bytes: Any
    event_bytes: Any


class Buffer(NamedTuple):
    """A buffer of a descriptor. It begins at a multiple of BUFFER_ALIGN.

    Attributes:
        slot: one of SLOTS.
        holds: one of FORMATS.
        size: its bytes, as the check of windows takes them. Accesses beyond are checked when they are made.
        flag: the buffer is used only with this flag.
    """

    slot: str
    holds: str
    size: Callable[[Quantities], Any]
    flag: Flag = NO_FLAG


@dataclass(frozen=True)
class OpcodeRule:
    """What an opcode takes.

    Attributes:
        flags: flags that it may have, besides INTERRUPT.
        conflict: flags that must not stand together. With the first, none of the second may be set.
        count: what `count` is: "lookups" (1 to MAX_COUNT), "rows" (as many as the state has) or "" (ignored).
        count_flag: `count` is used only with this flag.
        operand: what `operand` is: "tables" (0 to MAX_TABLES32; whole samples of so many lookups), "row bytes" (a
            multiple of GRANULE_BYTES, 1 to MAX_ROW_BYTES) or "" (ignored).
        returns: the COUNTS that its completion has. The others are zero.
    """

    doc: str
    flags: Flag = NO_FLAG
    conflict: tuple[Flag, Flag] = (NO_FLAG, NO_FLAG)
    count: str = ""
    count_flag: Flag = NO_FLAG
    operand: str = ""
    buffers: tuple[Buffer, ...] = ()
    returns: tuple[str, ...] = ()


def _lookups(of: Quantities) -> Any:
    return of.count << of.lookup_shift


def _list(of: Quantities) -> Any:
    return of.count << 3


def _results(of: Quantities) -> Any:
    """As if every lookup came back in this packet."""
    return of.count << 2


def _summary(of: Quantities) -> Any:
    """As if every lookup were a sample, in units of 64 bytes."""
    return (of.count + 8 * SUMMARY_BYTES + 511) >> 9 << 6  # one sum: hardware adds it in a cycle


def _state(of: Quantities) -> Any:
    return of.state_bytes


def _events(of: Quantities) -> Any:
    return of.event_bytes


def _first_byte(of: Quantities) -> Any:
    return 1


OPCODES = {
    Opcode.FENCE: OpcodeRule("Nothing but its completion: all before it is done."),
    Opcode.LEARN: OpcodeRule(
        "A mini-batch trains the tracker.",
        count="lookups", operand="tables", buffers=(Buffer("source", "lookups", _lookups),),
    ),
    Opcode.CLASSIFY: OpcodeRule(
        "A mini-batch is split.",
        flags=Flag.LEARN, count="lookups", operand="tables",
        buffers=(Buffer("source", "lookups", _lookups), Buffer("target 0", "popular words", _results),
                 Buffer("target 1", "non-popular words", _results), Buffer("target 2", "summary", _summary)),
        returns=COUNTS,
    ),
    Opcode.GATHER: OpcodeRule(
        "Rows by DMA: those of the mini-batch that was last classified, or with LIST those that lookups name.",
        flags=Flag.HELD | Flag.KEYS | Flag.LIST, conflict=(Flag.LIST, Flag.HELD | Flag.KEYS),
        count="lookups", count_flag=Flag.LIST, operand="row bytes",
        buffers=(Buffer("source", "list", _list, Flag.LIST), Buffer("target 0", "rows", _first_byte),
                 Buffer("target 1", "keys", _first_byte, Flag.KEYS)),
        returns=("listed",),
    ),
    Opcode.DUMP: OpcodeRule(
        "The tracker's contents to memory.", buffers=(Buffer("target 0", "state", _state),), returns=("listed",)
    ),
    Opcode.RESTORE: OpcodeRule(
        "The tracker's contents from memory.", count="rows", buffers=(Buffer("source", "state", _state),)
    ),
    Opcode.SELECT: OpcodeRule(
        "The hot rows are chosen anew.",
        buffers=(Buffer("target 0", "events", _events),), returns=("listed",),
    ),
    Opcode.FRONT: OpcodeRule(
        "The rows that the lookups name take the place of those in the front table.",
        count="lookups", operand="tables", buffers=(Buffer("source", "lookups", _lookups),),
    ),
}  # fmt: skip

FORMATS = {
    "lookups": "With operand 0, 64-bit lookup words. With operand T, 1 to 256, 32-bit rows: lookup i is of table i "
    "modulo T, and every T of them are a sample.",
    "list": "64-bit lookup words, whose `last` means nothing.",
    "popular words": "32-bit result words of the popular samples: 31 last of its sample; 30 hit; 29:0 slot where hit, "
    "else the row's place among the working parameters: 29 held, 28:22 bank, 21:0 number in that bank's list, all ones "
    "if the lists had no room. A place p is row first[p >> 22] + (p & 0x3fffff) of the working parameters, where "
    "`first` is the exclusive cumulative sum of the summary's counts.",
    "non-popular words": "The same of the other samples.",
    "summary": f"{SUMMARY_LISTS} 32-bit counts, the unique cold rows in list {MAX_BANKS} * held + bank (those of banks "
    "that do not exist are not written); then a bit a sample (bit s & 7 of byte s >> 3, whole 32-bit words), 1 where "
    "it is popular.",
    "rows": "The rows end to end, in order of lists: those that are not held, or with HELD those that are. With LIST, "
    "in order of the list.",
    "keys": "A 64-bit word a row, as a lookup word without `last`.",
    "state": "Entry and slot words as on m_axis_state.",
    "events": "16 bytes each, two words, as on m_axis_state; the last is the closing beat.",
}
"""What buffers hold."""
