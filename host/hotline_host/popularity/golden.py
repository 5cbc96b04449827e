"""The accelerator's golden model as a tracker."""

from __future__ import annotations

import numpy as np

from hotline_host.errors import SettingsError
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import Phase
from hotline_hw.spec.words import LAST_FIELD
from hotline_sim.model.compiled.core import CompiledCore

from .judging import Counts
from .stream import Chunk, Stream

__all__ = ["Golden"]

_LAST = np.uint64(1 << LAST_FIELD.low)


class Golden:
    """An accelerator that learns from every lookup as it comes, such as SRRIP's.

    While it learns it is in LEARN, and each lookup is judged just before its own update, so lookups of a sample may
    evict rows of the same sample; frozen, it is in CLASSIFY.

    Samples being of no account to what it learns, a second accelerator is told that every bag is a sample, and so
    counts bags. There is none where every bag has one lookup.

    Args:
        held: a chunk is a mini-batch, in which no row moves: all of it is classified, then all of it is learned from.
            So much of a cache is of use to training with rows in two memories.

    Raises:
        SettingsError: a sample is beyond the geometry.
    """

    def __init__(self, stream: Stream, hot_rows: int, geometry: Geometry, *, held: bool = False) -> None:
        if stream.longest > geometry.max_lookups:
            raise SettingsError(
                f"a sample has {stream.longest} lookups; the accelerator's model takes at most {geometry.max_lookups}, "
                "so leave its trackers out, with --trackers"
            )
        self._keys = stream.keys
        self._held = held
        self._cores = [CompiledCore(geometry) for _ in range(1 + stream.multi_hot)]
        for core in self._cores:
            core.set_hot_rows(hot_rows)

    def run(self, chunk: Chunk, learn: bool) -> Counts:
        phases = [Phase.CLASSIFY] * (self._held or not learn) + [Phase.LEARN] * learn
        words = self._keys[chunk.rows]
        samples, *bags = self._cores

        def found(core: CompiledCore, lengths: np.ndarray) -> tuple[int, int]:
            """What the first phase finds; a second only learns."""
            first, *_ = [_run(core, words, lengths, phase) for phase in phases]
            return first

        popular, hits = found(samples, np.diff(chunk.offsets))
        whole = found(bags[0], chunk.lengths.ravel())[0] if bags else hits
        empty = int((np.diff(chunk.offsets) == 0).sum())
        return Counts(popular + empty, hits, whole)


def _run(core: CompiledCore, words: np.ndarray, lengths: np.ndarray, phase: Phase) -> tuple[int, int]:
    """(samples all of whose lookups hit, lookups that hit) of one mini-batch, samples being of these lengths.

    Samples without lookups are not sent.
    """
    if not len(words):
        return 0, 0
    ends = np.cumsum(lengths[lengths > 0]) - 1
    words = words.copy()
    words[ends] |= _LAST
    core.reset_counters()
    core.run_batch(words, phase)
    return core.counters["popular_samples"], core.counters["lookup_hits"]
