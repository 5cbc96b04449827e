"""Shows that the vectors can fail: literals of the interface are changed in a copy of the package `hotline_hw`, where
RTL, model and driver still agree. The tests of the vectors find each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import hotline_hw

SPEC, RTL = "tests/unit/hw/spec/test_interface.py", "tests/unit/hw/test_rtl_interface.py"
ROOT = Path(hotline_hw.__file__).parents[1]


@dataclass(frozen=True)
class Literal:
    """In `module`, `right`, which occurs there once, becomes `wrong`. A test of file `found` must fail."""

    name: str
    module: str
    right: str
    wrong: str
    found: str = SPEC


LITERALS = [
    Literal("three rounds", "spec/feistel", "ROUNDS = 4", "ROUNDS = 3"),
    Literal("three rounds in the RTL", "spec/feistel", "ROUNDS = 4", "ROUNDS = 3", RTL),
    Literal("another constant", "spec/feistel", "0x9E3779B97F4A7C15", "0x9E3679B97F4A7C15", RTL),
    Literal("another rotation", "spec/feistel", "half_bits * 7 // 20", "half_bits * 8 // 20", RTL),
    Literal("another shift", "spec/feistel", "half_bits * 9 // 20", "half_bits * 10 // 20", RTL),
    Literal("no last fold", "spec/feistel", "return mixed ^ (mixed >> fold)", "return mixed"),
    Literal("opcodes change places", "spec/descriptors", "DUMP = 5\n    RESTORE = 6", "DUMP = 6\n    RESTORE = 5"),
    Literal("a flag moves", "spec/descriptors", "KEYS = 1 << 3", "KEYS = 1 << 5"),
    Literal("a status number", "spec/descriptors", "READ = 5\n    WRITE = 6", "READ = 6\n    WRITE = 5"),
    Literal("status of the decoder", "spec/descriptors",
            "ALIGNMENT = 2\n    LENGTH = 3", "ALIGNMENT = 3\n    LENGTH = 2", RTL),
    Literal("a field of the descriptor grows", "spec/descriptors",
            'EntryField("opcode", 8, "what to do"),\n    EntryField("flags", 8',
            'EntryField("opcode", 4, "what to do"),\n    EntryField("flags", 12', RTL),
    Literal("count and operand change places", "spec/descriptors",
            'EntryField("count", 32, "lookups, or rows of the state"),\n    EntryField("operand", 32',
            'EntryField("operand", 32, "lookups, or rows of the state"),\n    EntryField("count", 32'),
    Literal("a completion's words change places", "spec/descriptors",
            'EntryField("samples", 32, "samples"),\n    EntryField("popular_samples", 32',
            'EntryField("popular_samples", 32, "samples"),\n    EntryField("samples", 32', RTL),
    Literal("a place's bank", "spec/descriptors", "Field(22, 7), Field(0, 22)", "Field(23, 6), Field(0, 23)"),
    Literal("a weight", "spec/regmap", "WEIGHTS = (16, 8, 5, 4", "WEIGHTS = (16, 8, 4, 4", RTL),
    Literal("a period", "spec/regmap", '"lookups; 0: never"),), 32)', '"lookups; 0: never"),), 64)', RTL),
    Literal("an offset", "spec/regmap", 'Register("HYSTERESIS", 0x064', 'Register("HYSTERESIS", 0x0F4', RTL),
    Literal("offsets change places", "spec/shell_registers",
            '_LO", at, Access.RW', '_LO", at + 4 * (-1) ** (at >> 2), Access.RW'),
    Literal("counters move", "spec/regmap", "_COUNTER_BASE = 0x100", "_COUNTER_BASE = 0x200", RTL),
    Literal("a command's code", "spec/regmap", "CLEAR = 1  # empties", "CLEAR = 8  # empties"),
    Literal("a phase", "spec/regmap", "CLASSIFY = 1  # the", "CLASSIFY = 3  # the"),
    Literal("a capability's field", "spec/regmap",
            'BitField("bank_ports", 8, 8,', 'BitField("bank_ports", 8, 4,', SPEC),
    Literal("an error's bit", "spec/regmap", "RESTORE_ENTRY = 1 << 8", "RESTORE_ENTRY = 1 << 11"),
    Literal("rights change places", "spec/shell_registers",
            'BitField("read", 0, 1, "the accelerator may read there"),\n                  BitField("write", 1, 1',
            'BitField("read", 1, 1, "the accelerator may read there"),\n                  BitField("write", 0, 1'),
    Literal("a word's field", "spec/words", "HIT_FIELD = Field(62, 1)", "HIT_FIELD = Field(61, 1)"),
    Literal("the version stays behind", "spec/regmap", "INTERFACE = (1, 0)", "INTERFACE = (0, 9)", RTL),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("literal", LITERALS, ids=lambda literal: literal.name.replace(" ", "_"))
def test_a_changed_literal_is_found(literal: Literal, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "hotline_hw", tmp_path / "hotline_hw", ignore=shutil.ignore_patterns("__pycache__"))
    file = tmp_path / "hotline_hw" / f"{literal.module}.py"
    source = file.read_text()
    assert source.count(literal.right) == 1, f"{literal.right!r} is in {file.name} {source.count(literal.right)} times"
    file.write_text(source.replace(literal.right, literal.wrong))
    path = " ".join(map(str, (tmp_path, ROOT, ROOT / "sim", ROOT / "host")))  # the copy first
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-o", f"pythonpath={path}",
         str(ROOT / literal.found)],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": "", "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, f"not found: {literal.name}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    assert "1 failed" in done.stdout, f"it must fail, not break down:\n{done.stdout[-2000:]}"
