"""The results of a benchmark of training, as a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hotline_host.files import whole_file

from .results import Case, RivalFigures, RivalResult

__all__ = ["draw"]

_COLOURS = ("#30475e", "#d1495b", "#3a7d44", "#d98e04", "#7b5ea7", "#4a90a4", "#8c6d46", "#b0517a", "#777777")


def draw(result: RivalResult, path: Path) -> None:
    """Writes a picture (PNG): samples a second with their spread, host CPU seconds, link bytes; by case and rival."""
    cases = [case for case in result.cases if case.rivals]
    names = list(dict.fromkeys(name for case in cases for name in case.rivals))
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(10, 8), layout="constrained")
        speed, cpu, link = figure.subplots(3, 1, sharex=True)
        gpu = result.machine["gpu"]
        figure.suptitle(
            f"{result.config}, {result.rows:,} rows, D {result.dimension}, on {gpu['name'] if gpu else result.device}; "
            f"accelerator: {result.accelerator}", x=0.01, ha="left",
        )  # fmt: skip
        _bars(speed, cases, names, "samples a second", lambda one: one.samples_per_second, spread=True)
        _bars(cpu, cases, names, "host CPU, ms a step", lambda one: 1e3 * median(one.round_cpu_seconds))
        _bars(
            link, cases, names, "over the link, MB a step", lambda one: (one.link_bytes_in + one.link_bytes_out) / 1e6
        )
        labels = [f"{case.batch_size:,}\n{case.threads} threads, {case.hbm}" for case in cases]
        link.set_xticks(range(len(cases)), labels)
        if names:
            speed.legend(frameon=False, ncols=len(names), fontsize=7)
        with whole_file(path) as file:
            figure.savefig(file, format="png", dpi=150)


def _bars(
    axes: Axes, cases: list[Case], names: list[str], title: str, value: Callable[[RivalFigures], float], *,
    spread: bool = False,
) -> None:  # fmt: skip
    """One bar for each case and rival.

    Args:
        spread: `value` is samples a second; show the slowest and the fastest round.
    """
    width = 0.85 / max(1, len(names))
    for number, name in enumerate(names):
        shown = [(place, case.rivals[name]) for place, case in enumerate(cases) if name in case.rivals]
        offset = (number - (len(names) - 1) / 2) * width
        values = [value(figures) for _, figures in shown]
        bars = axes.bar(
            [place + offset for place, _ in shown], values, 0.95 * width, color=_COLOURS[number % len(_COLOURS)],
            label=name, yerr=_spread([figures for _, figures in shown]) if spread else None, capsize=2,
        )  # fmt: skip
        axes.bar_label(bars, [f"{each:,.3g}" if each < 1000 else f"{each:,.0f}" for each in values], fontsize=6)
    axes.set_title(title, loc="left", fontsize=9)


def _spread(shown: list[RivalFigures]) -> np.ndarray:
    """[2, n]: samples a second below the median round's, and above."""
    speeds = [[one.batch_size / seconds for seconds in one.round_seconds] for one in shown]
    middle = np.array([one.samples_per_second for one in shown])
    return np.array([middle - [min(each) for each in speeds], [max(each) for each in speeds] - middle])
