"""Which kind of memory the Verilog asks for."""

from __future__ import annotations

import re

import pytest

from hotline_hw.export.memories import kind_of, place_memories
from hotline_hw.spec.params import preset
from hotline_sim.build.verilog import core_verilog


@pytest.mark.parametrize(
    ("name", "width", "depth", "clocked", "kind"),
    [
        ("table", 5, 8192, False, "distributed"),
        ("slots", 19, 32768, True, "ultra"),
        ("states", 168, 2048, True, "ultra"),
        ("tags3", 35, 2048, True, "ultra"),
        ("tags4", 35, 2048, True, "block"),
        ("tags0", 33, 512, True, "block"),
        ("storage", 500, 64, True, None),
    ],
)
def test_kinds(name: str, width: int, depth: int, clocked: bool, kind: str | None) -> None:
    assert kind_of(name, width, depth, clocked) == kind


def test_every_vendor_is_told() -> None:
    cell = '  cell $memrd_v2 $1\n    parameter \\MEMID "\\\\table"\n    parameter \\CLK_ENABLE 0\n  end\n'
    text = place_memories("module \\m\n  memory width 5 size 16 \\table\n  memory width 8 size 16 \\other\n" + cell)
    assert text.count("attribute") == 3, "the other is left to the tool"
    assert 'attribute \\ram_style "distributed"\n' in text and 'attribute \\ramstyle "MLAB"\n' in text
    assert text.index('syn_ramstyle "distributed"') < text.index("\\table")


@pytest.mark.long
def test_the_attributes_arrive_in_the_verilog() -> None:
    verilog = core_verilog(preset("tiny"))
    lane = re.search(r"((?:^  \(\*.*\*\)\n)+)  reg \[\d+:0\] lane0 \[15:0\];", verilog, flags=re.MULTILINE)
    assert lane is not None, "of a bank's queue, which is read without a clock"
    assert '(* ram_style = "distributed" *)' in lane[1] and '(* syn_ramstyle = "distributed" *)' in lane[1]
    table = re.search(r"((?:^  \(\*.*\*\)\n)+)  reg \[4:0\] \\table  \[255:0\];", verilog, flags=re.MULTILINE)
    assert table is not None and '(* ram_style = "block" *)' in table[1], "the classifier's"
    assert re.search(r"\*\)\n  reg \[\d+:0\] tags0 ", verilog) is None, "8 sets: as the tool likes"
