"""The generated Verilog, cut into units."""

from __future__ import annotations

import pytest

from hotline_hw.synth.targets import SynthesisError, find_target
from hotline_hw.synth.usage import usage
from hotline_hw.synth.verilog import Port, find_module, read_design
from hotline_hw.synth.wrapper import wrapper
from tests.support.netlists import ff, lut, netlist

VERILOG = """/* header */
module hotline_bank(clk, data, \\out$1 );
  input clk;
  wire clk;
  input [7:0] data;
  wire [7:0] data;
  output \\out$1 ;
  wire \\out$1 ;
  hotline_leaf leaf (
    .clk(clk)
  );
endmodule

module hotline_leaf(clk);
  input clk;
  reg waiting;
endmodule

module hotline_top(clk
, rst);
  input clk;
  input rst;
  hotline_bank bank0 (
    .clk(clk)
  );
  hotline_bank \\bank$7  (
    .clk(clk)
  );
endmodule
"""


def test_hierarchy() -> None:
    design = read_design(VERILOG)
    assert design.children["hotline_top"] == {"bank0": "hotline_bank", "bank$7": "hotline_bank"}
    assert design.instances("hotline_top") == {
        "": "hotline_top", "bank0": "hotline_bank", "bank0.leaf": "hotline_leaf", "bank$7": "hotline_bank",
        "bank$7.leaf": "hotline_leaf",
    }  # fmt: skip
    assert design.ports("hotline_bank") == [Port("clk", True, 1), Port("data", True, 8), Port("out$1", False, 1)]


def test_units() -> None:
    design = read_design(VERILOG)
    assert design.units("hotline_top", small=10_000) == ["hotline_top"]
    # Two banks with their leaves are more than 300 characters, two leaves are not.
    assert design.units("hotline_top", small=300) == ["hotline_top", "hotline_bank"]
    top = design.unit_text("hotline_top", ["hotline_top", "hotline_bank"])
    assert "(* blackbox *)\nmodule hotline_bank(" in top and "leaf" not in top
    assert "output \\out$1 ;" in top and "input [7:0] data;" in top
    assert "reg waiting" in design.unit_text("hotline_bank", ["hotline_top", "hotline_bank"])


def test_a_module_by_name() -> None:
    design = read_design(VERILOG)
    assert find_module(design, "bank") == find_module(design, "hotline_bank") == "hotline_bank"
    with pytest.raises(SynthesisError, match=r"there is no module 'ban'; there are core, device, hotline_bank$"):
        find_module(design, "ban")
    with pytest.raises(SynthesisError, match="unknown target 'ecp6'; the targets are ecp5-85k"):
        find_target("ecp6")


def test_wrapper_has_three_pins() -> None:
    ports = [Port("clk", True, 1), Port("core_clk", True, 1), Port("data", True, 8), Port("out", False, 5)]
    text = wrapper("dut_module", ports)
    assert "module hotline_wrapper(input clk, input in, output out);" in text
    assert ".\\core_clk (clk)" in text and ".\\data (from_pin[7:0])" in text and ".\\out (to_tree[4:0])" in text
    assert "level1[1] <= ^level0[4:4]" in text and "assign out = level2[0];" in text


def test_usage_counts_instances() -> None:
    bank = netlist([lut([2], 3), ff(3, 4)])
    used = usage({"top": netlist([lut([2], 3)]), "bank": bank}, {"top": 1, "bank": 32})
    assert used.resources["luts"] == 33 and used.resources["ffs"] == 32
    assert used.modules["bank"]["placed"] == 32 and used.modules["bank"]["luts"] == 1
