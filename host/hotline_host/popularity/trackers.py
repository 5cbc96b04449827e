"""The trackers that are compared. A new tracker is one more line.

A tracker is a function of stream, N and trial that returns the counts of the judged part. Most use `watch`, with an
object that runs over chunks; the others count themselves.
"""

from __future__ import annotations

from collections.abc import Callable

from . import hindsight
from .caches import Lfu, Lru
from .judging import Counts, Trial, watch
from .ours import Design, SampleAware
from .selection import ExactTopN
from .set_caches import SetLfu, SetLru
from .srrip import Srrip
from .stream import Stream

__all__ = ["TRACKERS", "Run", "sample_aware"]

Run = Callable[[Stream, int, Trial], Counts]
"""Runs a new tracker of N hot rows on a stream."""


def sample_aware(stream: Stream, rows: int, trial: Trial, design: Design) -> Counts:
    """The accelerator's tracker. It chooses its hot rows after every mini-batch of `trial.select_every` samples."""
    return watch(stream, trial, SampleAware(stream, rows, design), trial.select_every)


TRACKERS: dict[str, Run] = {
    "hindsight_frequency": hindsight.by_frequency,
    "hindsight_sample": hindsight.by_sample,
    "exact_top_n": lambda stream, rows, trial: watch(stream, trial, ExactTopN(stream, rows, trial)),
    "lru": lambda stream, rows, trial: watch(stream, trial, Lru(stream, rows)),
    "lfu": lambda stream, rows, trial: watch(stream, trial, Lfu(stream, rows)),
    "srrip_4way": lambda stream, rows, trial: watch(stream, trial, Srrip(stream, rows, 4)),
    "srrip_16way": lambda stream, rows, trial: watch(stream, trial, Srrip(stream, rows, 16)),
    "srrip_16way_held": lambda stream, rows, trial: watch(
        stream, trial, Srrip(stream, rows, 16, held=True), trial.select_every
    ),
    "lru_32way": lambda stream, rows, trial: watch(stream, trial, SetLru(stream, rows, 32)),
    "lfu_32way": lambda stream, rows, trial: watch(stream, trial, SetLfu(stream, rows, 32)),
    "ours": lambda stream, rows, trial: sample_aware(stream, rows, trial, Design()),
    "ours_by_bag": lambda stream, rows, trial: sample_aware(stream, rows, trial, Design(by_bag=True)),
}
"""Trackers by name, in the order of reports."""
