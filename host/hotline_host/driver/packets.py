"""Packs mini-batches into lookup words, with the layouts of `hotline_hw.spec`.

samples       s0: a b    s1: (empty)    s2: c        lookups in input order
sent          a b|c|                                 | is `last`; an empty sample is popular, and not sent
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from hotline_host.data.log import Batch
from hotline_host.errors import DriverError
from hotline_hw.spec.descriptors import MAX_TABLES32
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import LAST_FIELD, ROW_FIELD, TABLE_FIELD

__all__ = ["DriverError", "Lookups", "check_batch", "groups", "pack"]

_GROUP_LOOKUPS = 1 << 17
"""Lookups that are handed over at once, about: 1 MiB of words, so that the cost of handing over does not show."""

_LAST = np.uint64(1 << LAST_FIELD.low)


def check_batch(geometry: Geometry, batch: Batch, number: int = 0, *, by_bag: bool = False) -> None:
    """Checks that an accelerator can take a mini-batch, and with `by_bag` that it can take its bags as samples.

    Raises:
        DriverError: it cannot. The message names the mini-batch by its `number`, the sample, and the limit.
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
class Lookups:
    """A mini-batch as it is sent.

    Attributes:
        data: uint64 [n], lookup words. If `tables` is not 0: uint32 [n], rows, and lookup i is of table i mod `tables`.
        counts: int64 [B], the lookups of each sample, sent or not.
    """

    data: np.ndarray
    tables: int
    counts: np.ndarray

    def __len__(self) -> int:
        return len(self.data)

    @property
    def sent(self) -> int:
        """The number of samples that are sent."""
        return int(np.count_nonzero(self.counts))

    @property
    def keys(self) -> np.ndarray:
        """uint64 [n]: the lookup words without `last`."""
        return self.keys_at(np.arange(len(self.data)))

    def keys_at(self, places: np.ndarray) -> np.ndarray:
        """uint64 [m]: the lookup words at these places (int64 [m]), without `last`."""
        data = self.data[places].astype(np.uint64)
        if not self.tables:
            return data & ~_LAST
        return (places % self.tables).astype(np.uint64) << np.uint64(TABLE_FIELD.low) | data << np.uint64(ROW_FIELD.low)


def pack(batch: Batch, *, by_bag: bool = False) -> Lookups:
    """Packs a mini-batch that passed `check_batch`. If every bag has exactly one lookup, rows alone are sent.

    With `by_bag` every bag is sent as a sample, so that LEARN weighs rows by what they do for bags.
    """
    counts = batch.lengths.ravel() if by_bag else np.diff(batch.sample_offsets)
    tables = batch.lengths.shape[1]
    if not by_bag and 0 < tables <= MAX_TABLES32 and len(batch.indices) and (batch.lengths == 1).all():
        return Lookups(batch.indices.astype(np.uint32), tables, counts)
    words = batch.tables.astype(np.uint64) << TABLE_FIELD.low | batch.indices.astype(np.uint64) << ROW_FIELD.low
    words[np.cumsum(counts)[counts > 0] - 1] |= _LAST
    return Lookups(words, 0, counts)


def groups(batches: Iterable[Batch], every: int = 0) -> Iterator[list[Batch]]:
    """Cuts mini-batches into groups of about _GROUP_LOOKUPS lookups. A group also ends after every `every`-th one."""
    group: list[Batch] = []
    lookups = 0
    for number, batch in enumerate(batches, 1):
        group.append(batch)
        lookups += len(batch.indices)
        if lookups >= _GROUP_LOOKUPS or (every and number % every == 0):
            yield group
            group, lookups = [], 0
    if group:
        yield group
