"""The golden model, compiled: the same rules as `hotline_sim.model.core`, a whole mini-batch a call.

    words --> mix ----> mixed keys -----> tracker: result words ----> judge ----> packets, popular and nonpopular
        '---> frame --> all misses ----'           of those that hit

Each step is one pass of a kernel over all lookups. `sample_aware` is the tracker.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hotline_device.compiled import compiled
from hotline_hw.spec.feistel import ROUNDS, rotations, round_constant
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import Error, Phase
from hotline_hw.spec.words import HIT_FIELD, LAST_FIELD, PAYLOAD_FIELD, ROW_FIELD, SAMPLE_FIELD, TABLE_FIELD
from hotline_sim.model.core import GoldenCore

from .sample_aware import FastSampleAware
from .sets import OUT_OF_RANGE, ones

__all__ = ["CompiledCore"]

U = np.uint64  # Numba turns a sum of signed and unsigned into a float, so everything here is unsigned
_ZERO, _ONE = U(0), U(1)
_LAST, _HIT = U(ones(LAST_FIELD)), U(ones(HIT_FIELD))
_SAMPLE_LOW, _SAMPLE_MASK = U(SAMPLE_FIELD.low), U(SAMPLE_FIELD.mask)
_TABLE_LOW, _TABLE_MASK = U(TABLE_FIELD.low), U(TABLE_FIELD.mask)
_PAYLOAD, _ROW_MASK = U(ones(PAYLOAD_FIELD)), U(ROW_FIELD.mask)
_NOWHERE = OUT_OF_RANGE

_TOO_LONG, _OPEN = U(Error.SAMPLE_TOO_LONG), U(Error.SAMPLE_OPEN)
_BATCH_TOO_LONG, _INDEX_RANGE = U(Error.BATCH_TOO_LONG), U(Error.INDEX_RANGE)


class _Network(NamedTuple):
    """The key hash, all uint64: see `hotline_hw.spec.feistel`."""

    row_bits: np.uint64
    half_bits: np.uint64
    mask: np.uint64  # of one half
    first: np.uint64
    shift: np.uint64
    second: np.uint64
    fold: np.uint64


class _Limits(NamedTuple):
    """Limits of a lookup and a mini-batch, all uint64."""

    illegal: np.uint64  # bits that no lookup word in range has
    max_lookups: np.uint64
    max_samples: np.uint64


@compiled()
def _mix(words, network, constants, mixed):
    """Mixed key of every lookup word, unspecified if it is out of range. A loop of its own, so that it vectorises."""
    n = network
    first_back, second_back = n.half_bits - n.first, n.half_bits - n.second
    for i in range(words.size):
        word = words[i]
        key = ((word >> _TABLE_LOW) & _TABLE_MASK) << n.row_bits | (word & _ROW_MASK)
        left, right = (key >> n.half_bits) & n.mask, key & n.mask
        for constant in constants:
            x = (right + ((right << n.first) | (right >> first_back)) & n.mask) + constant & n.mask
            x ^= x >> n.shift
            x = (x + ((x << n.second) | (x >> second_back)) & n.mask) & n.mask
            x ^= x >> n.fold
            left, right = right, left ^ x
        mixed[i] = left << n.half_bits | right


@compiled()
def _frame(words, limits, mixed, results):
    """Cuts a mini-batch into samples, with result words as if every lookup missed. Returns index errors and error bits.

    The mixed key of a lookup that is out of range becomes OUT_OF_RANGE.
    """
    samples = length = index_errors = errors = _ZERO
    final = words.size - 1
    for i in range(words.size):
        word = words[i]
        last = word & _LAST
        length += _ONE
        if samples >= limits.max_samples:
            errors |= _BATCH_TOO_LONG
        if last == _ZERO:
            if length == limits.max_lookups:
                errors |= _TOO_LONG
                last = _LAST
            elif i == final:
                errors |= _OPEN
                last = _LAST
        if word & limits.illegal != _ZERO:
            errors |= _INDEX_RANGE
            index_errors += _ONE
            mixed[i] = _NOWHERE
        results[i] = last | (samples & _SAMPLE_MASK) << _SAMPLE_LOW | word & _PAYLOAD
        if last != _ZERO:
            samples += _ONE
            length = _ZERO
    return index_errors, errors


@compiled()
def _judge(results, send, popular, nonpopular):
    """Counts samples, popular samples and hits; with `send` it also puts every sample into its packet.

    `popular` and `nonpopular` must then have room for all words. Returns the counts and the lengths of both packets.
    """
    samples = popular_samples = hits = 0
    popular_end = nonpopular_end = length = 0
    all_hit = True
    for i in range(results.size):
        result = results[i]
        if result & _HIT != _ZERO:
            hits += 1
        else:
            all_hit = False
        if send:  # written to both packets; the end of the sample says which of them keeps it
            popular[popular_end + length] = result
            nonpopular[nonpopular_end + length] = result
        length += 1
        if result & _LAST != _ZERO:
            samples += 1
            if all_hit:
                popular_samples += 1
                popular_end += length
            else:
                nonpopular_end += length
            length = 0
            all_hit = True
    return samples, popular_samples, hits, popular_end, nonpopular_end


class CompiledCore(GoldenCore):
    """Drop-in for `GoldenCore`: equal bit for bit, about four orders of magnitude faster. Kernels release the GIL.

    Its tracker has no `Entry` objects; DUMP shows its contents.
    """

    def __init__(self, geometry: Geometry) -> None:
        half_bits = geometry.key_bits // 2
        amounts = rotations(half_bits)
        self._constants = np.array([round_constant(i, half_bits) for i in range(ROUNDS)], np.uint64)
        self._network = _Network(*map(U, (geometry.row_bits, half_bits, (1 << half_bits) - 1, *amounts)))
        legal = ones(LAST_FIELD) | ones(TABLE_FIELD, geometry.table_bits) | ones(ROW_FIELD, geometry.row_bits)
        self._limits = _Limits(~U(legal), U(geometry.max_lookups), U(geometry.max_samples))
        super().__init__(geometry)

    @property
    def hot_count(self) -> int:
        return self._tracker.hot_count

    @property
    def threshold(self) -> int:
        return self._tracker.threshold

    def clear(self) -> None:
        self._tracker = FastSampleAware(self.geometry, self.hot_rows, self.counters, self.policy)
        self.tracker = self._tracker  # type: ignore[assignment]  # it has what `dump` and `restore` ask of it

    def select(self) -> np.ndarray:
        return self._tracker.select()

    def run_batch(self, words: np.ndarray, phase: int) -> tuple[np.ndarray, np.ndarray]:
        self.counters["batches"] += 1
        if phase == Phase.FRONT:
            return self._set_front(words)
        if len(words) == 0:
            self.errors |= Error.EMPTY_BATCH
        mixed, results = np.empty(len(words), np.uint64), np.empty(len(words), np.uint64)
        _mix(words, self._network, self._constants, mixed)
        index_errors, errors = _frame(words, self._limits, mixed, results)
        self._tracker.run(mixed, results, phase != Phase.CLASSIFY)
        self.answers = results
        send = phase != Phase.LEARN
        popular, nonpopular = (np.empty(len(words) if send else 0, np.uint64) for _ in range(2))
        samples, popular_samples, hits, popular_end, nonpopular_end = _judge(results, send, popular, nonpopular)

        self.errors |= Error(int(errors))
        for name, count in (
            ("samples", samples), ("popular_samples", popular_samples), ("lookups", len(words)),
            ("lookup_hits", hits), ("index_errors", index_errors),
        ):  # fmt: skip
            self.counters[name] += int(count)
        return (popular[:popular_end], nonpopular[:nonpopular_end]) if send else (popular, nonpopular)
