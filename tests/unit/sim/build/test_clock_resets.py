"""Resets at clock edges: what is rewritten, and what stays as it is."""

from __future__ import annotations

from hotline_sim.build.resets import clock_resets

VERILOG = r"""module queue(clk, rst);
  reg [1:0] \pointer$3  = 2'h1;
  reg [1:0] \$next ;
  reg busy = 1'h0;
  reg \$busy ;
  reg \$shared ;
  always @(posedge clk)
    \pointer$3  <= \$next ;
  always @(posedge clk)
    busy <= \$busy ;
  always @(posedge clk)
    read_elsewhere <= \$shared ;
  assign other = \$shared ;
  always @* begin
    if (starts_blocks) begin end
    \$next  = \pointer$3 ;
    if (pop) begin
      \$next [0] = \$sum [1];
    end
    if (rst) begin
      \$next  = 2'h1;
    end
  end
  always @* begin
    \$busy  = push;
    if (rst) begin
      \$busy  = 1'h0;
    end
    if (always_busy) begin
      \$busy  = 1'h1;
    end
  end
  always @* begin
    \$shared  = push;
    if (rst) begin
      \$shared  = 1'h0;
    end
  end
endmodule
module other(clk, rst);
  always @(posedge clk)
    named <= \$next ;
endmodule
"""

CLOCKED = VERILOG.replace(
    r"    \pointer$3  <= \$next ;", r"    if (rst) \pointer$3  <= 2'h1; else \pointer$3  <= \$next ;"
).replace("    if (rst) begin\n      \\$next  = 2'h1;\n    end\n", "")


def test_resets_move_to_the_edges_of_their_registers():
    assert CLOCKED != VERILOG
    assert clock_resets(VERILOG) == CLOCKED
