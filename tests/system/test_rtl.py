"""The Verilog in the repository is current and clean, and has the customary names."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path

import pytest

from hotline_hw.export.c_header import c_header
from hotline_hw.export.generate import TOPS, sidecar
from hotline_hw.export.package import WAIVERS, default_prefix, finished_verilog, package_names
from hotline_hw.export.regdoc import DEVICE_REGISTERS, descriptors_markdown, markdown, registers_json, svd
from hotline_hw.export.systemrdl import systemrdl
from hotline_hw.export.systemverilog import systemverilog_package
from hotline_hw.spec.params import PRESETS, preset
from hotline_hw.spec.regmap import REGISTERS
from hotline_sim.build.verilator import find_verilator
from hotline_sim.build.verilog import core_verilog
from tests.support.tools import needs

ROOT = Path(__file__).parents[2]
RTL = ROOT / "rtl"
MOST_BYTES = {"hotline_core": 2_500_000, "hotline_device": 3_250_000}  # a block that is repeated stands there once


def shipped(name: str, top: str, suffix: str) -> Path:
    """A shipped file of one of TOPS."""
    return RTL / name / f"{top.replace('hotline', default_prefix(preset(name)))}.{suffix}"


@pytest.mark.parametrize("top", TOPS)
@pytest.mark.parametrize("name", ["tiny", "small", "edge", pytest.param("kaggle", marks=pytest.mark.slow)])
def test_shipped_files_are_what_the_source_generates(name: str, top: str) -> None:
    hint = "the hardware's source has changed: run `make rtl` and commit rtl/ with it"
    geometry = preset(name)
    expected = finished_verilog(geometry, core_verilog(geometry, top), top, default_prefix(geometry))
    assert shipped(name, top, "v").read_text() == expected, hint
    description = sidecar(geometry, top) | {"name": shipped(name, top, "v").stem}
    assert json.loads(shipped(name, top, "json").read_text()) == json.loads(json.dumps(description)), hint
    assert shipped(name, top, "v").stat().st_size < MOST_BYTES[top]


@pytest.mark.parametrize("name", PRESETS)
def test_shipped_folders_have_every_file_and_no_other(name: str) -> None:
    assert sorted(path.name for path in (RTL / name).iterdir()) == sorted(package_names(preset(name)))


def test_shipped_register_files_are_what_the_map_says() -> None:
    hint = "the register map has changed: run `make rtl` and commit what it writes"
    assert (ROOT / "docs" / "registers.md").read_text() == markdown(), hint
    assert (RTL / "hotline_regs.h").read_text() == c_header(), hint
    assert (RTL / "hotline.svd").read_text() == svd(), hint
    assert (RTL / "hotline.rdl").read_text() == systemrdl(), hint
    assert (RTL / "hotline_pkg.sv").read_text() == systemverilog_package(), hint
    assert (RTL / "registers.json").read_text() == registers_json(), hint
    assert (ROOT / "docs" / "descriptors.md").read_text() == descriptors_markdown(), hint


@needs("verilator")
@pytest.mark.parametrize("top", TOPS)
@pytest.mark.parametrize("name", ["tiny", "small", "edge", pytest.param("kaggle", marks=pytest.mark.slow)])
def test_lint_finds_nothing_but_explained_waivers(name: str, top: str) -> None:
    verilator = find_verilator()
    lint = subprocess.run(
        [verilator.path, "--lint-only", "-Wall", "--top-module", shipped(name, top, "v").stem, WAIVERS,
         shipped(name, top, "v")],
        env=verilator.environment(), capture_output=True, text=True,
    )  # fmt: skip
    found = re.findall(r"^%.*", lint.stdout + lint.stderr, flags=re.MULTILINE)
    assert lint.returncode == 0 and not found, "\n".join(found[:10])


@needs("verilator")
def test_a_latch_would_be_found_by_lint(tmp_path: Path) -> None:
    """The waivers must not silence what matters."""
    text = shipped("tiny", "hotline_core", "v").read_text()
    broken = text.replace(
        "endmodule", "  reg latched;\n  always @* if (rst) latched = clk;\n  assign irq = latched;\nendmodule", 1
    )
    path = tmp_path / "hotline_tiny_core.v"
    path.write_text(broken)
    verilator = find_verilator()
    lint = subprocess.run(
        [verilator.path, "--lint-only", "-Wall", "--top-module", "hotline_tiny_core", WAIVERS, path],
        env=verilator.environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert lint.returncode != 0


def described(name: str, top: str) -> tuple[dict[str, tuple[str, int]], set[str]]:
    """Ports by name, and names of registers, from the sidecar. The ports must be the module's."""
    description = json.loads(shipped(name, top, "json").read_text())
    ports = {port["name"]: (port["direction"], port["width"]) for port in description["ports"]}
    path = shipped(name, top, "v")
    header = re.search(rf"module {path.stem}\((.*?)\);", path.read_text(), flags=re.DOTALL)
    assert header and {port.strip() for port in header[1].split(",")} == ports.keys()
    told = description["registers"]
    text = (RTL / told["file"]).read_bytes()
    assert hashlib.sha256(text).hexdigest() == told["sha256"]
    return ports, {register["name"] for register in json.loads(text) if register["offset"] < told["bytes"]}


@pytest.mark.parametrize("name", PRESETS)
def test_ports_of_the_core_have_the_customary_names(name: str) -> None:
    geometry = preset(name)
    ports, registers = described(name, "hotline_core")
    lookup = 64 * geometry.lanes
    expected = {
        "clk": ("input", 1), "rst": ("input", 1), "irq": ("output", 1),
        "s_axil_awaddr": ("input", 12), "s_axil_rdata": ("output", 32), "s_axil_wstrb": ("input", 4),
        "s_axis_lookup_tdata": ("input", lookup), "s_axis_lookup_tkeep": ("input", lookup // 8),
        "s_axis_lookup_tready": ("output", 1), "m_axis_popular_tdata": ("output", lookup),
        "m_axis_nonpopular_tlast": ("output", 1), "m_axis_nonpopular_tready": ("input", 1),
        "s_axis_state_tdata": ("input", 64 * geometry.ways), "m_axis_state_tdata": ("output", 64 * geometry.ways),
    }  # fmt: skip
    assert expected.items() <= ports.items()
    assert registers == {register.name for register in REGISTERS}


@pytest.mark.parametrize("name", PRESETS)
def test_ports_of_the_device_have_the_customary_names(name: str) -> None:
    geometry = preset(name)
    ports, registers = described(name, "hotline_device")
    bits, ids = geometry.axi_bits, geometry.id_bits
    expected = {
        "clk": ("input", 1), "rst": ("input", 1), "irq": ("output", 1), "core_clk": ("input", 1),
        "core_clk_enable": ("output", 1), "s_axil_awaddr": ("input", 13), "s_axil_araddr": ("input", 13),
        "m_axi_awaddr": ("output", 64), "m_axi_awid": ("output", ids), "m_axi_wdata": ("output", bits),
        "m_axi_wstrb": ("output", bits // 8), "m_axi_bready": ("output", 1), "m_axi_arlen": ("output", 8),
        "m_axi_rdata": ("input", bits), "m_axi_rid": ("input", ids), "m_axi_rlast": ("input", 1),
    }  # fmt: skip
    assert expected.items() <= ports.items()
    assert not any("axis" in port for port in ports)
    assert registers == {register.name for register in DEVICE_REGISTERS}
