"""Plans: what the driver tells training about a mini-batch. NumPy arrays only, so neither side imports the other.

driver    Split, with its WorkingSet    which lookups are hot, and where each row is
          Moves                         which rows take the slots of others
splitter  Followed                      both of them, of one mini-batch after another
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hotline_host.data.log import Batch

__all__ = ["Followed", "Moves", "Split", "WorkingSet"]


@dataclass(frozen=True)
class WorkingSet:
    """The u unique cold rows of a mini-batch of n lookups. Working row i is row `rows[i]` of table `tables[i]`.

    Attributes:
        places: int32 or int64 [n], in input order: the working row of each lookup, -1 if its row is hot.
        tables, rows: int64 [u].
        held: the last `held` rows were also cold rows of the mini-batch classified before. Their values are final only
            after that mini-batch's update.
    """

    places: np.ndarray
    tables: np.ndarray
    rows: np.ndarray
    held: int

    def __len__(self) -> int:
        return len(self.tables)


@dataclass(frozen=True)
class Split:
    """A split mini-batch of B samples and n lookups.

    Attributes:
        popular: bool [B], True if all lookups of the sample hit. A sample without lookups is popular.
        slots: int32 or int64 [n], in input order: the slot of each lookup's row, -1 if the row is cold.
        working: the cold rows; None if there are more than the accelerator can list.
    """

    popular: np.ndarray
    slots: np.ndarray
    working: WorkingSet | None = None


@dataclass(frozen=True)
class Moves:
    """The result of one SELECT: m rows became hot, in this order.

    Attributes:
        slots, tables, rows: int64 [m], the row that takes each slot.
        evicted_tables, evicted_rows: int64 [m], the row that leaves the slot, -1 if the slot was free.
        hot_count: rows that are hot now.
        threshold: the smallest counter of a popular row.
        idle: hot rows not looked up since the last aging of their set.
        recent: watched cold rows looked up since then.
    """

    slots: np.ndarray
    tables: np.ndarray
    rows: np.ndarray
    evicted_tables: np.ndarray
    evicted_rows: np.ndarray
    hot_count: int
    threshold: int
    idle: int
    recent: int

    def __len__(self) -> int:
        return len(self.slots)


@dataclass(frozen=True)
class Followed:
    """A mini-batch that was split.

    Attributes:
        split: under the hot rows that were chosen before it.
        moves: what changed right before it; None if nothing could.
        cycles: clock cycles of the split, 0 without a clock.
    """

    batch: Batch
    split: Split
    moves: Moves | None
    cycles: int
