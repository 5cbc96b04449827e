"""Who brings the cold rows of a mini-batch into the pool's staging memory: the accelerator, or the host."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from hotline_host.driver.driver import Driver
from hotline_host.errors import DriverError
from hotline_host.plan import Split
from hotline_host.pool.planner import StepPlan
from hotline_host.training.embeddings import PooledEmbeddings
from hotline_host.training.pool import EmbeddingPool

from .steps import GatherCounts

__all__ = ["AcceleratorGatherer", "Gatherer", "HostGatherer", "PoolsGatherer", "ZeroCopyGatherer"]

_CHECK_EVERY = 16
"""Every so many mini-batches the accelerator also writes the keys of the gathered rows (8 bytes each), as a check."""


class Gatherer(ABC):
    """Gathers the rows of one mini-batch after another.

    Args:
        pool: with the rows and the staging memory.

    Attributes:
        rows: gathered by the accelerator so far; `host_rows` by the host.
        follows_split: only the rows of the mini-batch that was split last can be gathered.
    """

    follows_split: ClassVar[bool] = False

    def __init__(self, pool: EmbeddingPool) -> None:
        self._pool = pool
        self.rows = self.host_rows = 0

    def gather(self, split: Split, plan: StepPlan) -> int:
        """Fills the mini-batch's staging memory. Returns clock cycles, 0 without a clock."""
        cycles = self._free(split, plan) if plan.free else 0
        self._pool.fetch(plan.half, plan.free, plan.fetched)
        self.host_rows += len(plan.fetched)
        return cycles

    def counted(self, split: Split, plan: StepPlan) -> GatherCounts:
        """As `gather`; tells where the rows came from."""
        rows, host_rows = self.rows, self.host_rows
        cycles = self.gather(split, plan)
        return GatherCounts(self.rows - rows, self.host_rows - host_rows, plan.held, cycles)

    @abstractmethod
    def _free(self, split: Split, plan: StepPlan) -> int:
        """Gathers the rows that nothing in the pool holds."""


class HostGatherer(Gatherer):
    """The host's cores gather the rows."""

    def _free(self, split: Split, plan: StepPlan) -> int:
        self._pool.fetch(plan.half, 0, plan.keys[: plan.free])
        self.host_rows += plan.free
        return 0


class ZeroCopyGatherer(HostGatherer):
    """The device reads the rows by itself, over the link; the host only names them."""

    def gather(self, split: Split, plan: StepPlan) -> int:
        self._pool.name(plan.half, np.concatenate([plan.keys[: plan.free], plan.fetched]))
        self.host_rows += plan.copied_in
        return 0


class PoolsGatherer(HostGatherer):
    """The host's cores gather the rows of several pools, or of several ranks, which send each other what they need."""

    def __init__(self, rows: PooledEmbeddings) -> None:
        super().__init__(rows.pool)
        self._rows = rows

    def gather(self, split: Split, plan: StepPlan) -> int:
        self._rows.fetch(plan)
        self.host_rows += plan.copied_in
        return 0


class AcceleratorGatherer(Gatherer):
    """The accelerator gathers the rows by DMA. Their optimizer state, one number a row, comes from the host.

    Args:
        driver: its tables are set to those of the pool.
        pool: its cold rows and staging memory are in the memory of the driver's device.

    Raises:
        DriverError: the accelerator cannot gather rows of this size.
        ValueError: the accelerator does not reach the rows.
    """

    follows_split = True

    def __init__(self, driver: Driver, pool: EmbeddingPool) -> None:
        super().__init__(pool)
        if pool.region is None or pool.staging is None:
            raise ValueError("the cold rows are not in memory that the accelerator reaches")
        self._driver, self._batches, self._staging = driver, 0, pool.staging
        bases = pool.tables.bases.tolist()
        for table, rows in enumerate(pool.tables.rows.tolist()):
            driver.set_table(table, pool.region.address + bases[table] * pool.row_bytes, rows, pool.row_bytes)

    def _free(self, split: Split, plan: StepPlan) -> int:
        working, pool = split.working, self._pool
        assert working is not None and pool.staging is not None
        if pool.staging is not self._staging:  # the pool was made anew
            self._driver.hide(self._staging)
            self._staging = pool.staging
        self._batches += 1
        offset = plan.half * pool.shape.working_rows * pool.row_bytes
        check = self._batches % _CHECK_EVERY == 1
        pool.touch(plan.keys[: plan.free])  # the accelerator reads what is there
        done = self._driver.gather(pool.row_bytes, self._staging, offset, keys=check)
        if done.written != plan.free:
            raise DriverError(f"of {plan.free} cold rows that were listed {done.written} were gathered")
        if done.tables is not None and done.rows is not None:
            named = np.array([done.tables, done.rows])
            if not np.array_equal(named, [working.tables[: plan.free], working.rows[: plan.free]]):
                raise DriverError("other cold rows were gathered than those that the mini-batch's lookups name")
        pool.fetch_state(plan.half, 0, plan.keys[: plan.free])
        self.rows += done.written
        return done.cycles
