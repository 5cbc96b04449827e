"""Instances that share their code: what is rewritten, and what Verilator gets as options."""

from __future__ import annotations

from hotline_sim.build.sharing import share_instances

VERILOG = r"""module top(clk, rst, a);
  input clk;
  bank bank0 (
    .clk(clk),
    .number(2'h0),
    .width(3'h5),
    .\port$1 (x)
  );
  other only (
    .number(2'h1)
  );
  bank bank1 (
    .clk(clk),
    .number(2'h1),
    .width(3'h5),
    .\port$1 (y)
  );
endmodule
module bank(clk, number, width);
endmodule
"""

SHARED = (
    VERILOG.replace(
        "  bank bank0", "  reg always_zero;\n  always @(posedge clk) always_zero <= always_zero & rst;\n  bank bank0"
    )
    .replace("2'h0", "2'h0 ^ {2{always_zero}}")
    .replace(".number(2'h1),", ".number(2'h1 ^ {2{always_zero}}),")
)

RULES = r"""`verilator_config
no_inline -module "bank"
public_flat_rd -module "bank" -var "number"
public_flat_rd -module "bank" -var "\port$1"
"""


def test_what_differs_between_instances_stays_a_variable():
    assert share_instances(VERILOG) == (SHARED, RULES)


def test_nothing_is_done_where_nothing_is_repeated():
    once = VERILOG.replace("bank bank1", "bank2 bank1")
    assert share_instances(once) == (once, "`verilator_config\n")
