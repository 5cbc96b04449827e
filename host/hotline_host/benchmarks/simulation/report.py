"""The results of a benchmark, as a picture."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from hotline_host.files import whole_file

from .results import SimBenchResult

__all__ = ["draw"]

_COLOURS = {"learn": "#30475e", "classify": "#d1495b", "gather": "#3a7d44", "relearn": "#d98e04"}


def draw(result: SimBenchResult, path: Path) -> None:
    """Writes a picture (PNG): lookups a second of every backend, and the seconds of training steps."""
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9, 4), layout="constrained")
        speeds, steps = figure.subplots(1, 2)
        load = result.load_average["before"][0]
        figure.suptitle(
            f"{result.log.data}, {result.preset}, mini-batches of {result.batch_size:,}; {result.cores} "
            f"cores, load average {load:.1f}", x=0.01, ha="left",
        )  # fmt: skip
        names = list(result.stream)
        phases = list(result.stream[names[0]])
        width = 0.8 / len(phases)
        for number, phase in enumerate(phases):
            offset = (number - (len(phases) - 1) / 2) * width
            values = [result.stream[name][phase].lookups_per_second for name in names]
            bars = speeds.bar(
                np.arange(len(names)) + offset, values, 0.95 * width, color=_COLOURS[phase], label=phase.upper()
            )
            speeds.bar_label(bars, [f"{value:,.0f}" for value in values], fontsize=7)
        speeds.set_yscale("log")
        speeds.set_xticks(range(len(names)), names)
        speeds.set_title("lookups a second", loc="left", fontsize=9)
        speeds.legend(frameon=False)
        seconds = result.training.seconds
        steps.boxplot([1000 * np.array(values) for values in seconds.values()], tick_labels=list(seconds))
        steps.set_ylim(bottom=0)
        steps.set_title("training step, ms", loc="left", fontsize=9)
        with whole_file(path) as file:
            figure.savefig(file, format="png", dpi=150)
