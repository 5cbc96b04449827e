"""What a click log is: tables, samples in order, and mini-batches cut from them. One that is in memory as a whole.

`Log` is all that training asks for. `ClickLog` is in memory. Logs that are read or drawn as they are used, in constant
memory, are in `criteo_stream` and `synthetic.generator`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np

from hotline_host.errors import DataError
from hotline_hw.spec.words import ROW_FIELD, TABLE_FIELD

__all__ = [
    "MAX_ROWS", "MAX_TABLES", "MLPERF_ROWS", "Batch", "ClickLog", "DataError", "Log", "extreme_batch", "in_memory",
]  # fmt: skip

MAX_TABLES = 1 << TABLE_FIELD.width
"""Most tables of one log, as the table field of a lookup word allows."""

MAX_ROWS = 1 << ROW_FIELD.width
"""Most rows of one table, as the row field of a lookup word allows."""

MLPERF_ROWS = 40_000_000
"""Most rows of a table in MLPerf Training's DLRM-DCNv2, as `max_ind_range` of its reference says."""


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


class Log(Protocol):
    """S samples of T tables, in time order if the log has one.

    Attributes:
        name: the data set, for reports.
        tables: name of each table.
        rows: int64 [T], rows of each table; every index lies below its table's.
        rule: how rare or missing values were treated, in words, for reports.
        skipped: lines left out because they were damaged.
        dimension: embedding dimension usual for this data; None if there is no usual one.
        size: S.
        dense_features: F, may be 0.
        lookups: of all samples.
    """

    @property
    def name(self) -> str: ...
    @property
    def tables(self) -> tuple[str, ...]: ...
    @property
    def rows(self) -> np.ndarray: ...
    @property
    def rule(self) -> str: ...
    @property
    def skipped(self) -> int: ...
    @property
    def dimension(self) -> int | None: ...
    @property
    def size(self) -> int: ...
    @property
    def dense_features(self) -> int: ...
    @property
    def lookups(self) -> int: ...

    def batch(self, start: int, stop: int) -> Batch:
        """Samples `start` to `stop` (exclusive, clipped to the log).

        A log that is not in memory may read or draw them anew each time. It is quickest if they are asked for in order.

        Raises:
            DataError: the log's file cannot be read any more, or has changed.
        """
        ...

    def most_lookups(self, size: int) -> int:
        """The most lookups of any `size` consecutive samples."""
        ...

    def extreme(self, size: int) -> Batch | None:
        """A mini-batch of `size` samples with the last row of every table: if it can be taken, every other one can.

        None: there is no such mini-batch, as bags differ from sample to sample; the log is in memory, so look at all.
        """
        ...


@dataclass(frozen=True)
class ClickLog:
    """A `Log` in memory.

    Attributes:
        indices, lengths, dense, label: as in `Batch`, over all samples (lengths int64 [S, T]).
        Others as in `Log`.

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
    def dense_features(self) -> int:
        return self.dense.shape[1]

    @property
    def lookups(self) -> int:
        return len(self.indices)

    @property
    def sample_offsets(self) -> np.ndarray:
        """int64 [S + 1]: sample s holds lookups `sample_offsets[s]` to `sample_offsets[s + 1]`."""
        return self._offsets

    def most_lookups(self, size: int) -> int:
        size = min(size, self.size)
        return int((self._offsets[size:] - self._offsets[: len(self._offsets) - size]).max())

    def extreme(self, size: int) -> None:
        return None

    def batch(self, start: int, stop: int) -> Batch:
        """As `Log.batch`.

        The arrays are views of the log, but broadcast `lengths` (one lookup a bag, a single 1 in memory) are copied.
        """
        stop = min(stop, self.size)
        return Batch(
            indices=self.indices[self._offsets[start] : self._offsets[stop]],
            lengths=np.ascontiguousarray(self.lengths[start:stop]),
            dense=self.dense[start:stop],
            label=self.label[start:stop],
        )


def extreme_batch(rows: np.ndarray, pooling: np.ndarray, size: int, dense_features: int) -> Batch:
    """What `Log.extreme` returns, where every sample has bags of the same lengths.

    Args:
        rows, pooling: int64 [T], rows of each table, and lookups in its bag.
    """
    return Batch(
        indices=np.tile(np.repeat(rows - 1, pooling), size),
        lengths=np.tile(pooling, (size, 1)),
        dense=np.zeros((size, dense_features), np.float32),
        label=np.zeros(size, np.float32),
    )


def in_memory(log: Log) -> ClickLog:
    """All samples of a log.

    Raises:
        DataError: they do not fit in memory.
    """
    try:
        whole = log.batch(0, log.size)
    except MemoryError as error:
        raise DataError(f"{log.name}: {log.size} samples do not fit in memory ({error}); take fewer") from None
    return ClickLog(
        log.name, log.tables, log.rows, whole.indices, whole.lengths, whole.dense, whole.label, log.rule, log.skipped,
        log.dimension,
    )  # fmt: skip
