"""All files of a geometry, ready for a project: Verilog with its sidecar, and what other tools need beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from hotline_hw.spec.params import Geometry, GeometryError

from .attributes import with_interfaces, with_prefix
from .constraints import constraint_files
from .crossing import crossing_files, crossing_names
from .fusesoc import core_file
from .generate import TOPS, generate_verilog, sidecar
from .interfaces import Interface, Port, interfaces
from .ipxact import component
from .testbench import testbench

__all__ = ["WAIVERS", "default_prefix", "finished_verilog", "package_files", "package_names", "top_interfaces"]

WAIVERS = Path(__file__).with_name("waivers.vlt")
"""Verilator's warnings that do not apply, each with its reason."""


def default_prefix(geometry: Geometry) -> str:
    """`hotline_kaggle` for the preset kaggle."""
    return "hotline_" + re.sub(r"\W", "_", geometry.name)


def top_interfaces(geometry: Geometry, name: str, ports: list[dict] | None = None) -> list[Interface]:
    """The bus interfaces of one of TOPS. `ports` as the sidecar has them, if they are known."""
    ports = sidecar(geometry, name)["ports"] if ports is None else ports
    return interfaces(geometry, [Port(port["name"], port["direction"], port["width"]) for port in ports])


def finished_verilog(geometry: Geometry, verilog: str, name: str, prefix: str) -> str:
    """Verilog of one of TOPS, as `generate_verilog` makes it, with module names and attributes for a project."""
    top = _top(name, prefix)
    return with_interfaces(with_prefix(verilog, prefix), top, top_interfaces(geometry, name))


def package_names(geometry: Geometry, prefix: str | None = None) -> list[str]:
    """The names of the files that `package_files` makes.

    Raises:
        GeometryError: the prefix is no identifier of Verilog.
    """
    prefix = default_prefix(geometry) if prefix is None else prefix
    if not re.fullmatch(r"[A-Za-z_]\w*", prefix):
        raise GeometryError(f"prefix {prefix!r} is no Verilog identifier: letters, digits and _, no digit first")
    verilog = [f"{_top(name, prefix)}.{suffix}" for name in _tops(geometry) for suffix in ("v", "json")]
    others = [f"{prefix}_tb.v", f"{prefix}.core", f"{prefix}.xdc", f"{prefix}.sdc", f"{prefix}.lpf"]
    others += crossing_names(prefix)
    return [*verilog, *others, "component.xml", WAIVERS.name]


def package_files(
    geometry: Geometry, prefix: str | None = None, make_verilog: Callable[[Geometry, str], str] = generate_verilog
) -> dict[str, str]:
    """Text of each file by its name.

    Args:
        prefix: of the names of all modules and most files; `default_prefix` without it.
        make_verilog: `generate_verilog`, or something that keeps its results.
    """
    names = package_names(geometry, prefix)
    prefix = default_prefix(geometry) if prefix is None else prefix
    texts = {}
    for name in _tops(geometry):
        top = _top(name, prefix)
        texts[f"{top}.v"] = finished_verilog(geometry, make_verilog(geometry, name), name, prefix)
        description = sidecar(geometry, name)
        texts[f"{top}.json"] = json.dumps(description | {"name": top}, indent=1) + "\n"
    # `description` and `top` are those of the whole accelerator, or of the core if there is nothing else.
    ports = description["ports"]
    texts |= constraint_files(prefix, top, [port["name"] for port in ports])
    texts |= crossing_files(prefix, description["registers"]["bytes"])
    texts[f"{prefix}_tb.v"] = testbench(geometry, prefix)
    texts[f"{prefix}.core"] = core_file(prefix, top, geometry.name)
    texts["component.xml"] = component(
        top, [Port(port["name"], port["direction"], port["width"]) for port in ports],
        top_interfaces(geometry, name, ports), description["registers"]["bytes"], f"{prefix}.xdc",
    )  # fmt: skip
    texts[WAIVERS.name] = WAIVERS.read_text()
    return {name: texts[name] for name in names}


def _tops(geometry: Geometry) -> list[str]:
    return list(TOPS) if geometry.axi_bits else ["hotline_core"]


def _top(name: str, prefix: str) -> str:
    return f"{prefix}_{name.removeprefix('hotline_')}"
