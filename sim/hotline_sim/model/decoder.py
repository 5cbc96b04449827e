"""Golden model of Decoder: whether a descriptor may be begun.

The rules are stated here on their own, not taken from `spec.descriptors.OPCODES` as the hardware's are: so a mistake in
that table shows as a difference.

The first of these that does not hold is its status. What an opcode does not use is not looked at: words of the
descriptor, and `count` of a GATHER without LIST.

    OPCODE     the opcode exists, its flags go with it (GATHER: HELD and KEYS, or LIST), reserved bits are zero
    ALIGNMENT  every buffer begins at a multiple of BUFFER_ALIGN; row bytes are a multiple of GRANULE_BYTES
    LENGTH     lookups: 1 to MAX_COUNT of them, at most MAX_TABLES32 tables, whole samples of these; row bytes: 1 to
               MAX_ROW_BYTES; RESTORE: as many rows as the state has
    WINDOW     buffers in order (source, target 0, 1, 2): its first byte is in a page of a window with the right to read
               or to write, then its last

Sizes of buffers: what is read; results of CLASSIFY as if every lookup came back in that packet, and its summary as if
every lookup were a sample, in units of 64 bytes; the state; max_moves + 1 events. Of GATHER's targets only the first
byte is looked at. What lies between first and last byte, and rows, is checked as it is touched.
"""

from __future__ import annotations

from typing import NamedTuple

from hotline_device.ring_entries import Descriptor
from hotline_hw.spec.descriptors import (
    BUFFER_ALIGN,
    EVENT_BYTES,
    GRANULE_BYTES,
    MAX_COUNT,
    MAX_ROW_BYTES,
    MAX_TABLES32,
    SUMMARY_BYTES,
    Flag,
    Opcode,
    Status,
)
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import WORD_BYTES

from .windowed_memory import WindowedMemory

__all__ = ["judge", "lookup_bytes"]

_FLAGS = dict.fromkeys(Opcode, Flag.INTERRUPT) | {
    Opcode.CLASSIFY: Flag.INTERRUPT | Flag.LEARN,
    Opcode.GATHER: Flag.INTERRUPT | Flag.HELD | Flag.KEYS | Flag.LIST,
}


class _Buffer(NamedTuple):
    address: int
    size: int
    write: bool


def judge(it: Descriptor, geometry: Geometry, state_rows: int, memory: WindowedMemory) -> Status:
    """The verdict. `state_rows` are those of a DUMP under the present budget."""
    if not _opcode_is_right(it):
        return Status.OPCODE
    buffers = _buffers(it, geometry, state_rows)
    gather, flags = it.opcode == Opcode.GATHER, Flag(it.flags)
    if any(buffer.address % BUFFER_ALIGN for buffer in buffers) or (gather and it.operand % GRANULE_BYTES):
        return Status.ALIGNMENT
    batch = it.opcode in (Opcode.LEARN, Opcode.CLASSIFY, Opcode.FRONT)
    if (batch or flags & Flag.LIST) and not 0 < it.count <= MAX_COUNT:
        return Status.LENGTH
    if batch and it.operand and (it.operand > MAX_TABLES32 or it.count % it.operand):
        return Status.LENGTH
    if gather and not 0 < it.operand <= MAX_ROW_BYTES:
        return Status.LENGTH
    if it.opcode == Opcode.RESTORE and it.count != state_rows:
        return Status.LENGTH
    inside = all(memory.covers(buffer.address, buffer.size, write=buffer.write) for buffer in buffers)
    return Status.OK if inside else Status.WINDOW


def lookup_bytes(it: Descriptor) -> int:
    """Size of a lookup in memory."""
    return 4 if it.operand and it.opcode != Opcode.GATHER else WORD_BYTES


def _opcode_is_right(it: Descriptor) -> bool:
    if it.opcode not in list(Opcode) or it.reserved or it.flags & ~int(_FLAGS[Opcode(it.opcode)]):
        return False
    return not (it.flags & Flag.LIST and it.flags & (Flag.HELD | Flag.KEYS))


def _buffers(it: Descriptor, geometry: Geometry, state_rows: int) -> list[_Buffer]:
    """What a descriptor reads and writes, in order."""
    state_bytes, lookups = geometry.ways * WORD_BYTES, it.count * lookup_bytes(it)
    source = _Buffer(it.source, lookups, False)
    one, two, three = it.targets
    match it.opcode:
        case Opcode.LEARN | Opcode.FRONT:
            return [source]
        case Opcode.CLASSIFY:
            summary = SUMMARY_BYTES + -(-it.count // (8 * BUFFER_ALIGN)) * BUFFER_ALIGN
            results = 4 * it.count
            return [source, _Buffer(one, results, True), _Buffer(two, results, True), _Buffer(three, summary, True)]
        case Opcode.GATHER:
            listed = [source] if it.flags & Flag.LIST else []
            keys = [_Buffer(two, 1, True)] if it.flags & Flag.KEYS else []
            return [*listed, _Buffer(one, 1, True), *keys]
        case Opcode.DUMP:
            return [_Buffer(one, state_rows * state_bytes, True)]
        case Opcode.RESTORE:
            return [_Buffer(it.source, it.count * state_bytes, False)]
        case Opcode.SELECT:
            return [_Buffer(one, (geometry.max_moves + 1) * EVENT_BYTES, True)]
    return []
