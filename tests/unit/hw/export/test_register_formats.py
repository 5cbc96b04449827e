"""The formats of the register map hold what the map holds, as their own readers see it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from hotline_hw.export.c_header import c_header
from hotline_hw.export.constants import CODES, ENTRIES, WORDS, members
from hotline_hw.export.regdoc import DEVICE_REGISTERS, svd
from hotline_hw.export.systemrdl import MAPS, systemrdl
from hotline_hw.export.systemverilog import systemverilog_package
from hotline_hw.spec.descriptors import COMPLETION, DESCRIPTOR, ENTRY_BYTES, EntryField
from hotline_hw.spec.regmap import Access
from hotline_sim.build.tools import find_compiler
from hotline_sim.build.verilator import find_verilator
from tests.support.tools import needs

PLAIN = [register for register in DEVICE_REGISTERS if not register.name.startswith("COUNTER_")]


def test_fields_that_share_bytes_become_one_member():
    fields = (EntryField("a", 8, "A"), EntryField("reserved", 7, "zero"), EntryField("b", 1, "B"),
              EntryField("wide", 128, "W"), EntryField("many", 64, "M", 2))  # fmt: skip
    assert [(m.name, m.byte, m.bits, m.number) for m in members(fields)] == [
        ("a", 0, 8, 1), ("b", 1, 8, 1), ("wide", 2, 8, 16), ("many", 18, 64, 2),
    ]  # fmt: skip
    shared = members(fields)[1]
    assert shared.doc == "B" and shared.fields["b"] == (7, 1)


@pytest.mark.parametrize(("name", "fields"), [("descriptor", DESCRIPTOR), ("completion", COMPLETION)])
def test_members_fill_an_entry_in_order_and_aligned(name, fields):
    at = 0
    for member in ENTRIES[name]:
        assert member.byte == at and at % (member.bits // 8) == 0  # so that a C compiler inserts nothing
        at += member.bits // 8 * member.number
    assert at == ENTRY_BYTES
    assert [field for member in ENTRIES[name] for field in member.fields] == [field.name for field in fields]


@needs("g++")
def test_a_c_compiler_reads_the_header(tmp_path):
    """Values and offsets, as a program sees them, are those of the map. A name that occurs twice is an error."""
    (tmp_path / "hotline_regs.h").write_text(c_header())
    expected = {f"HOTLINE_{register.name}": register.offset for register in DEVICE_REGISTERS}
    for register in PLAIN:
        for field in register.fields:
            expected[f"HOTLINE_{register.name}_{field.name.upper()}_MASK"] = field.mask
            expected[f"HOTLINE_{register.name}_{field.name.upper()}_SHIFT"] = field.low
        if register.reset is not None:
            expected[f"HOTLINE_{register.name}_RESET"] = register.reset
    expected |= {f"HOTLINE_{kind}_{code.name}": code.value for kind, codes in CODES.items() for code in codes}
    for word in WORDS:
        for name, field in word.fields.items():
            expected[f"HOTLINE_{word.name}_{name.upper()}_MASK"] = field.mask << field.low
    offsets = {f"struct hotline_{name}, {member.name}": member.byte for name, all in ENTRIES.items() for member in all}
    lines = [f"    CHECK({name}, {value}ull)" for name, value in expected.items()]
    lines += [f"    CHECK(offsetof({place}), {value}ull)" for place, value in offsets.items()]
    source = tmp_path / "check.cpp"
    source.write_text(
        '#include <cstddef>\n#include "hotline_regs.h"\n#define CHECK(a, b) static_assert((a) == (b), #a);\n'
        + "int main() {\n" + "\n".join(lines) + "\n}\n"
    )  # fmt: skip
    subprocess.run([*find_compiler(), "-std=c++17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", source], check=True)
    names = re.findall(r"^#define (\w+)", c_header(), flags=re.MULTILINE)
    assert len(names) == len(set(names)) and expected.keys() <= set(names)


@needs("verilator")
def test_verilator_reads_the_package(tmp_path):
    path = tmp_path / "hotline_pkg.sv"
    path.write_text(systemverilog_package())
    user = tmp_path / "user.sv"
    completion = {member.name: member.byte for member in ENTRIES["completion"]}
    user.write_text(f"""
module user import hotline_pkg::*; (input logic [511:0] raw, output descriptor_t descriptor, output logic ok);
  completion_t completion;
  assign completion = raw;
  assign descriptor = '{{opcode: OPCODE_LEARN, count: 32'd7, default: '0}};
  assign ok = completion.generation && completion.status == COMPLETION_STATUS_OK;
  if ($bits(descriptor_t) != 512 || $bits(completion_t) != 512) $error("size");
  if (COMMAND != 'h50 || WINDOW_1_LO != 'h1090 || RESULT_HIT_LOW != 30) $error("value");
  localparam completion_t FOUND = 512'd5 << (8 * {completion["cycles"]});
  if (FOUND.cycles != 5) $error("place of a field");
endmodule
""")
    verilator = find_verilator()
    command = [verilator.path, "--lint-only", "-Wall", "-Wno-UNUSEDPARAM", "-Wno-UNUSEDSIGNAL", "-Wno-GENUNNAMED",
               path, user, "--top-module", "user"]  # fmt: skip
    lint = subprocess.run(command, env=verilator.environment(), capture_output=True, text=True)
    assert lint.returncode == 0, lint.stderr


def elaborated(folder: Path, name: str):
    rdl = pytest.importorskip("systemrdl")
    path = folder / "hotline.rdl"
    path.write_text(systemrdl())
    compiler = rdl.RDLCompiler()
    compiler.compile_file(str(path))
    return compiler.elaborate(name).top


def test_the_reference_compiler_of_systemrdl_finds_every_register(tmp_path):
    found = {node.inst_name: node for node in elaborated(tmp_path, "hotline").registers()}
    assert list(found) == [register.name for register in sorted(DEVICE_REGISTERS, key=lambda r: r.offset)]
    for register in DEVICE_REGISTERS:
        node = found[register.name]
        assert node.absolute_address == register.offset and node.get_property("desc") == register.doc
        fields = {field.inst_name: field for field in node.fields()}
        for ours in register.fields:
            theirs = fields.pop(ours.name)
            assert (theirs.low, theirs.width) == (ours.low, ours.width)
            assert theirs.get_property("reset") == (None if register.reset is None else ours.get(register.reset))
            assert theirs.is_sw_writable == (register.access is not Access.RO)
            assert theirs.is_sw_readable == (register.access is not Access.WO)
        assert not fields


@pytest.mark.parametrize(("name", "fields"), [("descriptor", DESCRIPTOR), ("completion", COMPLETION)])
def test_the_reference_compiler_of_systemrdl_finds_the_entries(tmp_path, name, fields):
    top = elaborated(tmp_path, f"hotline_{name}")
    assert top.size == ENTRY_BYTES and top.inst_name in MAPS
    bits = {}
    for node in top.registers(unroll=True):
        for field in node.fields():
            low = 8 * node.absolute_address + field.low
            bits.setdefault(field.inst_name, low)
    at = 0
    for field in fields:
        assert bits[field.name] == at, field.name
        at += field.bits * field.number


def test_svd_has_offsets_and_reset_values():
    tree = ElementTree.fromstring(svd())
    found = {node.findtext("name"): node for node in tree.iter("register")}
    for register in DEVICE_REGISTERS:
        node = found.pop(register.name)
        assert int(node.findtext("addressOffset", ""), 16) == register.offset
        reset = node.findtext("resetValue")
        assert (None if reset is None else int(reset, 16)) == register.reset
    assert not found
