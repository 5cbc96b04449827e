"""Ring entries byte by byte, written by hand, and the table of opcodes.

Hardware, driver and golden model share the layout as data. These bytes do not come from it.
"""

from __future__ import annotations

import numpy as np
import pytest

from hotline_device.ring_entries import Completion, Descriptor
from hotline_hw.shell.layouts import completion_layout, descriptor_layout
from hotline_hw.spec.descriptors import (
    COMPLETION,
    COUNTS,
    DESCRIPTOR,
    ENTRY_BYTES,
    FORMATS,
    OPCODES,
    SLOTS,
    STATUS_DOCS,
    Flag,
    Opcode,
    Status,
)

NOTHING = "00000000 00000000 00000000 00000000"

DESCRIPTORS = {
    "FENCE": (
        Descriptor(opcode=1, flags=1, tag=0x01020304),
        f"01010000 04030201 00000000 00000000 {NOTHING} {NOTHING} {NOTHING}",
    ),
    "LEARN": (
        Descriptor(opcode=2, tag=7, source=0x1122334455667780, count=0x0A0B0C, operand=26),
        f"02000000 07000000 80776655 44332211 0c0b0a00 1a000000 00000000 00000000 {NOTHING} {NOTHING}",
    ),
    "CLASSIFY": (
        Descriptor(
            opcode=3, flags=2, tag=0xFFFFFFFF, source=0x40, count=5, operand=256,
            targets=(0x0102030405060740, 0x1112131415161780, 0x21222324252627C0),
        ),
        "03020000 ffffffff 40000000 00000000 05000000 00010000 40070605 04030201"
        f"80171615 14131211 c0272625 24232221 {NOTHING}",
    ),
    "GATHER": (
        Descriptor(opcode=4, flags=4 | 8, tag=2, operand=4096, targets=(0x1000, 0x2000, 0)),
        f"040c0000 02000000 00000000 00000000 00000000 00100000 00100000 00000000 00200000 00000000 00000000 00000000"
        f"{NOTHING}",
    ),
    "GATHER of a list": (
        Descriptor(opcode=4, flags=16, tag=2, source=0xFFFFFFFFFFFFFFC0, count=1 << 26, operand=16, targets=(64, 0, 0)),
        f"04100000 02000000 c0ffffff ffffffff 00000004 10000000 40000000 00000000 {NOTHING} {NOTHING}",
    ),
    "DUMP": (
        Descriptor(opcode=5, tag=3, targets=(0x80, 0, 0)),
        f"05000000 03000000 00000000 00000000 00000000 00000000 80000000 00000000 {NOTHING} {NOTHING}",
    ),
    "RESTORE": (
        Descriptor(opcode=6, tag=4, source=0x80, count=32),
        f"06000000 04000000 80000000 00000000 20000000 00000000 00000000 00000000 {NOTHING} {NOTHING}",
    ),
    "SELECT": (
        Descriptor(opcode=7, tag=5, targets=(0x0000000100000000, 0, 0)),
        f"07000000 05000000 00000000 00000000 00000000 00000000 00000000 01000000 {NOTHING} {NOTHING}",
    ),
    "reserved bits": (
        Descriptor(opcode=255, reserved=0x8001 | 0x44444444_33333333_22222222_11111111 << 16),
        f"ff000180 00000000 00000000 00000000 {NOTHING} {NOTHING} 11111111 22222222 33333333 44444444",
    ),
}  # fmt: skip

COMPLETIONS = {
    "CLASSIFY": (
        Completion(
            tag=0x01020304, opcode=3, status=10, generation=1, samples=1, popular_samples=2, popular_words=3,
            nonpopular_words=4, listed=5, held=6, errors=0x7FF, cycles=0xFFFFFFFF,
        ),
        "04030201 030a0080 01000000 02000000 03000000 04000000 05000000 06000000 ff070000 ffffffff 00000000 00000000"
        f"{NOTHING}",
    ),
    "a fault": (
        Completion(tag=9, opcode=4, status=4, address=0x1122334455667788),
        f"09000000 04040000 {NOTHING} 00000000 00000000 00000000 00000000 88776655 44332211 {NOTHING}",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("entry", "expected"), [*DESCRIPTORS.values(), *COMPLETIONS.values()],
                         ids=[*DESCRIPTORS, *(f"completion of {name}" for name in COMPLETIONS)])  # fmt: skip
def test_entries_byte_by_byte(entry, expected):
    raw = bytes.fromhex(expected)
    assert len(raw) == ENTRY_BYTES
    assert entry.pack().astype("<u4").tobytes() == raw
    assert type(entry).unpack(np.frombuffer(raw, "<u4")) == entry


def test_the_hardware_reads_the_same_bytes():
    it, expected = DESCRIPTORS["CLASSIFY"]
    fields = descriptor_layout().from_bits(int.from_bytes(bytes.fromhex(expected), "little"))
    assert (fields.opcode, fields.flags, fields.tag, fields.source) == (3, 2, 0xFFFFFFFF, 0x40)
    assert (fields.count, fields.operand, fields.reserved, fields.unused) == (5, 256, 0, 0)
    assert tuple(fields.targets[place] for place in range(3)) == it.targets
    done, expected = COMPLETIONS["CLASSIFY"]
    whole = completion_layout().from_bits(int.from_bytes(bytes.fromhex(expected), "little"))
    for name in ("tag", "opcode", "status", "generation", "errors", "cycles", "address", *COUNTS):
        assert whole[name] == getattr(done, name), name


def test_codes_by_hand():
    assert {opcode.name: opcode.value for opcode in Opcode} == {
        "FENCE": 1, "LEARN": 2, "CLASSIFY": 3, "GATHER": 4, "DUMP": 5, "RESTORE": 6, "SELECT": 7, "FRONT": 8,
    }  # fmt: skip
    assert {flag.name: flag.value for flag in Flag} == {"INTERRUPT": 1, "LEARN": 2, "HELD": 4, "KEYS": 8, "LIST": 16}
    assert [status.name for status in Status] == [
        "OK", "OPCODE", "ALIGNMENT", "LENGTH", "WINDOW", "READ", "WRITE", "TABLE", "ROW", "CORE", "WORKING", "ABORTED",
    ]  # fmt: skip
    assert [status.value for status in Status] == list(range(12))


def test_the_table_is_whole():
    assert set(OPCODES) == set(Opcode) and set(STATUS_DOCS) == set(Status)
    held = {buffer.holds for rule in OPCODES.values() for buffer in rule.buffers}
    assert held == set(FORMATS)
    for fields in (DESCRIPTOR, COMPLETION):
        assert sum(field.bits * field.number for field in fields) == 8 * ENTRY_BYTES
    for rule in OPCODES.values():
        slots = [buffer.slot for buffer in rule.buffers]
        assert slots == sorted(set(slots), key=SLOTS.index) and set(rule.returns) <= set(COUNTS)
        assert all(buffer.flag in rule.flags for buffer in rule.buffers)
        assert Flag.INTERRUPT not in rule.flags
