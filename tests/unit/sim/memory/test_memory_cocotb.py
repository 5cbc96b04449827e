"""The memory model on a DUT's ports in cocotb: bench_memory_cocotb.py, in Icarus."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from tests.support.tools import needs

ROOT = Path(__file__).parents[4]
RUN = """
import sys
from cocotb_tools.runner import get_runner
runner, source = get_runner("icarus"), sys.argv[1]
runner.build(sources=[source], hdl_toplevel="hotline_device", build_dir="build", timescale=("1ns", "1ps"))
runner.test(test_module="tests.unit.sim.memory.bench_memory_cocotb", hdl_toplevel="hotline_device", build_dir="build",
            hdl_toplevel_lang="verilog", results_xml=sys.argv[2], timescale=("1ns", "1ps"))
"""


@needs("iverilog", "g++")
def test_in_cocotb(tmp_path):
    results = tmp_path / "results.xml"
    path = os.pathsep.join(str(ROOT / part) for part in (".", "sim", "host"))
    run = subprocess.run(
        [sys.executable, "-c", RUN, ROOT / "tests/system/standin_device.v", results], cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
    )  # fmt: skip
    assert results.is_file(), run.stdout + run.stderr
    cases = {case.attrib["name"]: case.find("failure") is None and case.find("error") is None
             for case in ElementTree.parse(results).iter("testcase")}  # fmt: skip
    assert len(cases) == 5 and all(cases.values()), run.stdout
