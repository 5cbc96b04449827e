"""`hotline bench-sim`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hotline_host.data.log import ClickLog
from hotline_host.data.sources import SOURCES
from hotline_host.experiments.settings import MEMORIES

from .console import check_files, plain_errors, show, write_results
from .hardware import Overrides, Preset, ReadGeometry
from .progress import TerminalProgress

if TYPE_CHECKING:
    from hotline_host.benchmarks.simulation.results import SimBenchResult  # torch takes seconds

__all__ = ["add_benchmarks"]

Json = Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")]
Seed = Annotated[int, typer.Option(help="Seed of the initial parameters and of the synthetic log.")]

Load = Callable[[str, bool, int | None, int, TerminalProgress], tuple[ClickLog, float]]


def add_benchmarks(app: typer.Typer, load: Load, read_geometry: ReadGeometry) -> None:
    """Adds the commands to an application.

    Args:
        load: loads a log.
        read_geometry: makes a geometry of a preset and its overrides.
    """

    @app.command(name="bench-sim")
    def bench_sim_command(
        data: Annotated[str, typer.Option(help=f"Click log: {', '.join(SOURCES)}.")] = "synthetic:kaggle",
        preset: Preset = "kaggle",
        hot_rows: Annotated[int | None, typer.Option(help="Rows that may be hot. Default: a tenth of them.")] = None,
        batch_size: Annotated[int, typer.Option(help="Samples in a mini-batch.")] = 2048,
        steps: Annotated[int, typer.Option(help="Training steps timed in each round.")] = 8,
        rounds: Annotated[int, typer.Option(help="Rounds; the contenders take turns, and medians are reported.")] = 3,
        rival: Annotated[str, typer.Option(help="The cocotb backend to compare with, or none.")] = "cocotb:verilator",
        model: Annotated[str, typer.Option(help="Widths of the DLRM: small or kaggle.")] = "kaggle",
        memory: Annotated[
            str, typer.Option(help=f"Memory behind the accelerator: {', '.join(MEMORIES)}.")
        ] = "pcie4-x16",
        json: Json = None,
        report: Annotated[Path | None, typer.Option(help="Draw a picture, bench-sim.png, into this folder.")] = None,
        overrides: Overrides = None,
        samples: Annotated[int | None, typer.Option(help="Most samples to take from the log.")] = None,
        seed: Seed = 0,
    ) -> None:
        """Measure how fast co-simulation is: the simulated device, its golden model, and training beside each.

        Figures are of this machine and its present load, which is shown with them.
        """
        with plain_errors() as progress:
            geometry = read_geometry(preset, overrides)
            picture = report / "bench-sim.png" if report else None
            check_files(data, json=json, report=picture)
            progress("importing torch", 0, 1)
            from hotline_host.benchmarks.simulation.bench import bench_simulation
            from hotline_host.benchmarks.simulation.settings import SimBenchSettings
            from hotline_host.benchmarks.simulation.summary import sim_bench_tables

            settings = SimBenchSettings(
                hot_rows=hot_rows, batch_size=batch_size, steps=steps, rounds=rounds, model=model, seed=seed,
                memory=memory, rival=None if rival == "none" else rival,
            )  # fmt: skip
            log, _ = load(data, False, samples, seed, progress)
            result = bench_simulation(log, geometry, settings, progress)
            progress("writing results", 0, 1)
            write_results(result.as_dict(), json, (picture, lambda path: _draw_simulation(result, path)))
        show(*sim_bench_tables(result), json=json)


def _draw_simulation(result: SimBenchResult, path: Path) -> None:
    from hotline_host.benchmarks.simulation.report import draw

    draw(result, path)
