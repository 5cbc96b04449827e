"""`hotline synth`: area, speed and levels of logic on an FPGA."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from hotline_host.errors import SettingsError
from hotline_hw.spec.params import Geometry
from hotline_hw.synth.targets import TARGETS, find_target

from .console import check_files, plain_errors, show, write_results
from .hardware import Overrides, Preset, ReadGeometry

if TYPE_CHECKING:
    from hotline_hw.synth.flow import Synthesis  # NumPy takes a while

__all__ = ["add_synth"]

_GENERATED = {"core": "hotline_core", "device": "hotline_device"}


def add_synth(app: typer.Typer, read_geometry: ReadGeometry) -> None:
    """Adds the command to an application. `read_geometry` makes a geometry of a preset and its overrides."""

    @app.command()
    def synth(
        preset: Preset = "tiny",
        target: Annotated[str, typer.Option(help=f"The FPGA: {', '.join(TARGETS)}.")] = "ecp5-85k",
        top: Annotated[
            str, typer.Option(help="device, core, or a module of the Verilog (rows_walker) out of its context.")
        ] = "device",
        levels_only: Annotated[
            bool, typer.Option("--levels-only", help="Do not place and route: area and levels of logic.")
        ] = False,
        paths: Annotated[int, typer.Option(help="How many of the longest paths to list.")] = 1,
        jobs: Annotated[
            int | None, typer.Option(help="Processes at the same time. Default: one for each core.")
        ] = None,
        seed: Annotated[int, typer.Option(help="Seed of place and route.")] = 1,
        json: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
        overrides: Overrides = None,
    ) -> None:
        """Synthesize the accelerator for an FPGA with open tools: area, clock, levels of logic, memories."""
        with plain_errors() as progress:
            geometry = read_geometry(preset, overrides)
            part = find_target(target)
            for option, value in (("--paths", paths), ("--jobs", jobs)):
                if value is not None and value < (1 if option == "--jobs" else 0):
                    raise SettingsError(f"{option} {value}: must be {1 if option == '--jobs' else 0} or more")
            check_files(None, json=json)
            from hotline_hw.synth.flow import check_tools, synthesize_design
            from hotline_hw.synth.report import figures
            from hotline_hw.synth.verilog import find_module, read_design
            from hotline_sim.build.verilog import core_verilog

            check_tools(part, levels_only)
            progress(f"generating {geometry.name}", 0, 1)
            generated = _generated(geometry, top)
            design = read_design(core_verilog(geometry, generated))
            module = generated if top in _GENERATED else find_module(design, top)
            result = synthesize_design(design, module, part, progress, levels_only=levels_only, jobs=jobs, seed=seed)
            write_results(figures(geometry.name, result), json)
        show(*_tables(f"{geometry.name}, {module} on {part.part}", result), *_lines(result, paths), json=json)


def _generated(geometry: Geometry, top: str) -> str:
    """The top to generate. A module is looked for in the device, unless there is only a core."""
    if top in _GENERATED:
        return _GENERATED[top]
    return _GENERATED["device" if geometry.axi_bits else "core"]


def _tables(title: str, result: Synthesis) -> list[Table]:
    from hotline_hw.synth.report import memory_rows, path_rows, resource_rows

    return [
        _table(title, "resource", "used >", "share >", rows=resource_rows(result)),
        _table("", "memory", "cells", rows=memory_rows(result)),
        _table("", "longest path", "levels >", "of", "from", "to", rows=path_rows(result)),
    ]


def _lines(result: Synthesis, paths: int) -> list[str]:
    """The longest paths in full, the clock, and the seconds of each stage."""
    every = {path.listing(): path for path in (*result.timings.kinds.values(), *result.timings.modules.values())}
    listings = sorted(every, key=lambda listing: -every[listing].eighths)
    stages = ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in result.seconds.items())
    if not result.placement:
        return ["", *listings[:paths], "", "not placed and routed: levels of logic only", stages]
    hops = [f"  {hop.delay:6.2f} ns  {hop.kind:8s}  {hop.to}" for hop in result.placement.path]
    return ["", *listings[:paths], "", f"{result.placement.fmax_mhz} MHz after place and route", *hops, stages]


def _table(title: str, *columns: str, rows: list) -> Table:
    """A table. A column whose name ends with > is aligned to the right."""
    table = Table(title=title or None, title_justify="left", box=None)
    for column in columns:
        table.add_column(column.removesuffix(" >"), justify="right" if column.endswith(">") else "left")
    for row in rows:
        table.add_row(*row)
    return table
