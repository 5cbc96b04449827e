"""Trackers whose hot rows are the N rows with the largest counts."""

from __future__ import annotations

import numpy as np

from hotline_device.compiled import compiled

from .judging import Counts, Trial, tally
from .stream import Chunk, Stream

__all__ = ["ExactTopN", "HotSet", "largest"]


class HotSet:
    """A tracker that does not learn: its hot rows are `hot`, bool [distinct]."""

    def __init__(self, hot: np.ndarray) -> None:
        self.hot = hot

    def run(self, chunk: Chunk, learn: bool) -> Counts:
        return tally(self.hot[chunk.rows], chunk)


def largest(counts: np.ndarray, hot_rows: int) -> np.ndarray:
    """The rows with the N largest counts (int32 [distinct]), except rows that never occurred: bool [distinct].

    Ties go to the row that appears first in the log.
    """
    hot = np.zeros(len(counts), bool)
    _select(counts, np.bincount(counts), hot_rows, hot)
    return hot


class ExactTopN:
    """Counts the lookups of every row. The N rows with the largest counts are hot; ties go to the earlier row.

    Hot rows are chosen anew after every `select_every` samples, counted from the front of the log, and at the split.
    Each choice takes time in proportion to the rows of the log.
    """

    def __init__(self, stream: Stream, hot_rows: int, trial: Trial) -> None:
        self.hot_rows, self.every, self.split = hot_rows, trial.select_every, trial.learned
        self._counts = np.zeros(stream.distinct, np.int32)
        self._having = np.zeros(stream.largest_count + 1, np.int64)
        self._having[0] = stream.distinct
        self._hot = np.zeros(stream.distinct, bool)
        self._samples = 0

    def run(self, chunk: Chunk, learn: bool) -> Counts:
        if not learn:
            return tally(self._hot[chunk.rows], chunk)
        hit = np.empty(len(chunk.rows), bool)
        _learn(
            chunk.rows, chunk.offsets, self._samples, self.every, self.split, self.hot_rows,
            self._counts, self._having, self._hot, hit,
        )  # fmt: skip
        self._samples += len(chunk.lengths)
        return tally(hit, chunk)


@compiled()
def _select(counts, having, hot_rows, hot):
    """Sets `hot` for the rows with the largest counts; `having[c]` rows have count c."""
    least, at_least = 1, counts.size - having[0]  # rows with a count of `least` or more
    while least < having.size and at_least - having[least] >= hot_rows:
        at_least -= having[least]
        least += 1
    ties = hot_rows - (at_least - having[least]) if least < having.size else 0
    for row in range(counts.size):
        hot[row] = counts[row] > least
        if counts[row] == least and ties > 0:
            hot[row] = True
            ties -= 1


@compiled()
def _learn(rows, offsets, samples, every, split, hot_rows, counts, having, hot, hit):
    """Classifies, then counts, each sample of a chunk; `samples` came before it."""
    for sample in range(offsets.size - 1):
        for i in range(offsets[sample], offsets[sample + 1]):
            hit[i] = hot[rows[i]]
        for i in range(offsets[sample], offsets[sample + 1]):
            count = counts[rows[i]]
            having[count] -= 1
            having[count + 1] += 1
            counts[rows[i]] = count + 1
        samples += 1
        if samples % every == 0 or samples == split:
            _select(counts, having, hot_rows, hot)
