"""Numbers the rows of all tables through."""

from __future__ import annotations

import numpy as np

from hotline_device.compiled import compiled
from hotline_host.data.log import Batch
from hotline_host.errors import DataError

__all__ = ["OwnershipError", "TableRows", "key_bases", "keys_of"]


class OwnershipError(RuntimeError):
    """A row was read, written or moved where it does not live, or two rows were given one slot."""


class TableRows:
    """Numbers the rows of T tables through: key = base of the table + row.

    Attributes:
        rows: int64 [T], the rows of each table.
        bases: int64 [T + 1], the first key of each table; the last one is the number of all rows.
    """

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = np.asarray(rows, dtype=np.int64)
        self.bases = np.concatenate([[0], np.cumsum(self.rows)]).astype(np.int64)

    def keys(self, tables: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The keys, int64 [n]. Raises IndexError, naming the first lookup outside its table."""
        tables, rows = np.asarray(tables, dtype=np.int64), np.asarray(rows, dtype=np.int64)
        bad = (tables < 0) | (tables >= len(self.rows))
        if not bad.any():
            bad = (rows < 0) | (rows >= self.rows[tables])
        if bad.any():
            at = int(bad.argmax())
            table, row = int(tables[at]), int(rows[at])
            known = f"has {self.rows[table]} rows" if 0 <= table < len(self.rows) else f"is none of {len(self.rows)}"
            raise IndexError(f"lookup {at}: row {row} of table {table}, but table {table} {known}")
        return self.bases[tables] + rows

    def batch_keys(self, batch: Batch) -> np.ndarray:
        """The keys of a mini-batch's lookups, int32 [n]. Errors as `keys`."""
        keys = np.empty(len(batch.indices), np.int32)
        if _keys(np.ascontiguousarray(batch.indices), batch.lengths, self.bases, keys) >= 0:
            self.keys(batch.tables, batch.indices)
        return keys

    def name(self, key: int) -> str:
        table = int(np.searchsorted(self.bases, key, side="right")) - 1
        return f"row {key - self.bases[table]} of table {table}"


def key_bases(rows: np.ndarray) -> np.ndarray:
    """int64 [T + 1]: the key of the first row of each table, and the number of all rows."""
    bases = np.concatenate([[0], np.cumsum(rows)]).astype(np.int64)
    if bases[-1] >= 1 << 31:
        raise DataError(
            f"the tables have {bases[-1]} rows in all; a splitter in software takes at most {(1 << 31) - 1}"
        )
    return bases


def keys_of(batch: Batch, bases: np.ndarray) -> np.ndarray:
    """int32 [n]: the key of each lookup.

    Raises:
        DataError: the mini-batch has other tables, another number of lookups than its lengths say, or a row beyond its
            table.
    """
    indices = np.ascontiguousarray(batch.indices, np.int64)
    lengths = np.ascontiguousarray(batch.lengths, np.int64)
    if lengths.shape[1] != len(bases) - 1:
        raise DataError(f"a mini-batch has {lengths.shape[1]} tables, not {len(bases) - 1}")
    if lengths.sum() != len(indices):
        raise DataError(f"a mini-batch has {len(indices)} lookups, but its bags hold {lengths.sum()}")
    keys = np.empty(len(indices), np.int32)
    if (at := _keys(indices, lengths, bases, keys)) >= 0:
        table = int(batch.tables[at])
        there = bases[table + 1] - bases[table]
        raise DataError(f"lookup {at} is of row {indices[at]} of table {table}, which has {there} rows")
    return keys


@compiled()
def _keys(indices, lengths, bases, keys):
    """Fills `keys`. Returns the first lookup that is beyond its table, or -1."""
    samples, tables = lengths.shape
    at = 0
    for sample in range(samples):
        for table in range(tables):
            for _ in range(lengths[sample, table]):
                key = bases[table] + indices[at]
                if indices[at] < 0 or key >= bases[table + 1]:
                    return at
                keys[at] = key
                at += 1
    return -1
