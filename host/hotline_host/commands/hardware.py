"""`hotline generate`, `registers`, `probe` and `resources`: the commands for FPGA engineers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hotline_device.registry import backend_help, find_backend
from hotline_host.driver.control import RegisterState
from hotline_host.driver.driver import Driver
from hotline_host.errors import SettingsError
from hotline_host.files import check_outputs, write_text
from hotline_hw.export import regdoc
from hotline_hw.export.c_header import c_header
from hotline_hw.export.html import write_html
from hotline_hw.export.systemrdl import systemrdl
from hotline_hw.export.systemverilog import systemverilog_package
from hotline_hw.spec.params import PRESETS, Geometry

from .console import plain_errors, show

__all__ = ["Overrides", "Preset", "ReadGeometry", "add_commands"]

Preset = Annotated[str, typer.Option(help=f"Geometry of the accelerator: {', '.join(PRESETS)}.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Changes a parameter of the preset; repeatable.")
]
ReadGeometry = Callable[[str, list[str] | None], Geometry]
_FORMATS: dict[str, Callable[[], str]] = {
    "markdown": regdoc.markdown, "c": c_header, "systemverilog": systemverilog_package, "systemrdl": systemrdl,
    "svd": regdoc.svd, "json": regdoc.registers_json, "descriptors": regdoc.descriptors_markdown,
}  # fmt: skip


def add_commands(app: typer.Typer, read_geometry: ReadGeometry) -> None:
    """Adds the commands to an application. `read_geometry` makes a geometry of a preset and its overrides."""

    @app.command()
    def generate(
        preset: Preset = "kaggle",
        out: Annotated[Path, typer.Option("--out", "--output", help="Folder to write to.")] = Path("rtl"),
        prefix: Annotated[
            str | None, typer.Option(help="Of all module names, so that several geometries fit one project. "
                                          "hotline_PRESET without it.")
        ] = None,
        overrides: Overrides = None,
    ) -> None:  # fmt: skip
        """Write the accelerator's Verilog with what tools need: FuseSoC, IP-XACT, constraints, a small bench."""
        with plain_errors() as progress:
            geometry = read_geometry(preset, overrides)
            progress(f"generating {geometry.name}", 0, 1)
            from hotline_hw.export.package import package_files, package_names

            paths = [out / name for name in package_names(geometry, prefix)]
            check_outputs({path.name: path for path in paths})
            texts = package_files(geometry, prefix)
            for path in paths:
                write_text(path, texts[path.name])
        show(*map(str, paths))

    @app.command()
    def registers(
        format: Annotated[str, typer.Option(help=f"table, html, {', '.join(_FORMATS)}.")] = "table",
        out: Annotated[Path | None, typer.Option("--out", "--output", help="html: folder to write to.")] = None,
    ) -> None:
        """Show the register map, or what descriptors hold."""
        with plain_errors():
            if format not in ("table", "html", *_FORMATS):
                raise SettingsError(f"format is {format!r}; it must be one of table, html, {', '.join(_FORMATS)}")
            if (format == "html") != (out is not None):
                raise SettingsError("--format html and --out go together: html is a folder of pages")
            if out is not None:
                show(str(_html(out)))
                return
        show(_register_table() if format == "table" else _FORMATS[format]().removesuffix("\n"))

    @app.command()
    def probe(
        preset: Preset = "tiny",
        backend: Annotated[str, typer.Option(help=f"The accelerator. {backend_help()}.")] = "model",
        everything: Annotated[bool, typer.Option("--all", help="Counters and free windows too.")] = False,
        overrides: Overrides = None,
    ) -> None:
        """Read every register of an accelerator, and say what its fields mean."""
        with plain_errors() as progress:
            geometry = read_geometry(preset, overrides)
            entry = find_backend(backend)
            progress(f"opening {backend}", 0, 1)
            with entry.open(geometry if entry.simulates else None) as device:
                states = Driver(device).describe()
        show(_state_table(states, everything))

    @app.command()
    def resources(
        preset: Preset = "kaggle",
        fpga: Annotated[bool, typer.Option("--fpga", help="Also synthesize for a Lattice ECP5: minutes.")] = False,
        core: Annotated[bool, typer.Option("--core", help="Of the stream core alone.")] = False,
        overrides: Overrides = None,
    ) -> None:
        """Show what the accelerator costs: bits of SRAM, and FPGA cells before placement."""
        with plain_errors() as progress:
            geometry = read_geometry(preset, overrides)
            from hotline_hw.export.resources import fpga_cells, shell_bits, sram_bits

            whole = not core and geometry.axi_bits > 0
            bits = sram_bits(geometry) | (shell_bits(geometry) if whole else {})
            if fpga:
                progress(f"synthesizing {geometry.name}", 0, 1)
            cells = fpga_cells(geometry, "hotline_device" if whole else "hotline_core") if fpga else {}
        show(*_resource_tables(geometry, bits, cells))


def _html(folder: Path) -> Path:
    try:
        return write_html(folder)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"--format html needs the Python package {error.name}. Install it: pip install 'hotline[docs]'"
        ) from None


def _register_table() -> Table:
    table = Table("offset", "register", "access", "what it holds", box=None)
    for row in regdoc.register_rows():
        table.add_row(f"0x{row['offset']:03X}", row["name"], row["access"], row["description"])
    return table


def _state_table(states: list[RegisterState], everything: bool) -> Table:
    table = Table("offset", "register", "value", "field", "is", "which means", box=None)
    for state in states:
        if not everything and not state.value and state.name.startswith(("COUNTER_", "WINDOW_")):
            continue
        value = "-" if state.value is None else f"0x{state.value:08X}"
        start = (f"0x{state.offset:04X}", state.name, value)
        for field, held, doc in state.fields:
            table.add_row(*start, field, "-" if held is None else str(held), doc)
            start = ("", "", "")
    return table


def _resource_tables(geometry: Geometry, bits: dict[str, int], cells: dict[str, int]) -> list[Table]:
    title = f"{geometry.name}: {geometry.entries:,} entries, {geometry.hot_capacity:,} hot rows"
    sram = Table(title=title, title_justify="left", box=None)
    sram.add_column("SRAM")
    sram.add_column("bits", justify="right")
    sram.add_column("bits a hot row", justify="right")
    for name, count in (bits | {"in all": sum(bits.values())}).items():
        sram.add_row(name, f"{count:,}", f"{count / geometry.hot_capacity:.1f}")
    fpga = Table(title="Lattice ECP5 by Yosys, before placement", title_justify="left", box=None, show_header=False)
    for name, count in cells.items():
        fpga.add_row(name, f"{count:,}")
    return [sram, fpga] if cells else [sram]
