"""`hotline bench` and `hotline bench-sim`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hotline_host.benchmarks.rivals.configs import CONFIGS
from hotline_host.benchmarks.rivals.settings import ALL_THREADS, HBM, RivalSettings
from hotline_host.data.log import ClickLog
from hotline_host.data.sources import SOURCES
from hotline_host.errors import SettingsError
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

    @app.command(name="bench")
    def bench_command(
        config: Annotated[
            str, typer.Option(help="; ".join(f"{name}: {each.about}" for name, each in CONFIGS.items()) + ".")
        ] = "kaggle",
        device: Annotated[str, typer.Option(help="Where to train: cpu, cuda, cuda:1, ...")] = "cpu",
        rivals: Annotated[str, typer.Option(help="Ways to train, with commas between. Default: all.")] = "",
        batch_sizes: Annotated[str, typer.Option(help="Samples in a mini-batch, one or more numbers.")] = "2048",
        hot_rows: Annotated[
            int | None, typer.Option(help="Rows that a rival may choose to keep on the device. Default: a share.")
        ] = None,
        hbm: Annotated[
            str, typer.Option(help=f"{', '.join(HBM)}: --hot-rows for each, or all the device memory there is.")
        ] = "equal",
        rows: Annotated[float, typer.Option(help="Share of all rows; less is taken if memory has no room.")] = 1.0,
        steps: Annotated[int, typer.Option(help="Timed steps in each round.")] = 20,
        rounds: Annotated[int, typer.Option(help="Rounds; the rivals take turns in each.")] = 3,
        threads: Annotated[str, typer.Option(help="Threads of the host, one or more numbers, or all.")] = "all",
        preset: Preset = "kaggle",
        recording: Annotated[
            Path | None,
            typer.Option(
                help="Replay a recording instead of the golden model; batch size, rows and hot rows are its own."
            ),
        ] = None,
        json: Json = None,
        report: Annotated[Path | None, typer.Option(help="Draw a picture, bench.png, into this folder.")] = None,
        profile: Annotated[
            bool, typer.Option("--profile", help="Show where a step's time goes; with --report in profile.txt too.")
        ] = False,
        trace: Annotated[
            Path | None, typer.Option(help="Write a timeline of a few steps of each rival, for Perfetto.")
        ] = None,
        seed: Seed = 0,
    ) -> None:
        """Compare ways to train: the same model, data and mini-batches, in rounds that take turns.

        Every file is rewritten when there are new figures. A rival that cannot run is listed with the reason.
        """
        with plain_errors() as progress:
            settings = RivalSettings(
                config=config, device=device, rivals=_words(rivals), batch_sizes=_numbers("batch sizes", batch_sizes),
                rows=rows, hot_rows=hot_rows, hbm=_words(hbm), steps=steps, rounds=rounds,
                threads=_numbers("threads", threads.replace("all", str(ALL_THREADS))), preset=preset,
                recording=recording, seed=seed,
            )  # fmt: skip
            picture, summary = (report / name if report else None for name in ("bench.png", "profile.txt"))
            check_files(None, json=json, report=picture, trace=trace)
            progress("importing torch", 0, 1)
            from hotline_host.benchmarks.rivals.bench import bench_rivals
            from hotline_host.benchmarks.rivals.outputs import Outputs
            from hotline_host.benchmarks.rivals.summary import path_table, rival_tables

            outputs = Outputs(
                json=json, picture=picture, trace=trace, profile=summary if profile else None, always_look=profile
            )
            result = bench_rivals(settings, progress, outputs.changed, outputs.look)
        parts = [path_table(case) for case in result.cases] if profile else []
        looks = (
            [f"{name}\n{table}" for name, table in outputs.looks.items()] if profile and result.machine["gpu"] else []
        )
        show(*looks, *parts, *rival_tables(result), json=json)

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


def _words(text: str) -> tuple[str, ...]:
    """What is between commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _numbers(name: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in _words(text))
    except ValueError:
        raise SettingsError(f"{name} is {text!r}; write whole numbers with commas between") from None
