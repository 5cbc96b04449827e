"""How a tracker is judged: it learns from the first part of a log and classifies the samples of the rest.

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
    """Of some samples.

    Attributes:
        popular: samples all of whose lookups hit; one without lookups is popular.
        hits: lookups that hit.
        bags: bags with a lookup all of whose lookups hit; None where the tracker does not say.
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
        learned: samples, from the front, that are learned from without being judged.
        freeze: trackers stop learning there.
        select_every: samples between two choices of the hot set, by trackers that choose it now and then.
        progress: called now and then with the samples that are done, of the stream's.
        curve: if not 0, trackers go through the log so many samples at a time, at most, and `record` is called after
            each piece with the samples that are done, those of the piece, and what was hot in it.
    """

    learned: int
    freeze: bool = False
    select_every: int = 512
    progress: Callable[[int], None] = lambda _: None
    curve: int = 0
    record: Callable[[int, int, Counts], None] = lambda *_: None

    def step(self, wanted: int | None) -> int | None:
        """Samples of a piece, for a tracker that wants so many (None: any number)."""
        return min(wanted or self.curve, self.curve) if self.curve else wanted


class Tracker(Protocol):
    """What chooses hot rows, with whatever it has learned so far."""

    def run(self, chunk: Chunk, learn: bool) -> Counts:
        """Classifies the samples of a chunk in order, learning from them too if `learn`. Says what was hot.

        No lookup is judged by what was learned from itself or from a later one. Trackers that learn lookup by lookup,
        so all caches, judge it by what earlier lookups of its own sample have done, too.
        """


def watch(stream: Stream, trial: Trial, tracker: Tracker, step: int | None = None) -> Counts:
    """Lets a fresh tracker learn, then judges it. `step` as in `Stream.chunks`; no chunk straddles the split."""
    done = 0
    for chunk in stream.chunks(0, trial.learned, trial.step(step)):
        counts = tracker.run(chunk, True)
        done += len(chunk.lengths)
        trial.record(done, len(chunk.lengths), counts)
        trial.progress(done)
    return judge(stream, trial, tracker, step)


def judge(stream: Stream, trial: Trial, tracker: Tracker, step: int | None = None) -> Counts:
    """Judges a tracker that has learned, on the rest of the log."""
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
