"""The lookups of a batch, in the two orders that are needed.

features      feature 0: sample 0, 1, ... | feature 1: sample 0, 1, ...    as given, and as kernels sum bags
samples       sample 0: table 0, 1, ...   | sample 1: ...                  as the accelerator splits
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hotline_device.compiled import compiled
from hotline_host.data.log import Batch
from hotline_host.errors import DataError

from .jagged import KeyedJaggedTensor
from .tables import Tables

__all__ = ["Lookups", "batch_of", "is_jagged", "jagged", "sizes_of"]


@dataclass(frozen=True)
class Lookups:
    """The lookups of B samples for the F features of `Tables.features`, in that order.

    Attributes:
        rows: int64 [n], in the order of features.
        lengths: int64 [F, B].
        begins: int64 [F + 1], where each feature begins in `rows`.
        place: int64 [n], where each lookup is in the order of samples.
        source: where each feature begins in the values that were given.
        table_lengths: int64 [B, T].
    """

    rows: np.ndarray
    lengths: np.ndarray
    begins: np.ndarray
    place: np.ndarray
    source: np.ndarray
    table_lengths: np.ndarray

    @classmethod
    def of(cls, features: Any, tables: Tables) -> Lookups:
        """Of a KeyedJaggedTensor, ours or TorchRec's. Its other features are left out.

        Raises:
            DataError: a feature is missing, or a row is beyond its table.
        """
        samples, chosen = _chosen(features, tables)
        given, lengths = _array(features.values()), _lengths(features).reshape(-1, samples)
        starts = np.concatenate([[0], np.cumsum(lengths.sum(axis=1))])
        if starts[-1] != len(given):
            raise DataError(f"the bags of a batch hold {starts[-1]} lookups, but it has {len(given)} values")
        source, lengths = starts[chosen], np.ascontiguousarray(lengths[chosen])
        begins = np.concatenate([[0], np.cumsum(lengths.sum(axis=1))])
        of = np.array([feature.table for feature in tables.features])
        rows, place = np.empty(begins[-1], np.int64), np.empty(begins[-1], np.int64)
        table_lengths = np.zeros((samples, len(tables.ordered)), np.int64)
        wrong = _arrange(given, lengths, source, begins, of, tables.rows.rows, rows, place, table_lengths)
        if wrong >= 0:
            number = int(np.searchsorted(begins, wrong, side="right")) - 1
            feature, table = tables.features[number], tables.ordered[tables.features[number].table]
            sample = int(np.searchsorted(np.cumsum(lengths[number]), wrong - begins[number], side="right"))
            raise DataError(
                f"feature {feature.name} of sample {sample} looks up row {rows[wrong]} of table {table.name}, which "
                f"has {table.num_embeddings} rows"
            )
        return cls(rows, lengths, begins, place, source, table_lengths)

    @property
    def samples(self) -> int:
        return self.lengths.shape[1]

    def in_group(self, group: slice) -> slice:
        """The lookups of some features that are next to each other."""
        return slice(int(self.begins[group.start]), int(self.begins[group.stop]))

    def bags(self, tables: Tables, group: slice) -> list[np.ndarray]:
        """For each of some features the lengths of its bags: one lookup each, if it is not pooled."""
        return [
            self.lengths[number] if tables.features[number].pooling else np.ones(self._count(number), np.int64)
            for number in range(group.start, group.stop)
        ]

    def keys(self, tables: Tables, group: slice) -> np.ndarray:
        """int64: the keys of the lookups of some features."""
        bases = [
            np.repeat(tables.rows.bases[tables.features[number].table], self._count(number))
            for number in range(group.start, group.stop)
        ]
        return self.rows[self.in_group(group)] + np.concatenate(bases)

    def weights(self, given: Tensor, group: slice) -> Tensor:
        """The weights of the lookups of some features, of those of all values that were given."""
        parts = [
            given[self.source[number] : self.source[number] + self._count(number)]
            for number in range(group.start, group.stop)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _count(self, number: int) -> int:
        return int(self.begins[number + 1] - self.begins[number])


def batch_of(parts: Sequence[Lookups]) -> tuple[Batch, list[np.ndarray]]:
    """The lookups of one mini-batch, of one or more batches. Also where each batch's lookups are in it."""
    first, places = 0, []
    for part in parts:
        places.append(part.place + first)
        first += len(part.place)
    indices = np.empty(first, np.int64)
    for part, place in zip(parts, places, strict=True):
        indices[place] = part.rows
    lengths = np.concatenate([part.table_lengths for part in parts])
    nothing = np.empty((len(lengths), 0), np.float32)
    return Batch(indices, lengths, nothing, nothing.sum(axis=1)), places


def jagged(features: Any) -> Any:
    """A KeyedJaggedTensor, also of a dictionary as `KeyedJaggedTensor.from_dict` takes it."""
    return KeyedJaggedTensor.from_dict(features) if isinstance(features, Mapping) else features


def is_jagged(features: Any) -> bool:
    """Whether it is a KeyedJaggedTensor, ours or another's."""
    has = {name for name in ("keys", "values", "lengths", "offsets") if callable(getattr(features, name, None))}
    return {"keys", "values"} < has


def sizes_of(features: Any) -> tuple[int, int]:
    """Lookups and bags of a KeyedJaggedTensor, of all its features. Raises DataError if it is none."""
    if not is_jagged(features):
        raise DataError(
            f"features is a {type(features).__name__}; it must be a KeyedJaggedTensor or a dictionary of "
            "rows, or have the methods keys, values, and lengths or offsets"
        )
    lengths = getattr(features, "lengths", None)
    return len(features.values()), len(lengths() if lengths else features.offsets()) - (lengths is None)


def _chosen(features: Any, tables: Tables) -> tuple[int, np.ndarray]:
    """The samples, and which of the features given are those of the tables."""
    bags = sizes_of(features)[1]
    at = {name: number for number, name in enumerate(features.keys())}
    for feature in tables.features:
        if feature.name not in at:
            raise DataError(f"a batch lacks the feature {feature.name}; it has {', '.join(at)}")
    return bags // len(at), np.array([at[feature.name] for feature in tables.features])


def _lengths(features: Any) -> np.ndarray:
    if callable(getattr(features, "lengths", None)):
        return _array(features.lengths())
    return np.diff(_array(features.offsets()))


def _array(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().cpu().numpy(), np.int64)


@compiled()
def _arrange(given, lengths, source, begins, of, table_rows, rows, place, table_lengths):
    """Fills the last three. Returns the first lookup, in the order of features, beyond its table, or -1."""
    features, samples = lengths.shape
    for feature in range(features):
        limit = table_rows[of[feature]]
        for at in range(begins[feature + 1] - begins[feature]):
            row = given[source[feature] + at]
            rows[begins[feature] + at] = row
            if row < 0 or row >= limit:
                return begins[feature] + at
    next_of = begins[:-1].copy()
    at = 0
    for sample in range(samples):
        for feature in range(features):
            count = lengths[feature, sample]
            table_lengths[sample, of[feature]] += count
            for _ in range(count):
                place[next_of[feature]] = at
                next_of[feature] += 1
                at += 1
    return -1
