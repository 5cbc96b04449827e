"""The results of a popularity study, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hotline_host.files import whole_file

from .table import columns, headline

__all__ = ["draw", "draw_curves"]

_OURS = {"color": "#d1495b", "linewidth": 2.6, "marker": "o", "zorder": 5}
_STYLES: dict[str, dict[str, Any]] = {
    "hindsight_frequency": {"color": "#8a8a8a", "linestyle": "--", "marker": "."},
    "hindsight_sample": {"color": "#222222", "linestyle": "--", "marker": "."},
    "exact_top_n": {"color": "#30475e", "marker": "s"},
    "lru": {"color": "#8fc1e3", "marker": "^"},
    "lru_32way": {"color": "#4f97c7", "marker": "v"},
    "lfu": {"color": "#a3d39c", "marker": "^"},
    "lfu_32way": {"color": "#3f8f4f", "marker": "v"},
    "srrip_4way": {"color": "#f2c14e", "marker": "D"},
    "srrip_16way": {"color": "#d98e04", "marker": "D"},
    "srrip_16way_held": {"color": "#d98e04", "marker": "D", "linestyle": ":"},
}
"""Line styles by tracker. All others (ours and its variants) stand out."""


def draw(figures: dict[str, Any], path: Path) -> None:
    """Writes a picture (PNG): popular samples, and lookups that hit, against the number of hot rows."""
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(11, 5), layout="constrained")  # a figure without pyplot needs no display
        popular, hits = figure.subplots(1, 2)
        first, _, rest = headline(figures).partition("; ")
        figure.suptitle(f"{first}\n{rest}", x=0.01, ha="left")
        _draw(popular, figures, "popular_share", "popular samples")
        _draw(hits, figures, "lookup_hit_share", "lookups that hit")
        popular.set_ylim(bottom=0)
        handles, labels = popular.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center", frameon=False, handlelength=3)
        with whole_file(path) as file:
            figure.savefig(file, format="png", dpi=150)


def draw_curves(figures: dict[str, Any], path: Path) -> None:
    """Writes a picture (PNG): popular samples over the log, for each number of hot rows."""
    sizes = figures["hot_rows"]
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(11, 1 + 2.2 * len(sizes)), layout="constrained")
        figure.suptitle(f"{figures['data']}: popular samples, {figures['curve']:,} samples a point", x=0.01, ha="left")
        panels = figure.subplots(len(sizes), 1, sharex=True, squeeze=False)[:, 0]
        for axes, size, heading in zip(panels, sizes, columns(figures), strict=True):
            for name, curves in figures["curves"].items():
                if curves[str(size)]:
                    style = {"linewidth": 1.2} | _STYLES.get(name, _OURS) | {"marker": None}
                    axes.plot(*zip(*curves[str(size)], strict=True), label=name, **style)
            axes.set_title(f"{heading} hot rows", loc="left")
            axes.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1.0, decimals=0))
            axes.set_ylim(bottom=0)
            axes.grid(alpha=0.25)
        panels[-1].set_xlabel("samples")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center", frameon=False)
        with whole_file(path) as file:
            figure.savefig(file, format="png", dpi=150)


def _draw(axes: Axes, figures: dict[str, Any], share: str, title: str) -> None:
    sizes = figures["hot_rows"]
    for name in _by_last(figures):
        values = [figures["trackers"][name][str(size)][share] for size in sizes]
        style = {"linewidth": 1.4, "markersize": 5} | _STYLES.get(name, _OURS)
        axes.plot(sizes, [float("nan") if value is None else value for value in values], label=name, **style)
    axes.set_title(title, loc="left")
    axes.set_xscale("log")
    axes.set_xticks(sizes, [heading.replace(" ", "\n") for heading in columns(figures)])
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.set_xlabel("hot rows, in GPU memory (HBM), and their share of all rows")
    axes.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1.0, decimals=0))
    axes.grid(alpha=0.25)


def _by_last(figures: dict[str, Any]) -> list[str]:
    """Trackers in the order of their popular shares with the most hot rows: the legend reads as the lines end."""
    last = str(figures["hot_rows"][-1])
    return sorted(figures["trackers"], key=lambda name: -(figures["trackers"][name][last]["popular_share"] or 0))
