"""Mini-batches as lookup words, and result words as splits. Whole arrays at a time; layouts are `hotline_hw.words`.

samples       s0: a b    s1: (empty)    s2: c        lookups in input order
sent          a b|c|                                 | is `last`; an empty sample is not sent, and is popular
popular       c(1)|                                  (i): the core's index, which counts the samples that were sent
nonpopular    a(0) b(0)|
split         popular = [no, yes, yes]   slots = [a: -1 or slot, b: ..., c: slot]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hotline_hw.params import Geometry
from hotline_hw.words import HIT_FIELD, LAST_FIELD, ROW_FIELD, SAMPLE_FIELD, TABLE_FIELD
from hotline_sim.stream_core import Results

from .data.log import Batch

__all__ = ["DriverError", "Packets", "Split", "check_batch", "groups", "pack"]

_STREAM_WORDS = 1 << 17
"""Lookups of one `StreamCore.stream` call, about: enough that the call itself costs nothing, 1 MiB of words."""

_LAST = np.uint64(1 << LAST_FIELD.low)
_ROW = np.uint64(ROW_FIELD.mask)
_ECHOED = np.uint64(1 << LAST_FIELD.low | TABLE_FIELD.mask << TABLE_FIELD.low | ROW_FIELD.mask)


class DriverError(RuntimeError):
    """What was asked is beyond the accelerator, or its answer is wrong; the message says which and where."""


@dataclass(frozen=True)
class Split:
    """A mini-batch of B samples and n lookups, split.

    Attributes:
        popular: bool [B], samples all of whose lookups hit; one without lookups is popular.
        slots: int64 [n], in input order, the slot of each lookup's row, -1 where that is cold.
    """

    popular: np.ndarray
    slots: np.ndarray


def check_batch(geometry: Geometry, batch: Batch, number: int = 0, *, by_bag: bool = False) -> None:
    """Whether an accelerator can take a mini-batch, and, with `by_bag`, its bags as samples.

    Raises:
        DriverError: naming the mini-batch by its `number`, the sample, and the limit.
    """
    if not len(batch.indices):
        return
    counts = np.diff(batch.sample_offsets)
    longest = int(counts.argmax())
    if counts[longest] > geometry.max_lookups:
        raise DriverError(
            f"mini-batch {number}, sample {longest} has {counts[longest]} lookups; "
            f"the accelerator takes at most max_lookups = {geometry.max_lookups}"
        )
    sent = np.flatnonzero(counts)
    bags = np.count_nonzero(batch.lengths) if by_bag else 0
    if bags > geometry.max_samples:
        raise DriverError(
            f"mini-batch {number} has {bags} bags with lookups, and the accelerator takes max_samples = "
            f"{geometry.max_samples} of them to learn by bag; choose a smaller mini-batch, or learn by sample"
        )
    if len(sent) > geometry.max_samples:
        raise DriverError(
            f"mini-batch {number} has {len(sent)} samples with lookups, sample {sent[geometry.max_samples]} being the "
            f"first beyond the accelerator's max_samples = {geometry.max_samples}; choose a smaller mini-batch"
        )
    tables, rows = 1 << geometry.table_bits, 1 << geometry.row_bits
    beyond = (batch.indices < 0) | (batch.indices >= rows)
    if batch.lengths.shape[1] > tables:
        beyond |= batch.tables >= tables
    if beyond.any():
        at = int(beyond.argmax())
        sample = int(np.searchsorted(batch.sample_offsets, at, side="right")) - 1
        raise DriverError(
            f"mini-batch {number}, sample {sample} looks up row {batch.indices[at]} of table {batch.tables[at]}; the "
            f"accelerator's key ends at row {rows - 1} ({geometry.row_bits} bits) of table {tables - 1} "
            f"({geometry.table_bits} bits)"
        )


@dataclass(frozen=True)
class Packets:
    """Mini-batches ready to be sent. Those without a lookup are left out of `ends`.

    Attributes:
        words: uint64 [n], lookup words of all mini-batches, end to end.
        ends: int64 [P], where each mini-batch that is sent ends in `words`.
        counts: for each mini-batch, sent or not, the lookups of its samples, int64 [B].
    """

    words: np.ndarray
    ends: np.ndarray
    counts: list[np.ndarray]

    def splits(self, results: Results, hot_rows: int) -> list[Split]:
        """The split of each mini-batch, from the device's answer to these words.

        Raises:
            DriverError: not every sample came back exactly once, whole, in order and in the right packet, or a slot is
                outside `hot_rows`.
        """
        counts = np.concatenate([*self.counts, np.empty(0, np.int64)])
        sent = counts > 0
        per_batch = np.array([np.count_nonzero(part) for part in self.counts if part.any()], np.int64)
        sample_of = np.repeat(np.arange(len(counts[sent])), counts[sent])  # of each lookup, among those sent

        popular_ids = _sample_ids(results.popular, results.popular_ends, per_batch)
        other_ids = _sample_ids(results.nonpopular, results.nonpopular_ends, per_batch)
        popular = np.zeros(len(counts[sent]), bool)
        popular[popular_ids] = True
        chosen = popular[sample_of]
        _expect(popular_ids, sample_of[chosen], "popular")
        _expect(other_ids, sample_of[~chosen], "nonpopular")

        answer = np.empty_like(self.words)
        answer[chosen], answer[~chosen] = results.popular, results.nonpopular
        hit = answer >> HIT_FIELD.low & 1 == 1
        slots = np.where(hit, answer & _ROW, 0).astype(np.int64)
        wrong = (answer ^ self.words) & np.where(hit, _ECHOED & ~_ROW, _ECHOED) != 0
        if wrong.any():
            at = int(wrong.argmax())
            raise DriverError(f"lookup word {at}, {self.words[at]:#018x}, came back as {answer[at]:#018x}: another one")
        beyond = hit & (slots >= hot_rows)
        if beyond.any():
            at = int(beyond.argmax())
            raise DriverError(f"lookup word {at} came back with slot {slots[at]}, outside the {hot_rows} hot rows")
        all_hit = np.bincount(sample_of, ~hit, minlength=len(popular)) == 0
        if (all_hit != popular).any():
            raise DriverError(f"sample {int((all_hit != popular).argmax())} came back in the wrong packet for its hits")
        slots[~hit] = -1

        everyone = np.ones(len(counts), bool)
        everyone[sent] = popular
        samples = np.cumsum([len(part) for part in self.counts])[:-1]
        lookups = np.cumsum([int(part.sum()) for part in self.counts])[:-1]
        return [Split(*part) for part in zip(np.split(everyone, samples), np.split(slots, lookups), strict=True)]


def pack(batches: Sequence[Batch], *, by_bag: bool = False) -> Packets:
    """Lookup words of mini-batches that `check_batch` has found good.

    With `by_bag` every bag is sent as a sample, so that LEARN weighs rows by what they do for bags.
    """
    counts = [batch.lengths.ravel() if by_bag else np.diff(batch.sample_offsets) for batch in batches]
    parts = [_words(batch, count) for batch, count in zip(batches, counts, strict=True)]
    words = np.concatenate(parts or [np.empty(0, np.uint64)])
    lengths = np.array([len(batch.indices) for batch in batches], np.int64)
    return Packets(words, np.cumsum(lengths[lengths > 0]), counts)


def groups(batches: Iterable[Batch], every: int = 0) -> Iterator[list[Batch]]:
    """Mini-batches in groups of about _STREAM_WORDS lookups, none of which goes beyond a multiple of `every`."""
    group: list[Batch] = []
    lookups = 0
    for number, batch in enumerate(batches, 1):
        group.append(batch)
        lookups += len(batch.indices)
        if lookups >= _STREAM_WORDS or (every and number % every == 0):
            yield group
            group, lookups = [], 0
    if group:
        yield group


def _words(batch: Batch, counts: np.ndarray) -> np.ndarray:
    """Lookup words, uint64 [n], in runs of `counts` lookups that are sent as samples."""
    words = batch.tables.astype(np.uint64) << TABLE_FIELD.low | batch.indices.astype(np.uint64) << ROW_FIELD.low
    words[np.cumsum(counts)[counts > 0] - 1] |= _LAST
    return words


def _sample_ids(words: np.ndarray, ends: np.ndarray, per_batch: np.ndarray) -> np.ndarray:
    """int64 [n]: the sample of each result word, numbered through the samples sent in all P mini-batches."""
    if len(ends) != len(per_batch) or (len(ends) and ends[-1] != len(words)):
        raise DriverError(f"{len(per_batch)} mini-batches were sent, and {len(ends)} packets came back")
    batch = np.repeat(np.arange(len(per_batch)), np.diff(ends, prepend=0))
    samples = (words >> SAMPLE_FIELD.low & SAMPLE_FIELD.mask).astype(np.int64)
    beyond = samples >= per_batch[batch]
    if beyond.any():
        at = int(beyond.argmax())
        raise DriverError(f"sample {samples[at]} came back, but its mini-batch had only {per_batch[batch[at]]}")
    return (np.cumsum(per_batch) - per_batch)[batch] + samples


def _expect(ids: np.ndarray, expected: np.ndarray, packet: str) -> None:
    """Raises DriverError unless the words of a packet are of the expected samples."""
    if np.array_equal(ids, expected):
        return
    shared = min(len(ids), len(expected))
    differs = ids[:shared] != expected[:shared]
    at = int(differs.argmax()) if differs.any() else shared
    came = f"sample {ids[at]}" if at < len(ids) else "nothing"
    due = f"sample {expected[at]}" if at < len(expected) else "nothing more"
    raise DriverError(
        f"not every sample came back exactly once: {packet} result word {at} is of {came}, but {due} was due"
    )
