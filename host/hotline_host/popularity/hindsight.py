"""Hot sets chosen with hindsight, from the samples that they are judged on: a reference for trackers."""

from __future__ import annotations

import numpy as np

from hotline_device.compiled import compiled

from .judging import Counts, Trial, judge
from .selection import HotSet, largest
from .stream import Stream, frequencies

__all__ = ["by_frequency", "by_sample", "peel"]


def by_frequency(stream: Stream, hot_rows: int, trial: Trial) -> Counts:
    """The N rows with the most lookups in the judged part. Ties go to the row that appears first in the log."""
    rows = stream.rows[stream.offsets[trial.learned] :]
    return judge(stream, trial, HotSet(largest(frequencies(rows, stream.distinct), hot_rows)))


def by_sample(stream: Stream, hot_rows: int, trial: Trial) -> Counts:
    """The N rows that are left after peeling the judged part."""
    offsets = stream.offsets[trial.learned :]
    hot = peel(stream.rows[offsets[0] :], offsets - offsets[0], stream.distinct, hot_rows)
    return judge(stream, trial, HotSet(hot))


def peel(rows: np.ndarray, offsets: np.ndarray, distinct: int, hot_rows: int) -> np.ndarray:
    """Repeatedly removes the row that completes the fewest samples. Returns the rows left, bool [distinct].

    A sample is complete while none of its rows has been removed. Among equals, the row that appears last in the log is
    removed. This is greedy, so it is no upper bound: the best choice of N rows is a densest-subhypergraph problem.

    Time is proportional to the lookups, times the logarithm of the rows at worst. Memory is 4 bytes a lookup, 9 bytes a
    sample and 25 bytes a row.

    Args:
        rows: int32 [n], below `distinct`.
        offsets: int64 [S + 1].
    """
    hot = np.ones(distinct, bool)
    _peel(rows, offsets, hot_rows, hot)
    return hot


@compiled(inline="always")
def _before(a, b, degrees):
    """Whether row a is removed before row b."""
    return degrees[a] < degrees[b] or (degrees[a] == degrees[b] and a > b)


@compiled()
def _sift_up(place, heap, places, degrees):
    row = heap[place]
    while place > 0:
        above = (place - 1) >> 1
        if not _before(row, heap[above], degrees):
            break
        heap[place] = heap[above]
        places[heap[place]] = place
        place = above
    heap[place] = row
    places[row] = place


@compiled()
def _sift_down(place, size, heap, places, degrees):
    row = heap[place]
    while True:
        below = 2 * place + 1
        if below >= size:
            break
        if below + 1 < size and _before(heap[below + 1], heap[below], degrees):
            below += 1
        if not _before(heap[below], row, degrees):
            break
        heap[place] = heap[below]
        places[heap[place]] = place
        place = below
    heap[place] = row
    places[row] = place


@compiled()
def _samples_of(rows, offsets, distinct):
    """The samples of each row, without repeats: those of row r are `samples[starts[r]:starts[r + 1]]`."""
    starts = np.zeros(distinct + 1, np.int64)
    latest = np.full(distinct, -1, np.int32)  # latest sample with this row
    for sample in range(offsets.size - 1):
        for i in range(offsets[sample], offsets[sample + 1]):
            if latest[rows[i]] != sample:
                latest[rows[i]] = sample
                starts[rows[i] + 1] += 1
    for row in range(distinct):
        starts[row + 1] += starts[row]
    samples = np.empty(starts[distinct], np.int32)
    ends = starts[:-1].copy()
    latest[:] = -1
    for sample in range(offsets.size - 1):
        for i in range(offsets[sample], offsets[sample + 1]):
            row = rows[i]
            if latest[row] != sample:
                latest[row] = sample
                samples[ends[row]] = sample
                ends[row] += 1
    return starts, samples


@compiled()
def _peel(rows, offsets, hot_rows, hot):
    """Clears `hot` for the removed rows. A binary heap with the place of each row; degrees only fall."""
    distinct = hot.size
    starts, samples = _samples_of(rows, offsets, distinct)
    degrees = (starts[1:] - starts[:-1]).astype(np.int32)  # complete samples of each row
    heap, places = np.arange(distinct).astype(np.int32), np.arange(distinct).astype(np.int32)
    for place in range(distinct // 2 - 1, -1, -1):
        _sift_down(place, distinct, heap, places, degrees)
    complete = np.ones(offsets.size - 1, np.bool_)
    latest = np.full(distinct, -1, np.int32)  # latest sample whose loss this row has counted

    for size in range(distinct - 1, hot_rows - 1, -1):  # rows left
        removed = heap[0]
        hot[removed] = False
        heap[0] = heap[size]
        _sift_down(0, size, heap, places, degrees)
        for sample in samples[starts[removed] : starts[removed + 1]]:
            if not complete[sample]:
                continue
            complete[sample] = False
            for i in range(offsets[sample], offsets[sample + 1]):
                row = rows[i]
                if row != removed and latest[row] != sample:
                    latest[row] = sample
                    degrees[row] -= 1
                    _sift_up(places[row], heap, places, degrees)
