"""Names of the generated Verilog: none that Amaranth or Yosys made up, where the source has one."""

from __future__ import annotations

import re

import pytest

from hotline_hw.export.names import name_wires
from hotline_hw.spec.params import preset
from hotline_sim.build.verilog import core_verilog

CHILD = r"""attribute \generator "Amaranth"
module \top.fetch
  wire width 1 input 0  \port$7$0
  wire width 8 input 1  \port$8$0
  wire width 32 input 2  \port$9$0
  wire width 2 input 3  \port$10$0
  wire width 9 \data
  wire width 8 \data.count
  wire width 64 \base
  cell $and $1
    connect \A \port$7$0 [0]
    connect \Y \base [0]
  end
connect \data { \port$7$0 [0] \port$8$0 [7:0] }
connect \data.count \port$8$0 [7:0]
connect \base { \port$9$0 [31:0] 32'00000000000000000000000000000000 }
connect \data.read \port$10$0 [0]
end
"""
PARENT = r"""module \top
  wire width 1 \take$12
  wire width 8 \port$8$0
  wire width 1 \fetch
  wire width 4 \$signature__data$3
  cell $memwr_v2 $5
    parameter \MEMID "\\tags"
    connect \DATA \$signature__data$3 [3:0]
  end
  cell \top.fetch \fetch$4
    connect \port$7$0 \take$12 [0]
    connect \port$8$0 \port$8$0 [7:0]
  end
end
"""


def test_ports_that_are_parts_of_signals() -> None:
    child, _ = name_wires([CHILD, PARENT])
    ports = re.findall(r"input \d+  (\S+)", child)
    assert ports == [r"\data_8", r"\data_count", r"\base_63_32", r"\data_read_etc"]
    assert r"connect \A \data_8 [0]" in child, "inside, the name is the same"


def test_wires_have_the_names_of_what_they_connect() -> None:
    _, parent = name_wires([CHILD, PARENT])
    assert r"cell \top.fetch \u_fetch" in parent, "the name fetch is a signal's"
    assert r"connect \data_8 \u_fetch_data_8 [0]" in parent, "take$12: the port of the child has its new name"
    assert r"connect \data_count \data_count [7:0]" in parent
    assert r"connect \DATA \tags_data [3:0]" in parent
    assert "$12" not in parent and "port$" not in parent


def test_names_stay_different() -> None:
    module = PARENT.replace("  wire width 1 \\fetch\n", "  wire width 1 \\fetch\n  wire width 1 \\u_fetch_data_8\n")
    _, parent = name_wires([CHILD, module])
    assert parent.count("\\u_fetch_data_8_ [0]") == 1


@pytest.mark.long
@pytest.mark.parametrize("top", ["hotline_core", "hotline_device"])
def test_the_generated_verilog(top: str) -> None:
    verilog = core_verilog(preset("tiny"), top)
    assert "verilog_backend" not in verilog
    made_up = set(re.findall(r"\\port\$\S+", verilog))
    assert not made_up, "a port that is named after a number"
