"""The results of a co-simulation, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.ticker
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hotline_host.files import whole_file

from .results import CosimResult
from .summary import headline

__all__ = ["draw"]

_HOTLINE, _ORDINARY, _QUIET = "#d1495b", "#30475e", "#8a8a8a"
_OTHERS = (_ORDINARY, "#3a7d44", "#d98e04", "#6b4c9a")


def draw(result: CosimResult, path: Path) -> None:
    """Writes a picture (PNG). At every step: the loss, the popular share, rows that moved or were gathered, and the
    accelerator's speed. Without a pipeline that splits, the loss alone.
    """
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9, 10.5 if result.split else 4), layout="constrained")  # needs no display
        ratios = (2.0, 1.0, 0.7, 1.0, 1.0) if result.split else (1.0,)
        panels = figure.subplots(len(ratios), 1, sharex=True, height_ratios=ratios, squeeze=False).ravel()
        training = result.training
        settings = (
            f"{training.model} DLRM, D {training.dimension}, {training.optimizer} {training.rate:g}, {training.dtype} "
            f"on {training.device}, seed {training.seed}"
        )
        figure.suptitle(f"{headline(result)}\n{settings}", x=0.01, ha="left")
        for axes, panel in zip(panels, (_draw_losses, *_SPLIT_PANELS), strict=False):
            panel(axes, result)
        panels[-1].set_xlabel("step")
        for axes in panels:
            axes.grid(axis="y", alpha=0.25)
            axes.margins(x=0.01)
        with whole_file(path) as file:
            figure.savefig(file, format="png", dpi=150)


def _draw_losses(axes: Axes, result: CosimResult) -> None:
    for number, (name, each) in enumerate(result.pipelines.items()):
        style: dict[str, Any] = {"color": _HOTLINE, "linewidth": 2.5, "alpha": 0.7}
        if number:
            style = {"color": _OTHERS[(number - 1) % len(_OTHERS)], "linewidth": 1, "linestyle": "--"}
        label = name if each.auc is None else f"{name}, AUC {each.auc:.4f}"
        axes.plot(np.arange(1, len(each.losses) + 1), each.losses, label=label, **style)
    differences = [each.max_loss_difference for each in result.pipelines.values()]
    known = [difference for difference in differences if difference is not None]
    if known:
        axes.set_title(f"largest difference {max(known):.1e}", loc="right", color=_QUIET, fontsize=9)
    axes.set_ylabel("loss (mean BCE)")
    axes.legend(frameon=False, loc="lower left")  # to look for the best place takes long with many steps


def _draw_shares(axes: Axes, result: CosimResult) -> None:
    history = result.history
    shares = np.divide(history.popular, history.samples)
    axes.plot(np.arange(1, len(shares) + 1), shares, color=_HOTLINE, linewidth=1.2)
    mean = sum(history.popular) / sum(history.samples)
    axes.set_title(f"mean {mean:.2%}", loc="right", color=_QUIET, fontsize=9)
    axes.set_ylabel("popular samples")
    axes.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1.0))
    axes.set_ylim(bottom=0, top=max(float(shares.max()) * 1.15, 0.01))


def _draw_moves(axes: Axes, result: CosimResult) -> None:
    moved = result.history.moved
    axes.set_ylabel("rows made hot")
    if not result.run.relearn_share:
        _say(axes, "the hot rows stay as they were learned")
        return
    axes.bar(np.arange(1, len(moved) + 1), moved, color=_ORDINARY, width=1.0)
    often = f"chosen anew every {result.run.select_every} mini-batches"
    axes.set_title(f"{sum(moved):,} in all, {often}", loc="right", color=_QUIET, fontsize=9)
    axes.set_ylim(0, max(*moved, 1) * 1.15)


def _draw_gathers(axes: Axes, result: CosimResult) -> None:
    history = result.history
    steps = np.arange(1, len(history.working_rows) + 1)
    kinds = (
        ("by DMA", np.array(history.gathered_rows, int), _ORDINARY),
        ("in the pool already", np.array(history.held_rows, int), _HOTLINE),
        ("by the host", np.array(history.host_rows, int), _QUIET),
    )
    below = np.zeros(len(steps), int)
    for name, rows, colour in kinds:
        if rows.any():
            axes.bar(steps, rows, bottom=below, color=colour, width=1.0, label=f"{name}: {rows.sum():,}")
        below += rows
    axes.set_ylabel("working rows")
    if below.any():
        axes.legend(frameon=False, fontsize=7)
    axes.set_ylim(0, max(*below, 1) * 1.15)


def _say(axes: Axes, text: str) -> None:
    """Text in place of a curve."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=_QUIET)
    axes.set_yticks([])


def _draw_speeds(axes: Axes, result: CosimResult) -> None:
    axes.set_ylabel("lookups a cycle")
    if not result.split or not result.split.lookups_per_cycle:
        _say(axes, f"the {result.run.backend} backend has no clock cycles")
        return
    speeds = np.divide(result.history.lookups, np.maximum(result.history.cycles, 1))
    lanes = result.run.geometry["lanes"]
    mean = result.split.lookups_per_cycle
    axes.plot(np.arange(1, len(speeds) + 1), speeds, color=_HOTLINE, linewidth=1.2)
    axes.set_title(f"mean {mean:.2f} of {lanes} lanes", loc="right", color=_QUIET, fontsize=9)
    axes.set_ylim(0, lanes)


_SPLIT_PANELS = (_draw_shares, _draw_moves, _draw_gathers, _draw_speeds)
