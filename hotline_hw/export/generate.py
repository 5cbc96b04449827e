"""Generates the accelerator's Verilog, and a sidecar that describes it."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from amaranth.lib import wiring

from hotline_hw import __version__
from hotline_hw.core.core import HotlineCore
from hotline_hw.lib.blocks import BlockLibrary, flat_ports
from hotline_hw.shell.device import HotlineDevice
from hotline_hw.shell.layouts import CHANNELS
from hotline_hw.spec.params import Geometry, GeometryError
from hotline_hw.spec.regmap import ADDRESS_BITS
from hotline_hw.spec.shell_registers import DEVICE_ADDRESS_BITS

from .memories import place_memories
from .names import name_wires
from .regdoc import registers_json

__all__ = ["TOPS", "component_verilog", "generate_verilog", "sidecar", "source_hash"]

TOPS = {"hotline_core": HotlineCore, "hotline_device": HotlineDevice}
"""What can be generated: the stream core alone, and the whole accelerator."""

_SCRIPT = """
read_rtlil {source}
proc -nomux -norom
memory_collect
attrmap -remove generator -remove top -remove src -remove amaranth.hierarchy -remove amaranth.decoding
attrmap -modattr -remove generator -remove top -remove src -remove amaranth.hierarchy
write_verilog -norename {target}
"""


def _convert(rtlil_text: str) -> str:
    """Converts RTLIL to Verilog with Yosys.

    Attributes and locations are left out, so that equal designs give equal text.
    """
    with tempfile.TemporaryDirectory() as folder:  # where Yosys runs, as its scripts have no paths with spaces
        source, target, script = Path(folder, "core.il"), Path(folder, "core.v"), Path(folder, "core.ys")
        source.write_text(rtlil_text)
        script.write_text(_SCRIPT.format(source=source.name, target=target.name))
        # In a process of its own: Yosys ends the process it runs in when it meets an error.
        run = "import sys; from pyosys import libyosys; libyosys.run_pass(f'script {sys.argv[1]}', libyosys.Design())"
        done = subprocess.run([sys.executable, "-c", run, script.name], cwd=folder, capture_output=True, text=True)
        if done.returncode or not target.exists():
            raise RuntimeError(f"Yosys could not convert the design: {(done.stdout + done.stderr)[-2000:]}")
        return _started_at_time_zero(target.read_text())


def _started_at_time_zero(verilog: str) -> str:
    """Changes Yosys' Verilog so that Icarus too evaluates every `always @*` block at time 0.

    To each block Yosys adds a register that is declared with a value. This value is to start the block. But Icarus
    gives the value before it starts blocks, so a block without another event would stay undefined. An `initial`
    instead gives it after that. A block of one statement, which sets the other bits of such a register, gets it too.
    """
    started = re.sub(r"\\\$auto\$verilog_backend\S+ ", "starts_blocks", verilog)
    started = re.sub(
        r"^  always @\*\n    (.*)$",
        r"  always @* begin\n    if (starts_blocks) begin end\n    \1\n  end",
        started,
        flags=re.MULTILINE,
    )
    return started.replace("reg starts_blocks = 0;", "reg starts_blocks;\n  initial starts_blocks = 0;")


def _drop_memory_init(rtlil_text: str) -> str:
    """Leaves memories undefined at power-up. Every word of them is written before it is read.

    A line of Verilog for each word would swamp synthesis and simulation.
    """
    return re.sub(r"^  cell \$meminit_v2 .*?^  end\n", "", rtlil_text, flags=re.MULTILINE | re.DOTALL)


def _drop_aliases(rtlil_text: str) -> str:
    """Removes from one module the wires that are only a second name.

    These are the wires of a signal's fields that nothing reads, and wires that connect one signal with another
    unchanged. In a design of wide beats they are most of the text.
    """
    wire = re.compile(r"^ *wire width (\d+)(?: signed)? (\\\S+)\n", flags=re.MULTILINE)
    connect = re.compile(r"^ *connect (\\\S+) (\S+)(?: \[(\d+)(?::0)?\]|.*)\n", flags=re.MULTILINE)
    body = rtlil_text[rtlil_text.find("\n  cell ") :]  # module-level connections stand behind the cells
    uses = Counter(re.findall(r"\\\S+", rtlil_text))
    width = {found[2]: int(found[1]) for found in wire.finditer(rtlil_text)}
    ports = re.findall(r"^ *wire width (\d+) (?:input|output) \d+ (\\\S+)", rtlil_text, flags=re.MULTILINE)
    widths = width | {name: int(bits) for bits, name in ports}
    unread, same = set(), {}
    for found in connect.finditer(body):
        name, source, high = found[1], found[2], int(found[3] or 0)
        if found[0].startswith("    ") or name not in width:
            continue
        if uses[name] == 2:
            unread.add(name)
        elif widths.get(source) == width[name] == high + 1:
            same[name] = source

    def origin(name: str) -> str:
        while name in same:
            name = same[name]
        return name

    gone = unread | same.keys()
    text = wire.sub(lambda line: "" if line[2] in gone else line[0], rtlil_text)
    module_connect = re.compile(r"^ ? ?connect (\\\S+) .*\n", flags=re.MULTILINE)
    text = module_connect.sub(lambda line: "" if line[1] in gone else line[0], text)
    # Some names are not a wire's, and they stay: the type and parameters of a cell, and the name of its port.
    read = re.compile(r"^( *(?:cell|parameter|module) .*|    connect \\\S+)|(\\\S+)", flags=re.MULTILINE)
    return read.sub(lambda found: found[1] or origin(found[2]), text)


def _plain_module_names(rtlil_text: str, top: str) -> str:
    """Gives every module below the top a name that needs no escaping and is unique.

    `hotline_core.csr$931` becomes `hotline_csr`.
    """
    names: dict[str, str] = {}
    for name in re.findall(r"^module \\(\S+)", rtlil_text, flags=re.MULTILINE):
        if name == top:
            continue
        path = [re.sub(r"\$\d+$", "", part) for part in name.removeprefix(f"{top}.").split(".")]
        path[0] = path[0].removeprefix("hotline_")
        plain = "_".join(["hotline", *path])
        while plain in names.values():
            plain += "_"
        names[name] = plain
    return re.sub(r"^(module|  cell) \\(\S+)", lambda line: f"{line[1]} \\{names.get(line[2], line[2])}", rtlil_text,
                  flags=re.MULTILINE)  # fmt: skip


def generate_verilog(geometry: Geometry, name: str = "hotline_core") -> str:
    """The Verilog of one of TOPS with this geometry, and of the modules that it uses. It is deterministic.

    Raises:
        GeometryError: the whole accelerator is asked for, and the geometry has no AXI4 manager.
    """
    _check_shell(geometry, name)
    return component_verilog(TOPS[name](geometry), name, f", geometry {geometry.name}")


def component_verilog(component: wiring.Component, name: str, what: str = "") -> str:
    """The Verilog of a component as module `name`, and of the modules that it uses. `what` goes into the first line."""
    library = BlockLibrary()
    top = library.emit(component, name)
    text = "\n".join((*library.modules.values(), top))
    modules = re.split(r"(?<=^end\n)", _drop_memory_init(text), flags=re.MULTILINE)
    rtlil_text = "".join(place_memories(_drop_aliases(module)) for module in name_wires(modules))
    header = (
        f"// Hotline {__version__}{what}. Generated by 'hotline generate'; do not edit.\n"
        "// Licensed under the Apache License, Version 2.0.\n"
    )
    body = re.sub(
        r"^/\* Generated by .*?\*/\n", "", _convert(_plain_module_names(rtlil_text, name)), flags=re.MULTILINE
    )
    return header + body


def source_hash() -> str:
    """sha256 over the Python sources that make the hardware. It traces a Verilog file to its sources."""
    digest = hashlib.sha256()
    sources = Path(__file__).parents[1]
    for path in sorted(sources.rglob("*.py")):
        if sources / "synth" in path.parents:
            continue
        digest.update(path.relative_to(sources).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _check_shell(geometry: Geometry, name: str) -> None:
    if name == "hotline_device" and not geometry.axi_bits:
        raise GeometryError(f"{geometry.name} has no AXI4 manager (axi_bits = 0), and {name} is built around one")
    if name == "hotline_device" and geometry.read_tags < CHANNELS:
        raise GeometryError(
            f"read_tags={geometry.read_tags} breaks the rule: {CHANNELS} <= read_tags in {name}, as each channel of "
            "writes has an AXI id of its own"
        )


def sidecar(geometry: Geometry, name: str = "hotline_core") -> dict:
    """What a tool needs to know about a generated top: parameters, ports, and its origin.

    `registers` gives the file of the register map and its hash. The map is the same for all tops and geometries
    (`hotline registers --format json` writes it). A top has the registers below `bytes`.
    """
    core = TOPS[name](geometry)
    core._MustUse__used = True  # built for its ports alone
    ports = [
        {"name": port, "direction": "input" if flow.name == "In" else "output", "width": len(value)}
        for port, (value, flow) in flat_ports(core).items()
    ]
    clocks = [{"name": clock, "direction": "input", "width": 1} for clock in ("clk", "rst")]
    return {
        "name": name,
        "version": __version__,
        "source_sha256": source_hash(),
        "parameters": geometry.as_dict(),
        "ports": clocks + ports,
        "clock_domains": _clock_domains(name),
        "registers": {
            "file": "registers.json",
            "sha256": hashlib.sha256(registers_json().encode()).hexdigest(),
            "bytes": 1 << (ADDRESS_BITS if name == "hotline_core" else DEVICE_ADDRESS_BITS),
        },
    }


def _clock_domains(name: str) -> dict[str, dict[str, str]]:
    """Which clock is for what. Both come from one root, and all ports belong to clk."""
    domains = {"clk": {"clock": "clk", "reset": "rst", "reset_kind": "synchronous, active high", "use": "all ports"}}
    if name == "hotline_device":
        domains["core"] = {
            "clock": "core_clk", "reset": "rst", "reset_kind": "synchronous, active high",
            "use": "the stream core inside: clk itself, or clk gated by core_clk_enable",
        }  # fmt: skip
    return domains
