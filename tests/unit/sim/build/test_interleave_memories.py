"""Memories side by side: what is rewritten, and what stays as it is."""

from __future__ import annotations

from hotline_sim.build.memories import interleave_memories

VERILOG = r"""module way(clk);
  reg [34:0] tags0 [2047:0];
  always @(posedge clk) begin
    if (\$signature__en )
      tags0[\$signature__addr$77 ] <= \$signature__data$78 ;
  end
  reg [47:0] states [2047:0];
  reg [34:0] tags10 [2047:0];
  assign a = tags10[pointer[4:2]][3];
  reg [34:0] tags2 [2047:0];
  reg [20:0] tags3 [2047:0];
  assign b = tags2[address] ^ tags3[address] ^ states[address];
endmodule
module other(clk);
  reg [34:0] tags0 [2047:0];
  assign c = tags0[address];
endmodule
"""

INTERLEAVED = r"""module way(clk);
  reg [34:0] tags0_interleaved [2047:0][2:0];
  always @(posedge clk) begin
    if (\$signature__en )
      tags0_interleaved[\$signature__addr$77 ][0] <= \$signature__data$78 ;
  end
  reg [47:0] states [2047:0];
  assign a = tags0_interleaved[pointer[4:2]][2][3];
  reg [20:0] tags3 [2047:0];
  assign b = tags0_interleaved[address][1] ^ tags3[address] ^ states[address];
endmodule
module other(clk);
  reg [34:0] tags0 [2047:0];
  assign c = tags0[address];
endmodule
"""


def test_memories_of_one_shape_become_one():
    assert interleave_memories(VERILOG) == INTERLEAVED
