"""Draws docs/synthetic.png: a generated log beside what was measured on Criteo Kaggle.

python -m hotline_host.experiments.synthetic_plot docs/synthetic.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from hotline_host.data.sources import load

from .synthetic_fit import KAGGLE, SHARES, all_hot, hottest, keys_of

__all__ = ["plot"]

_SAMPLES = 80_000
_LOOKUPS, _ALL_HOT, _GREY = "tab:blue", "tab:red", "0.5"


def _curves(keys: np.ndarray, shares: np.ndarray) -> tuple[list[float], list[float]]:
    """Lookups served and samples all-hot at each share of the rows, the hottest being kept."""
    counts = np.bincount(keys.ravel())
    hot = [hottest(keys, int(share * len(counts))) for share in shares]
    return [float(chosen[keys].mean()) for chosen in hot], [all_hot(keys, chosen) for chosen in hot]


def plot(path: Path, *, seed: int = 0) -> None:
    """Writes the figure, of 80,000 samples; its format is that of the name's ending."""
    from matplotlib.figure import Figure

    ours = keys_of(load("synthetic:kaggle", samples=_SAMPLES, seed=seed))
    apart = keys_of(load("synthetic:kaggle,independent=1", samples=_SAMPLES, seed=seed))
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)

    shares = np.geomspace(0.003, 1, 30)
    for keys, style, name in ((ours, "-", "synthetic:kaggle"), (apart, ":", "... with independent=1")):
        served, popular = _curves(keys, shares)
        left.plot(100 * shares, served, style, color=_LOOKUPS)
        left.plot(100 * shares, popular, style, color=_ALL_HOT)
        left.plot([], [], style, color=_GREY, label=name)
    for values, colour in ((KAGGLE.served, _LOOKUPS), (KAGGLE.popular, _ALL_HOT)):
        left.plot(100 * np.array(SHARES), values, "o", color=colour, mfc="white")
    left.plot([], [], "o", color=_GREY, mfc="white", label="Criteo Kaggle")
    left.text(0.32, 0.77, "lookups served", color=_LOOKUPS)
    left.text(0.32, 0.11, "samples all-hot", color=_ALL_HOT)
    left.set(xscale="log", xlabel="hottest rows kept, % of distinct rows", ylabel="share", ylim=(0, 1))
    left.set_xticks([1, 5, 10, 25, 100], ["1", "5", "10", "25", "100"])
    left.minorticks_off()
    left.legend(fontsize=8, loc="center left", bbox_to_anchor=(0, 0.4))

    samples = np.geomspace(500, _SAMPLES, 25).astype(int)
    rows = [len(np.unique(ours[:size])) for size in samples]
    right.loglog(samples, rows, color=_LOOKUPS, label="synthetic:kaggle")
    reference = KAGGLE.rows * (samples / _SAMPLES) ** KAGGLE.growth
    right.loglog(samples, reference, "--", color=_GREY, label=f"growth as samples$^{{{KAGGLE.growth}}}$")
    right.loglog([_SAMPLES], [KAGGLE.rows], "o", color=_LOOKUPS, mfc="white", label="Criteo Kaggle")
    right.set(xlabel="samples", ylabel="distinct rows")
    right.legend(fontsize=8)
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    plot(Path(sys.argv[1]))
