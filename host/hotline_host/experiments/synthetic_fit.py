"""Measures how popularity is spread in a log, beside what was measured on Criteo Kaggle.

    python -m hotline_host.experiments.synthetic_fit [SPEC ...]

prints the table of docs/synthetic.md for synthetic:kaggle, seeds 0 to 2; with arguments, the figures of other logs.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields

import numpy as np

from hotline_host.data.log import ClickLog
from hotline_host.data.sources import load
from hotline_host.popularity.judging import Trial
from hotline_host.popularity.selection import largest
from hotline_host.popularity.stream import Stream
from hotline_host.popularity.trackers import TRACKERS

__all__ = ["COLD_TABLES", "KAGGLE", "SHARES", "Figures", "all_hot", "hottest", "keys_of", "measure"]

SHARES = (0.01, 0.05, 0.10, 0.25)
"""Rows kept hot, as shares of the distinct rows of a log. Figures that are four are for these."""

COLD_TABLES = (3, 12, 21, 16, 4)
"""The tables of Criteo Kaggle whose rows are cold most often, numbered from 1."""


@dataclass(frozen=True)
class Figures:
    """What there is to say about popularity in a log. All but the first and `growth` are shares or lookups a sample.

    Attributes:
        rows: distinct rows of all tables.
        once: of them, those seen once.
        growth: g, where distinct rows grow as samples^g, from half the log to the whole.
        slopes: least and greatest Zipf slope of the six tables with the most distinct rows, of those with 200 at least;
            see `zipf_slope`.
        served: lookups that the hottest rows serve, picked by frequency over the whole log; of equals, those that
            appeared first.
        popular: samples all-hot with these rows.
        independent: the same if the columns were independent: the product of each table's lookups served.
        cold: samples with a cold lookup in `COLD_TABLES` (where there are so many) at a tenth of the rows.
        cold_lookups: cold lookups of a sample that has any, at a tenth of the rows.
        half_popular: samples of the second half all-hot, rows picked by frequency in the second half.
        half_peeled: the same, rows picked by sample; `half_running`: the rows most frequent so far; `half_srrip`: a
            16-way SRRIP tracker of 2 bits with as many entries. All as `hotline popularity` has them.
    """

    rows: int
    once: float
    growth: float
    slopes: tuple[float, ...]
    served: tuple[float, ...]
    popular: tuple[float, ...]
    independent: tuple[float, ...]
    cold: tuple[float, ...]
    cold_lookups: float
    half_popular: tuple[float, ...]
    half_peeled: tuple[float, ...]
    half_running: tuple[float, ...]
    half_srrip: tuple[float, ...]


KAGGLE = Figures(
    rows=200_067,
    once=0.71,
    growth=0.7,
    slopes=(0.94, 1.0),
    served=(0.73, 0.84, 0.88, 0.93),
    popular=(0.035, 0.201, 0.332, 0.505),
    independent=(3e-5, 0.004, 0.020, 0.095),
    cold=(0.51, 0.48, 0.46, 0.42, 0.33),
    cold_lookups=4.6,
    half_popular=(0.034, 0.199, 0.337, 0.504),
    half_peeled=(0.086, 0.281, 0.403, 0.639),
    half_running=(0.033, 0.180, 0.288, 0.404),
    half_srrip=(0.009, 0.090, 0.180, 0.342),
)
"""The first 80,000 samples of Criteo Kaggle."""


def keys_of(log: ClickLog) -> np.ndarray:
    """int32 [S, L]: the row of each lookup of a log whose samples have L lookups each.

    Rows of all tables are numbered from 0, in order of first appearance, sample-major.
    """
    return Stream.of(log).rows.reshape(log.size, -1)


def hottest(keys: np.ndarray, size: int) -> np.ndarray:
    """bool [R]: the `size` rows that occur most often; of equals, those that appeared first."""
    return largest(np.bincount(keys.ravel()).astype(np.int32), size)


def all_hot(keys: np.ndarray, hot: np.ndarray) -> float:
    """Share of samples all of whose lookups are of the rows `hot`, bool [R]."""
    return float(hot[keys].all(axis=1).mean())


def measure(log: ClickLog) -> Figures:
    """Figures of a log whose samples have as many lookups each (at least two samples). Some seconds for 80,000."""
    keys, tables = keys_of(log), np.repeat(np.arange(len(log.tables)), log.lengths[0])
    counts = np.bincount(keys.ravel())
    rows, middle = len(counts), log.size // 2
    sizes = tuple(int(share * rows) for share in SHARES)
    hot = [hottest(keys, size) for size in sizes]
    served = [np.bincount(tables, chosen[keys].mean(axis=0)) / log.lengths[0] for chosen in hot]
    cold = ~hot[SHARES.index(0.10)][keys]
    stream, trial = Stream.of(log), Trial(learned=middle, select_every=1000)

    def second_half(tracker: str) -> tuple[float, ...]:
        return tuple(TRACKERS[tracker](stream, size, trial).popular / (log.size - middle) for size in sizes)

    distinct = [counts[np.unique(keys[:, tables == table])] for table in range(len(log.tables))]
    slopes = [zipf_slope(table) for table in sorted(distinct, key=len)[-6:] if len(table) >= 200] or [float("nan")]
    return Figures(
        rows=rows,
        once=float((counts == 1).sum() / rows),
        growth=float(np.log(rows / len(np.unique(keys[:middle]))) / np.log(log.size / middle)),
        slopes=(min(slopes), max(slopes)),
        served=tuple(float(chosen[keys].mean()) for chosen in hot),
        popular=tuple(all_hot(keys, chosen) for chosen in hot),
        independent=tuple(float(np.prod(share ** log.lengths[0])) for share in served),
        cold=tuple(
            float(cold[:, tables == table - 1].any(axis=1).mean()) for table in COLD_TABLES if table <= len(log.tables)
        ),
        cold_lookups=float(cold.sum() / max(cold.any(axis=1).sum(), 1)),
        half_popular=second_half("hindsight_frequency"),
        half_peeled=second_half("hindsight_sample"),
        half_running=second_half("exact_top_n"),
        half_srrip=second_half("srrip_16way"),
    )


def zipf_slope(counts: np.ndarray) -> float:
    """s of the line of log count over log rank, rows by falling count: least squares over ranks 100 to 10,000."""
    falling = np.sort(counts)[::-1][99:10_000]
    return -float(np.polyfit(np.log(np.arange(100, 100 + len(falling))), np.log(falling), 1)[0])


def _text(value: float | tuple[float, ...]) -> str:
    values = value if isinstance(value, tuple) else (value,)
    return " ".join(
        f"{one:,}" if isinstance(one, int) else f"{one:.3g}" if one < 0.001 else f"{one:.3f}" for one in values
    )


def main(specs: list[str]) -> None:
    """Prints a Markdown table: a row for each figure."""
    if specs:
        columns = {spec: measure(load(spec)) for spec in specs}
    else:
        columns = {"Criteo Kaggle": KAGGLE}
        columns |= {f"seed {seed}": measure(load("synthetic:kaggle", seed=seed)) for seed in range(3)}
        columns["independent=1"] = measure(load("synthetic:kaggle,independent=1"))
    print("| | " + " | ".join(columns) + " |\n|---" * 1 + "|---" * len(columns) + "|")
    for figure in fields(Figures):
        print(f"| {figure.name} | " + " | ".join(_text(getattr(one, figure.name)) for one in columns.values()) + " |")


if __name__ == "__main__":
    main(sys.argv[1:])
