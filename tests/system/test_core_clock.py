"""`core_clk` behind a clock gate that `core_clk_enable` opens, as a board has it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from hotline_hw.spec.params import preset
from hotline_sim.build.verilog import DEVICE_TOP, core_verilog
from tests.support.tools import needs

BENCH = Path(__file__).with_name("gated_core.v")


def simulate(folder: Path, verilog: str) -> subprocess.CompletedProcess[str]:
    source, program = folder / "device.v", folder / "gated_core.vvp"
    source.write_text(verilog)
    subprocess.run(["iverilog", "-g2012", "-s", "gated_core", "-o", program, source, BENCH], check=True)
    return subprocess.run(["vvp", "-n", program], capture_output=True, text=True)


def test_the_enable_is_a_register():
    """It goes to a clock gate, which wants it early in the cycle and without glitches."""
    text = core_verilog(preset("tiny"), DEVICE_TOP)
    top = text[text.index(f"module {DEVICE_TOP}(") :]
    assert re.search(r"^  reg core_clk_enable\b", top[: top.index("endmodule")], re.MULTILINE)


@needs("iverilog")
def test_registers_and_reset_reach_a_core_that_sleeps(tmp_path):
    run = simulate(tmp_path, core_verilog(preset("tiny"), DEVICE_TOP))
    assert run.returncode == 0 and "PASS" in run.stdout, run.stdout + run.stderr


@needs("iverilog")
@pytest.mark.parametrize(("wrong", "told"), [("1'h0", "it does not end|ID"), ("rst", "it does not end|ID|asleep")])
def test_it_would_notice(tmp_path, wrong, told):
    """A core that never wakes; and a gate that opens in reset only."""
    text = core_verilog(preset("tiny"), DEVICE_TOP)
    broken = re.sub(r"^  assign (core_clk_enable) = .*;$", rf"  assign \1 = {wrong};", text, flags=re.MULTILINE)
    if broken == text:
        broken = text.replace("core_clk_enable <= ", f"core_clk_enable <= {wrong} & ")
    assert broken != text
    run = simulate(tmp_path, broken)
    assert run.returncode != 0 and re.search(f"FAIL: ({told})", run.stdout), run.stdout + run.stderr
