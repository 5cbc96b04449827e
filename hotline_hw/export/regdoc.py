"""Writes out the register map and the descriptors. It only formats what `hotline_hw.spec` holds."""

from __future__ import annotations

import json
from xml.etree import ElementTree

from hotline_hw import __version__
from hotline_hw.spec import descriptors
from hotline_hw.spec.regmap import COUNTERS, REGISTERS, Access, Counter, Register
from hotline_hw.spec.shell_registers import DEVICE_ADDRESS_BITS, DMA_COUNTERS, SHELL_REGISTERS

__all__ = [
    "DEVICE_REGISTERS", "descriptors_markdown", "markdown", "register_rows", "registers_json", "svd",
]  # fmt: skip

DEVICE_REGISTERS: tuple[Register, ...] = REGISTERS + SHELL_REGISTERS
"""All registers that the whole accelerator has on its AXI4-Lite port."""


def register_rows(registers: tuple[Register, ...] = DEVICE_REGISTERS) -> list[dict]:
    """A register map as JSON-ready rows."""
    return [
        {
            "name": register.name,
            "offset": register.offset,
            "access": register.access.name,
            "reset": register.reset,
            "description": register.doc,
            "fields": [
                {"name": field.name, "low": field.low, "width": field.width, "description": field.doc}
                for field in register.fields
            ],
        }
        for register in registers
    ]


def registers_json() -> str:
    """The register map as JSON, a list of registers by offset. The stream core alone has the registers below 0x1000."""
    return json.dumps(register_rows(), indent=1) + "\n"


def markdown() -> str:
    """The register map as a page of documentation."""
    lines = [
        "# Registers",
        "",
        "Generated from `hotline_hw/spec/` by `hotline registers --format markdown`; do not edit. The stream core",
        "alone has those below 0x1000, the whole accelerator all of them.",
        "",
        "AXI4-Lite, 32-bit, little-endian. An address without a register, a write to a read-only register and a write",
        "that does not strobe all four bytes answer SLVERR and change nothing.",
        "RO read-only, RW read and write, W1C sticky bits cleared by writing ones, WO write-only.",
        "",
        "| offset | register | access | reset | what it holds |",
        "|---|---|---|---|---|",
    ]
    plain = [register for register in DEVICE_REGISTERS if not register.name.startswith("COUNTER_")]
    for register in plain:
        reset = "geometry" if register.reset is None else f"0x{register.reset:X}"
        cells = (f"0x{register.offset:03X}", register.name, register.access.name, reset, register.doc)
        lines.append(f"| {' | '.join(cells)} |")
    for register in plain:
        lines += ["", f"## {register.name} (0x{register.offset:03X})", ""]
        lines += ["| bits | field | meaning |", "|---|---|---|"]
        for field in reversed(register.fields):
            high = field.low + field.width - 1
            bits = f"{high}:{field.low}" if field.width > 1 else f"{field.low}"
            lines.append(f"| {bits} | {field.name} | {field.doc} |")
    lines += [
        "",
        "## Counters",
        "",
        "64 bits each, read-only, low half first; the values are those of the last SNAPSHOT (of COMMAND, and of",
        "DMA_COMMAND for those from 0x1000 on). Counters that are",
        "a function of the input are equal on every backend; timing counters count clock cycles of the hardware.",
        "",
        "| offset | counter | kind | one increment means |",
        "|---|---|---|---|",
    ]
    counters: tuple[Counter, ...] = COUNTERS + DMA_COUNTERS
    for counter in counters:
        low = next(r for r in DEVICE_REGISTERS if r.name == f"COUNTER_{counter.name.upper()}_LO")
        kind = "timing" if counter.timing else "input"
        lines.append(f"| 0x{low.offset:03X} | {counter.name} | {kind} | {counter.doc} |")
    return "\n".join(lines) + "\n"


