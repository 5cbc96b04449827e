"""All numbers of the interface that are no registers: codes, flags, status values, and the bit fields of words.

Plain data for the formats (`c_header`, `systemverilog`), taken from `hotline_hw.spec`. So no format states a number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import NamedTuple, TypeVar

from hotline_hw.spec import descriptors, words
from hotline_hw.spec.descriptors import COMPLETION, DESCRIPTOR, EntryField, Flag, Opcode, Status
from hotline_hw.spec.regmap import Command, Phase
from hotline_hw.spec.shell_registers import DmaCommand
from hotline_hw.spec.words import Field

__all__ = ["CODES", "ENTRIES", "LIMITS", "WORDS", "Code", "Member", "Word", "members"]


E = TypeVar("E", bound=IntEnum)


class Code(NamedTuple):
    """A named number."""

    name: str
    value: int
    doc: str


class Word(NamedTuple):
    """A word of `bits` bits and its fields."""

    name: str
    bits: int
    doc: str
    fields: dict[str, Field]


class Member(NamedTuple):
    """A member of a ring entry, as C and SystemVerilog see it: whole bytes.

    Attributes:
        name: of its last field.
        byte: offset in the entry.
        bits: 8, 16, 32 or 64 of one element.
        number: of elements.
        fields: the fields inside, with their place in the member. One, unless fields share bytes.
    """

    name: str
    byte: int
    bits: int
    number: int
    doc: str
    fields: dict[str, Field]


def _enum(kind: type[E], docs: Mapping[E, str]) -> list[Code]:
    return [Code(each.name, each.value, docs[each]) for each in kind]


_COMMAND_DOCS = {
    Command.CLEAR: "empties the tracker",
    Command.DUMP: "sends the tracker's contents",
    Command.RESTORE: "takes the tracker's contents",
    Command.SNAPSHOT: "copies all counters to the COUNTER registers",
    Command.RESET_COUNTERS: "zeroes all counters",
    Command.SELECT: "chooses the hot rows anew",
}
_DMA_COMMAND_DOCS = {
    DmaCommand.SNAPSHOT: "copies the shell's counters to the COUNTER registers",
    DmaCommand.RESET_COUNTERS: "zeroes the shell's counters",
    DmaCommand.RESET: "resets the device as rst does",
}
_PHASE_DOCS = {
    Phase.LEARN: "lookups train the tracker",
    Phase.CLASSIFY: "lookups are answered",
    Phase.RELEARN: "both",
    Phase.FRONT: "lookups name the rows of the front table",
}
_FLAG_DOCS = {
    Flag.INTERRUPT: "interrupt with this completion",
    Flag.LEARN: "CLASSIFY: the tracker learns too",
    Flag.HELD: "GATHER: the held rows",
    Flag.KEYS: "GATHER: the keys of the rows too",
    Flag.LIST: "GATHER: the rows that lookups in memory name",
}

CODES: dict[str, list[Code]] = {
    "OPCODE": _enum(Opcode, {opcode: rule.doc for opcode, rule in descriptors.OPCODES.items()}),
    "FLAG": [Code(str(flag.name), int(flag), _FLAG_DOCS[flag]) for flag in Flag],
    "COMPLETION_STATUS": _enum(Status, descriptors.STATUS_DOCS),
    "COMMAND_CODE": _enum(Command, _COMMAND_DOCS),
    "DMA_COMMAND_CODE": _enum(DmaCommand, _DMA_COMMAND_DOCS),
    "PHASE": _enum(Phase, _PHASE_DOCS),
}
"""Codes by what they are codes of."""

LIMITS: list[Code] = [
    Code("ENTRY_BYTES", descriptors.ENTRY_BYTES, "bytes of a descriptor, and of a completion"),
    Code("BUFFER_ALIGN", descriptors.BUFFER_ALIGN, "buffers begin at multiples of this"),
    Code("GRANULE_BYTES", descriptors.GRANULE_BYTES, "rows, strides and addresses of tables are multiples of this"),
    Code("EVENT_BYTES", descriptors.EVENT_BYTES, "bytes of an event of SELECT"),
    Code("MAX_COUNT", descriptors.MAX_COUNT, "the most lookups of a descriptor"),
    Code("MAX_TABLES", descriptors.MAX_TABLES32, "the most tables of 32-bit lookups"),
    Code("MAX_ROW_BYTES", descriptors.MAX_ROW_BYTES, "the most bytes of a row"),
    Code("MAX_BANKS", descriptors.MAX_BANKS, "lists of a kind in a summary"),
    Code("SUMMARY_LISTS", descriptors.SUMMARY_LISTS, "32-bit counts at the beginning of a summary"),
    Code("NOT_LISTED", descriptors.NOT_LISTED, "place of a cold row for which the lists had no room"),
]

WORDS: list[Word] = [
    Word("LOOKUP", 64, "a lookup, on s_axis_lookup and in memory",
         {"row": words.ROW_FIELD, "table": words.TABLE_FIELD, "last": words.LAST_FIELD}),
    Word("RESULT", 32, "a result in memory",
         {"value": descriptors.VALUE_FIELD, "hit": descriptors.HIT_BIT, "last": descriptors.LAST_BIT}),
    Word("PLACE", 32, "the value of a result that did not hit",
         {"number": descriptors.COLD_LOCAL, "bank": descriptors.COLD_BANK, "held": descriptors.COLD_HELD}),
    Word("STREAM_RESULT", 64, "a result on m_axis_popular and m_axis_nonpopular",
         {"value": words.ROW_FIELD, "table": words.TABLE_FIELD, "sample": words.SAMPLE_FIELD, "hit": words.HIT_FIELD,
          "last": words.LAST_FIELD}),
    Word("STATE_ENTRY", 64, "an entry of the tracker",
         {"tag": words.ENTRY_TAG, "counter": words.COUNTER_FIELD, "referenced": words.ENTRY_REFERENCED,
          "hot": words.ENTRY_HOT, "valid": words.ENTRY_VALID}),
    Word("STATE_SLOT", 64, "the slot of an entry; word 0 of a set has its age",
         {"slot": words.SLOT_WORD_SLOT, "age": words.AGE_FIELD}),
    Word("EVENT", 64, "a word of an event of SELECT; word 0 has the slot",
         {"key": words.EVENT_KEY, "slot": words.SLOT_FIELD, "valid": words.EVENT_VALID}),
    Word("EVENT_CLOSE", 64, "a word of the last event of SELECT",
         {"low": words.CLOSE_LOW, "high": words.CLOSE_HIGH}),
]  # fmt: skip


def members(fields: Iterable[EntryField]) -> list[Member]:
    """The fields of a ring entry as members of whole bytes.

    Fields that share bytes become one member. A field wider than 64 bits becomes an array of bytes.
    """
    out: list[Member] = []
    shared: dict[str, Field] = {}
    docs: list[str] = []
    at = start = 0
    for name, bits, doc, number in fields:
        shared[name] = Field(at - start, bits)
        docs += [doc] if name != "reserved" or not bits % 8 else []
        at += bits * number
        if at % 8:
            continue
        width = sum(field.width for field in shared.values())
        element, count = (width, number) if width <= 64 else (8, width // 8 * number)
        out.append(Member(name, start // 8, element, count, "; ".join(docs), shared))
        shared, docs, start = {}, [], at
    return out


ENTRIES: dict[str, list[Member]] = {"descriptor": members(DESCRIPTOR), "completion": members(COMPLETION)}
"""Members of the entries of the two rings."""
