"""How a tracker is judged. It learns from the first part of a log and classifies the samples of the rest.

samples    0 ........ learned ................ S
tracker    learns     classifies, and learns on unless frozen
counts     -          popular samples, lookups that hit, bags that hit
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from hotline_device.compiled import compiled

from .stream import Chunk, Stream

__all__ = ["Counts", "Tracker", "Trial", "judge", "tally", "watch"]


class Counts(NamedTuple):
    """What was hot in some samples.

    Attributes:
        popular: samples whose lookups all hit; a sample without lookups is popular.
        hits: lookups that hit.
        bags: bags with at least one lookup whose lookups all hit; None if the tracker does not count them.
    """

    popular: int
    hits: int
    bags: int | None = None

    def plus(self, other: Counts) -> Counts:
        bags = None if self.bags is None or other.bags is None else self.bags + other.bags
        return Counts(self.popular + other.popular, self.hits + other.hits, bags)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How trackers are judged.

    Attributes:
        learned: samples at the front of the log that trackers learn from and are not judged on.
        freeze: trackers stop learning after those.
        select_every: samples between two choices of the hot set, for trackers that choose it periodically.
        progress: called from time to time with the number of samples done.
        curve: if not 0, trackers take at most this many samples at a time. After each piece, `record` is called with
            the samples done so far, the samples of the piece, and its counts.
    """

    learned: int
    freeze: bool = False
    select_every: int = 512
    progress: Callable[[int], None] = lambda _: None
    curve: int = 0
    record: Callable[[int, int, Counts], None] = lambda *_: None

    def step(self, wanted: int | None) -> int | None:
        """Samples of a piece, for a tracker that wants `wanted` (None: any number)."""
        return min(wanted or self.curve, self.curve) if self.curve else wanted


class Tracker(Protocol):
    """Chooses hot rows by what it has learned so far."""

    def run(self, chunk: Chunk, learn: bool) -> Counts:
        """Classifies the samples of a chunk in order, and learns from them if `learn`. Returns the counts.

        A lookup is never judged by what was learned from itself or from a later lookup. Trackers that learn lookup by
        lookup, as all caches do, take earlier lookups of the same sample into account.
        """


def watch(stream: Stream, trial: Trial, tracker: Tracker, step: int | None = None) -> Counts:
    """Lets a new tracker learn, then judges it. `step` is as in `Stream.chunks`; no chunk crosses the split."""
    done = 0
    for chunk in stream.chunks(0, trial.learned, trial.step(step)):
        counts = tracker.run(chunk, True)
        done += len(chunk.lengths)
        trial.record(done, len(chunk.lengths), counts)
        trial.progress(done)
    return judge(stream, trial, tracker, step)


def judge(stream: Stream, trial: Trial, tracker: Tracker, step: int | None = None) -> Counts:
    """Judges a tracker, which has learned, on the rest of the log."""
    done, total = trial.learned, Counts(0, 0, 0)
    for chunk in stream.chunks(trial.learned, stream.size, trial.step(step)):
        counts = tracker.run(chunk, not trial.freeze)
        total = total.plus(counts)
        done += len(chunk.lengths)
        trial.record(done, len(chunk.lengths), counts)
        trial.progress(done)
    return total


def tally(hit: np.ndarray, chunk: Chunk) -> Counts:
    """Counts from the hits of a chunk, bool [n]."""
    return Counts(*map(int, _tally(hit, chunk.lengths)))


@compiled()
def _tally(hit, lengths):
    popular = hits = bags = at = 0
    for sample in range(lengths.shape[0]):
        missed = False
        for table in range(lengths.shape[1]):
            found = 0
            for _ in range(lengths[sample, table]):
                found += hit[at]
                at += 1
            hits += found
            if found < lengths[sample, table]:
                missed = True
            elif found:
                bags += 1
        if not missed:
            popular += 1
    return popular, hits, bags
