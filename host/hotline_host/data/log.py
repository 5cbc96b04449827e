"""A click log in memory, and the mini-batches cut from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from hotline_host.errors import DataError
from hotline_hw.spec.words import ROW_FIELD, TABLE_FIELD

__all__ = ["MAX_ROWS", "MAX_TABLES", "Batch", "ClickLog", "DataError"]

MAX_TABLES = 1 << TABLE_FIELD.width
"""Most tables of one log, as the table field of a lookup word allows."""

MAX_ROWS = 1 << ROW_FIELD.width
"""Most rows of one table, as the row field of a lookup word allows."""


@dataclass(frozen=True)
class Batch:
    """B samples of T tables. Lookups are sample-major: sample, then table, then position in the bag.

    Attributes:
        indices: int64 [n], row of each lookup within its table.
        lengths: int64 [B, T], lookups in each bag; `lengths.sum() == n`.
        dense: float32 [B, F], F may be 0.
        label: float32 [B].
    """

    indices: np.ndarray
    lengths: np.ndarray
    dense: np.ndarray
    label: np.ndarray

    @property
    def size(self) -> int:
        """Samples."""
        return self.lengths.shape[0]

    @cached_property
    def tables(self) -> np.ndarray:
        """int64 [n]: table of each lookup."""
        samples, tables = self.lengths.shape
        return np.repeat(np.tile(np.arange(tables), samples), self.lengths.ravel())

    @cached_property
    def sample_offsets(self) -> np.ndarray:
        """int64 [B + 1]: sample s holds lookups `sample_offsets[s]` to `sample_offsets[s + 1]`."""
        return np.concatenate([[0], np.cumsum(self.lengths.sum(axis=1))]).astype(np.int64)


@dataclass(frozen=True)
class ClickLog:
    """S samples of T tables, in time order if the log has one.

    Attributes:
        name: the data set, for reports.
        tables: name of each table.
        rows: int64 [T], rows of each table; every index lies below its table's.
        indices, lengths, dense, label: as in `Batch`, over all samples (lengths int64 [S, T]).
        rule: how rare or missing values were treated, in words, for reports.
        skipped: lines left out because they were damaged.
        dimension: embedding dimension usual for this data; None if there is no usual one.

    Raises:
        DataError: more tables, or more rows in a table, than the accelerator's key can name.
    """

    name: str
    tables: tuple[str, ...]
    rows: np.ndarray
    indices: np.ndarray
    lengths: np.ndarray
    dense: np.ndarray
    label: np.ndarray
    rule: str = "every value keeps its own row"
    skipped: int = 0
    dimension: int | None = None
    _offsets: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.tables) > MAX_TABLES:
            raise DataError(
                f"{self.name}: {len(self.tables)} tables; the accelerator's key names at most {MAX_TABLES} tables"
            )
        for name, rows in zip(self.tables, self.rows, strict=True):
            if rows > MAX_ROWS:
                raise DataError(
                    f"{self.name}: table {name} has {rows} rows; the accelerator's key names at most {MAX_ROWS} rows"
                )
        offsets = np.concatenate([[0], np.cumsum(self.lengths.sum(axis=1))]).astype(np.int64)
        object.__setattr__(self, "_offsets", offsets)

    @property
    def size(self) -> int:
        """Samples."""
        return self.lengths.shape[0]

    @property
    def sample_offsets(self) -> np.ndarray:
        """int64 [S + 1]: sample s holds lookups `sample_offsets[s]` to `sample_offsets[s + 1]`."""
        return self._offsets

    def batch(self, start: int, stop: int) -> Batch:
        """Samples `start` to `stop` (exclusive, clipped to the log).

        The arrays are views of the log, but broadcast `lengths` (one lookup a bag, a single 1 in memory) are copied.
        """
        stop = min(stop, self.size)
        return Batch(
            indices=self.indices[self._offsets[start] : self._offsets[stop]],
            lengths=np.ascontiguousarray(self.lengths[start:stop]),
            dense=self.dense[start:stop],
            label=self.label[start:stop],
        )