def svd() -> str:
    """The register map as CMSIS-SVD."""
    access_names = {
        Access.RO: "read-only", Access.RW: "read-write", Access.W1C: "read-write", Access.WO: "write-only",
    }  # fmt: skip
    device = ElementTree.Element("device", schemaVersion="1.3")

    def add(parent: ElementTree.Element, tag: str, text: object) -> None:
        ElementTree.SubElement(parent, tag).text = str(text)

    for tag, text in (
        ("name", "hotline"), ("version", __version__), ("description", "Hotline accelerator"),
        ("addressUnitBits", 8), ("width", 32),
    ):  # fmt: skip
        add(device, tag, text)
    peripheral = ElementTree.SubElement(ElementTree.SubElement(device, "peripherals"), "peripheral")
    add(peripheral, "name", "HOTLINE")
    add(peripheral, "baseAddress", "0x0")
    block = ElementTree.SubElement(peripheral, "addressBlock")
    for tag, text in (("offset", "0x0"), ("size", hex(1 << DEVICE_ADDRESS_BITS)), ("usage", "registers")):
        add(block, tag, text)
    registers = ElementTree.SubElement(peripheral, "registers")
    for register in DEVICE_REGISTERS:
        node = ElementTree.SubElement(registers, "register")
        for tag, text in (
            ("name", register.name), ("description", register.doc), ("addressOffset", hex(register.offset)),
            ("size", 32), ("access", access_names[register.access]),
        ):  # fmt: skip
            add(node, tag, text)
        if register.reset is not None:
            add(node, "resetValue", hex(register.reset))
        if register.access is Access.W1C:
            add(node, "modifiedWriteValues", "oneToClear")
        fields = ElementTree.SubElement(node, "fields")
        for field in register.fields:
            entry = ElementTree.SubElement(fields, "field")
            add(entry, "name", field.name)
            add(entry, "description", field.doc)
            add(entry, "bitRange", f"[{field.low + field.width - 1}:{field.low}]")
    ElementTree.indent(device)
    return ElementTree.tostring(device, encoding="unicode", xml_declaration=True) + "\n"


def descriptors_markdown() -> str:
    """Descriptors, completions and what buffers hold, as a page of documentation."""
    d = descriptors
    lines = [
        "# Descriptors",
        "",
        "Generated from `hotline_hw/spec/descriptors.py` by `hotline registers --format descriptors`; do not edit.",
        "",
        f"Both rings have entries of {d.ENTRY_BYTES} bytes, little-endian. Buffers begin at multiples of "
        f"{d.BUFFER_ALIGN}.",
    ]
    for title, fields in (("Descriptor", d.DESCRIPTOR), ("Completion", d.COMPLETION)):
        lines += ["", f"## {title}", "", "| word | bits | field | meaning |", "|---|---|---|---|"]
        at = 0
        for name, bits, doc, number in fields:
            low, high = at, at + bits * number - 1
            words = f"{low // 32}" if low // 32 == high // 32 else f"{low // 32}-{high // 32}"
            place = f"{high % 32}:{low % 32}" if bits > 1 else f"{low % 32}"
            doc = f"{doc}, {number} of {bits} bits" if number > 1 else doc
            lines.append(f"| {words} | {place} | {name} | {doc} |")
            at = high + 1
    lines += ["", "## Opcodes", "", "What an opcode does not use is not looked at.", ""]
    lines += ["| code | opcode | what it does | flags | count | operand | buffers | counts that come back |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for opcode, rule in d.OPCODES.items():
        flags = ", ".join(str(flag.name) for flag in rule.flags)
        first, others = rule.conflict
        if first:
            flags += f"; {first.name} without {', '.join(str(flag.name) for flag in others)}"
        count = f"{rule.count} ({rule.count_flag.name})" if rule.count_flag else rule.count
        buffers = "; ".join(
            f"{buffer.slot}: {buffer.holds}" + (f" ({buffer.flag.name})" if buffer.flag else "")
            for buffer in rule.buffers
        )
        cells = (opcode.value, opcode.name, rule.doc, flags, count, rule.operand, buffers, ", ".join(rule.returns))
        lines.append(f"| {' | '.join(str(cell) or '-' for cell in cells)} |")
    lines += [
        "",
        "INTERRUPT (bit 0) goes with every opcode: the completion interrupts at once. The other flags: "
        + ", ".join(f"{flag.name} bit {flag.bit_length() - 1}" for flag in d.Flag if flag != d.Flag.INTERRUPT) + ".",
        "",
        f"Lookups: 1 to {d.MAX_COUNT:,}, at most {d.MAX_TABLES32} tables, whole samples of these. Row bytes: a "
        f"multiple of {d.GRANULE_BYTES}, at most {d.MAX_ROW_BYTES:,}. RESTORE: as many rows as the state has.",
        "",
        "## What buffers hold",
        "",
        "| buffer | content |",
        "|---|---|",
        *(f"| {name} | {text} |" for name, text in d.FORMATS.items()),
        "",
        "## Status",
        "",
        "Of those that hold, a completion tells the first in this order: OPCODE, ALIGNMENT, LENGTH, WINDOW (nothing",
        "was done), ABORTED, WINDOW, READ, WRITE (the first access that failed), TABLE, ROW, CORE, WORKING. Outputs",
        "are defined with OK, with CORE (as far as the errors leave them) and with WORKING (all but the lists).",
        "",
        "| code | status | meaning |",
        "|---|---|---|",
        *(f"| {status.value} | {status.name} | {text} |" for status, text in d.STATUS_DOCS.items()),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"
