"""What came out of a co-simulation, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.ticker
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hotline_host.files import whole_file

from .cosim import CosimResult, History
from .summary import headline

__all__ = ["draw"]

_HOTLINE, _ORDINARY, _QUIET = "#d1495b", "#30475e", "#8a8a8a"


def draw(result: CosimResult, path: Path) -> None:
    """Writes a picture (PNG): loss, popular share, rows that moved or were gathered, and the accelerator's speed at
    every step.
    """
    history, figures = result.history, result.figures
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9, 10.5), layout="constrained")  # a figure without pyplot needs no display
        panels = figure.subplots(5, 1, sharex=True, height_ratios=(2, 1, 0.7, 1, 1))
        losses, shares, moves, gathers, speeds = panels
        settings = "{model} DLRM, D {dimension}, {optimizer} {rate:g}, {dtype} on {device}, seed {seed}".format(
            **figures
        )
        figure.suptitle(f"{headline(figures)}\n{settings}", x=0.01, ha="left")
        _draw_losses(losses, history, figures)
        _draw_shares(shares, history, figures)
        _draw_moves(moves, history, figures)
        _draw_gathers(gathers, history)
        _draw_speeds(speeds, history, figures)
        speeds.set_xlabel("step")
        for axes in panels:
            axes.grid(axis="y", alpha=0.25)
            axes.margins(x=0.01)
        with whole_file(path) as file:
            figure.savefig(file, format="png", dpi=150)


def _draw_losses(axes: Axes, history: History, figures: dict[str, Any]) -> None:
    steps = np.arange(1, len(history.losses) + 1)
    axes.plot(steps, history.losses, color=_HOTLINE, linewidth=2.5, alpha=0.7, label=_curve("Hotline", figures["auc"]))
    if history.baseline_losses:
        label = _curve("ordinary", figures["baseline_auc"])
        axes.plot(steps, history.baseline_losses, color=_ORDINARY, linewidth=1, linestyle="--", label=label)
        axes.set_title(
            f"largest difference {figures['max_loss_difference']:.1e}", loc="right", color=_QUIET, fontsize=9
        )
    axes.set_ylabel("loss (mean BCE)")
    axes.legend(frameon=False)


def _draw_shares(axes: Axes, history: History, figures: dict[str, Any]) -> None:
    shares = np.divide(history.popular, history.samples)
    axes.plot(np.arange(1, len(shares) + 1), shares, color=_HOTLINE, linewidth=1.2)
    axes.set_title(f"mean {figures['popular_share']:.2%}", loc="right", color=_QUIET, fontsize=9)
    axes.set_ylabel("popular samples")
    axes.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1.0))
    axes.set_ylim(bottom=0, top=max(float(shares.max()) * 1.15, 0.01))


def _draw_moves(axes: Axes, history: History, figures: dict[str, Any]) -> None:
    axes.set_ylabel("rows made hot")
    if not figures["relearn_share"]:
        _say(axes, "the hot rows stay as they were learned")
        return
    axes.bar(np.arange(1, len(history.moved) + 1), history.moved, color=_ORDINARY, width=1.0)
    often = f"chosen anew every {figures['select_every']} mini-batches"
    axes.set_title(f"{sum(history.moved):,} in all, {often}", loc="right", color=_QUIET, fontsize=9)
    axes.set_ylim(0, max(*history.moved, 1) * 1.15)


def _draw_gathers(axes: Axes, history: History) -> None:
    steps = np.arange(1, len(history.losses) + 1)
    early, late, every = (
        np.array(rows) for rows in (history.early_rows, history.late_rows, history.working_rows)
    )  # fmt: skip
    kinds = (
        ("by DMA, beside the step before", early, _ORDINARY),
        ("by DMA, between the steps", late, _HOTLINE),
        ("by the host", every - early - late, _QUIET),
    )
    below = np.zeros(len(steps), int)
    for name, rows, colour in kinds:
        if rows.any():
            axes.bar(steps, rows, bottom=below, color=colour, width=1.0, label=f"{name}: {rows.sum():,}")
        below += rows
    axes.set_ylabel("cold rows")
    if below.any():
        axes.legend(frameon=False, fontsize=7)
    axes.set_ylim(0, max(*below, 1) * 1.15)


def _say(axes: Axes, text: str) -> None:
    """Text in place of a curve."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=_QUIET)
    axes.set_yticks([])


def _draw_speeds(axes: Axes, history: History, figures: dict[str, Any]) -> None:
    axes.set_ylabel("lookups a cycle")
    if not figures["cycles"]:
        _say(axes, f"the {figures['backend']} backend has no clock cycles")
        return
    speeds = np.divide(history.lookups, np.maximum(history.cycles, 1))
    lanes = figures["geometry"]["lanes"]
    axes.plot(np.arange(1, len(speeds) + 1), speeds, color=_HOTLINE, linewidth=1.2)
    axes.set_title(f"mean {figures['lookups_per_cycle']:.2f} of {lanes} lanes", loc="right", color=_QUIET, fontsize=9)
    axes.set_ylim(0, lanes)


def _curve(name: str, auc: float | None) -> str:
    return name if auc is None else f"{name}, AUC {auc:.4f}"
