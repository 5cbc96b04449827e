"""Working parameters: the cold rows of a mini-batch end to end, gathered by the accelerator.

    training      step i                                       | step i + 1
    accelerator   classify i + 1, gather rows that are free    | ...
    between the steps                           moves, gather what was in flux

A row is in flux while its owner may write it: a cold row of the mini-batch in training, until its update is made, and a
row that a SELECT has moved, until the host has moved it too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hotline_host.driver.driver import Driver
from hotline_host.errors import DriverError
from hotline_host.plan import Split, Working
from hotline_host.training.store import EmbeddingStore
from hotline_hw.spec.descriptors import BUFFER_ALIGN

__all__ = ["Gathering", "WorkingGatherer"]

_CHECK_EVERY = 16
"""Mini-batches after which the accelerator is to tell the keys of what it gathers, at 8 bytes a row."""


@dataclass
class Gathering:
    """A mini-batch whose cold rows are being gathered.

    Attributes:
        half: of the buffer that they go to.
        early: so many were, beside the training of the mini-batch before.
        late: so many were after that.
        cycles: clock cycles that took, 0 on a backend without.
    """

    split: Split
    half: int
    early: int = 0
    late: int = 0
    cycles: int = 0


class WorkingGatherer:
    """Gathers the cold rows of one mini-batch after another, into two buffers in turn.

    Args:
        driver: is told where the tables are.
        store: with its cold rows in the memory of the driver's device.

    Raises:
        DriverError: rows are not of a size that the accelerator can gather.
    """

    def __init__(self, driver: Driver, store: EmbeddingStore) -> None:
        if store.region is None:
            raise ValueError("the cold rows are not in memory that the accelerator reaches")
        self._driver, self._tables = driver, store.tables
        self._row_bytes = row_bytes = store.row_bytes
        bases = store.tables.bases.tolist()
        for table, rows in enumerate(store.tables.rows.tolist()):
            driver.set_table(table, store.region.address + bases[table] * row_bytes, rows, row_bytes)
        self._align = BUFFER_ALIGN // math.gcd(row_bytes, BUFFER_ALIGN)  # rows; where those that are held may begin
        self._half_rows = -(-(driver.geometry.working_rows + self._align) // self._align) * self._align
        self._region = driver.device.memory.allocate("working", 2 * self._half_rows * row_bytes)
        shape = (2, self._half_rows, store.cold.shape[1])
        self._rows = self._region.array(shape, store.cold.numpy().dtype)
        self._batches = 0
        self._all_listed = True  # the mini-batch before

    def begin(self, split: Split, moved: bool) -> Gathering:
        """Gathers what is not in flux of the mini-batch that was split last, while the one before it trains.

        Args:
            moved: a SELECT has moved rows since that was split.
        """
        gathering = Gathering(split, self._batches % 2)
        self._batches += 1
        # What is in training, the accelerator knows by its lists alone: rows that found no place would not be held.
        if split.working is not None and self._all_listed and not moved:
            gathering.early = self._gather(gathering, held=False)
        self._all_listed = split.working is not None
        return gathering

    def finish(self, gathering: Gathering) -> Working | None:
        """Gathers the rest, nothing being in flux. None if the accelerator could not list them all."""
        working = gathering.split.working
        if working is None:
            return None
        free = len(working) - working.held
        if free and not gathering.early:
            gathering.late += self._gather(gathering, held=False)
        if working.held:
            gathering.late += self._gather(gathering, held=True)
        begin = self._held_begin(free) if working.held else free
        keys = np.full(begin + working.held, -1)
        known = self._tables.keys(working.tables, working.rows)
        keys[:free], keys[begin:] = known[:free], known[free:]
        places = working.places + np.where(working.places >= free, begin - free, 0)
        return Working(self._rows[gathering.half, : len(keys)], places, keys)

    def _held_begin(self, free: int) -> int:
        return -(-free // self._align) * self._align

    def _gather(self, gathering: Gathering, *, held: bool) -> int:
        """Rows that are held, or those that are not. How many. At times with their keys, to be compared."""
        working = gathering.split.working
        assert working is not None
        free = len(working) - working.held
        due = slice(free, None) if held else slice(0, free)
        count = working.held if held else free
        if not count:
            return 0
        place = gathering.half * self._half_rows + (self._held_begin(free) if held else 0)
        done = self._driver.gather(
            self._row_bytes, self._region, place * self._row_bytes, held=held,
            keys=self._batches % _CHECK_EVERY == 1,
        )  # fmt: skip
        if done.written != count:
            raise DriverError(f"of {count} cold rows that were listed {done.written} were gathered")
        if done.tables is not None and done.rows is not None:
            named = np.array([done.tables, done.rows])
            if not np.array_equal(named, [working.tables[due], working.rows[due]]):
                raise DriverError("other cold rows were gathered than those that the mini-batch's lookups name")
        gathering.cycles += done.cycles
        return count
