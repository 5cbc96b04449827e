"""Numbers the rows of all tables through."""

from __future__ import annotations

import numpy as np

__all__ = ["OwnershipError", "TableRows"]


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

    def name(self, key: int) -> str:
        table = int(np.searchsorted(self.bases, key, side="right")) - 1
        return f"row {key - self.bases[table]} of table {table}"
