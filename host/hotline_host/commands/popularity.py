"""`hotline popularity`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from hotline_host.data.log import ClickLog
from hotline_host.data.sources import SOURCES
from hotline_host.popularity import HOT_ROWS

from .console import check_files, plain_errors, show, write_results
from .progress import TerminalProgress

__all__ = ["add_command"]

Data = Annotated[str, typer.Option(help=f"Click log: {', '.join(SOURCES)}.")]
HotRows = Annotated[
    str, typer.Option(metavar="N[,N...]", help="Numbers of hot rows, or shares of the log's distinct rows such as 10%.")
]
LearnShare = Annotated[float, typer.Option(help="Share of the log, from its front, that is not judged.")]
SelectEvery = Annotated[int, typer.Option(help="Samples between two choices of the hot set, where it is chosen so.")]
Curve = Annotated[int, typer.Option(help="Samples for each point of a curve over the log, curve.png; 0: none.")]
Sweep = Annotated[bool, typer.Option("--sweep", help="Also vary what the accelerator's tracker is built with, set to.")]
Freeze = Annotated[bool, typer.Option("--freeze", help="Stop learning where judging begins.")]
Trackers = Annotated[str | None, typer.Option(metavar="NAME[,NAME...]", help="Trackers to compare. All, unless given.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")]
Report = Annotated[Path | None, typer.Option(help="Draw a picture, popularity.png, into this folder.")]
Samples = Annotated[int | None, typer.Option(help="Most samples to take from the log.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave damaged lines of a text log out, and count them.")]
Seed = Annotated[int, typer.Option(help="Of the synthetic log.")]

Load = Callable[[str, bool, int | None, int, TerminalProgress], tuple[ClickLog, float]]


def add_command(app: typer.Typer, load: Load) -> None:
    """Adds the command to an application. `load` loads a log."""

    @app.command(name="popularity")
    def popularity_command(
        data: Data = "synthetic:kaggle",
        hot_rows: HotRows = HOT_ROWS,
        learn_share: LearnShare = 0.5,
        select_every: SelectEvery = 512,
        freeze: Freeze = False,
        trackers: Trackers = None,
        curve: Curve = 0,
        sweep: Sweep = False,
        json: Json = None,
        report: Report = None,
        samples: Samples = None,
        skip_bad: SkipBad = False,
        seed: Seed = 0,
    ) -> None:
        """Compare how well trackers of popularity choose the hot rows.

        Each learns from the front of the log. Then every sample is classified before it is learned from: it is
        popular if all of its lookups hit a hot row. The whole log is held in memory, as hindsight needs it.
        """
        with plain_errors() as progress:
            picture = report / "popularity.png" if report else None
            over_the_log = report / "curve.png" if report and curve else None
            check_files(data, json=json, report=picture, curve=over_the_log)
            from hotline_host.popularity.settings import PopularitySettings
            from hotline_host.popularity.study import popularity
            from hotline_host.popularity.table import headline, sweep_tables, table

            settings = PopularitySettings(
                hot_rows=hot_rows, learn_share=learn_share, select_every=select_every, freeze=freeze, trackers=trackers,
                curve=curve, sweep=sweep,
            )  # fmt: skip
            log, seconds = load(data, skip_bad, samples, seed, progress)
            figures = popularity(log, settings, progress)
            figures["seconds"] = {"load": seconds} | figures["seconds"]
            progress("writing results", 0, 1)
            write_results(
                figures, json,
                (picture, lambda path: _plot().draw(figures, path)),
                (over_the_log, lambda path: _plot().draw_curves(figures, path)),
            )  # fmt: skip
        show(headline(figures), table(figures), *sweep_tables(figures), json=json)


def _plot() -> ModuleType:
    """The module that draws; matplotlib takes a second to import."""
    from hotline_host.popularity import plot

    return plot
