"""A study that compares popularity trackers on one log, at several numbers of hot rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from typing import Any

from hotline_host.data.delimited import Progress
from hotline_host.data.log import ClickLog

from .judging import Counts, Trial
from .settings import PopularitySettings
from .stream import Stream
from .sweeps import SWEEPS
from .trackers import TRACKERS, Run

__all__ = ["Curves", "compare", "popularity"]


def popularity(log: ClickLog, settings: PopularitySettings, progress: Progress = lambda *_: None) -> dict[str, Any]:
    """Compares trackers on a log.

    Returns:
        Figures, ready for JSON.
        `trackers`: by tracker, then by number of hot rows (a string): `popular_share`, `lookup_hit_share` and
        `bag_hit_share` of the judged samples, lookups and bags with lookups; null if there are none, or if the tracker
        does not count them.
        `samples`, `lookups` and `distinct_rows`: of the whole log.
        `curves`, if asked for: by tracker and number of hot rows, the popular share over the log as a list of
        [samples, share].
        `sweeps`, if asked for: shares as in `trackers`, by parameter, then by its value.
        `seconds.trackers`: the time of each tracker for all numbers of hot rows; the first run includes compilation.

    Raises:
        SettingsError: the settings do not fit this log.
    """
    learned = settings.learned(log)
    start = perf_counter()
    progress("numbering rows", 0, 1)
    stream = Stream.of(log)
    sizes = settings.sizes(log.name, stream.distinct)
    trial = Trial(learned=learned, freeze=settings.freeze, select_every=settings.select_every)
    figures: dict[str, Any] = {
        "data": log.name, "rule": log.rule, "samples": log.size, "tables": len(log.tables),
        "distinct_rows": stream.distinct, "lookups": len(stream.rows),
        "learn_share": settings.learn_share, "freeze": settings.freeze, "select_every": settings.select_every,
        "learned_samples": learned, "judged_samples": log.size - learned,
        "judged_lookups": len(stream.rows) - int(stream.offsets[learned]),
        "judged_bags": stream.bags(learned, stream.size),
        "hot_rows": sizes, "seconds": {"numbering": perf_counter() - start},
    }  # fmt: skip
    runs = {name: TRACKERS[name] for name in settings.names()}
    curves = Curves(settings.curve) if settings.curve else None
    compared = compare(stream, trial, runs, sizes, figures, progress, curves)
    figures["trackers"], figures["seconds"]["trackers"] = compared
    if curves is not None:
        figures["curve"], figures["curves"] = settings.curve, curves.shares
    if settings.sweep:
        figures["sweeps"] = {
            what: compare(stream, trial, variants, sizes, figures, progress)[0] for what, variants in SWEEPS.items()
        }
    return figures


class Curves:
    """Popular share over the log, with a point for every `every` samples or a few more."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.shares: dict[str, dict[str, list[list[float]]]] = {}

    def of(self, name: str, size: int) -> Callable[[int, int, Counts], None]:
        """A function that records the curve of a tracker; it is called as `Trial.record`."""
        points = self.shares.setdefault(name, {})[str(size)] = []
        samples = popular = 0

        def record(done: int, piece: int, counts: Counts) -> None:
            nonlocal samples, popular
            samples, popular = samples + piece, popular + counts.popular
            if samples >= self.every:
                points.append([done, popular / samples])
                samples = popular = 0

        return record


def compare(
    stream: Stream,
    trial: Trial,
    runs: dict[str, Run],
    sizes: list[int],
    judged: dict[str, Any],
    progress: Progress,
    curves: Curves | None = None,
) -> tuple[dict[str, dict[str, dict[str, float | None]]], dict[str, float]]:
    """Runs trackers. Returns shares by tracker and number of hot rows, and the seconds of each tracker.

    Args:
        judged: has `judged_samples`, `judged_lookups` and `judged_bags`, the denominators of the shares.
    """
    shares: dict[str, dict[str, dict[str, float | None]]] = {}
    seconds: dict[str, float] = {}
    for name, run in runs.items():
        start = perf_counter()
        shares[name] = {}
        for size in sizes:
            report = _reporter(progress, f"{name}, {size:,} hot rows, samples", stream.size)
            report(0)
            watched = replace(trial, progress=report)
            if curves is not None:
                watched = replace(watched, curve=curves.every, record=curves.of(name, size))
            shares[name][str(size)] = _shares(run(stream, size, watched), judged)
        seconds[name] = perf_counter() - start
    return shares, seconds


def _reporter(progress: Progress, what: str, total: int) -> Callable[[int], None]:
    return lambda done: progress(what, done, total)


def _shares(counts: Counts, judged: dict[str, Any]) -> dict[str, float | None]:
    def share(part: int | None, of: str) -> float | None:
        return None if part is None or not judged[of] else part / judged[of]

    return {
        "popular_share": share(counts.popular, "judged_samples"),
        "lookup_hit_share": share(counts.hits, "judged_lookups"),
        "bag_hit_share": share(counts.bags, "judged_bags"),
    }
