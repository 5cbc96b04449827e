"""The embedding rows of a model that trains over a pool: the plan of every mini-batch, and the order of what moves.

For every mini-batch, in this order: `plan`; `bring_back`; its rows are gathered into the pools' staging memory, by
`fetch` or by the accelerator; `arrive`; forward, backward and update over `pool.rows`; `depart`. Where the next
mini-batch is known, all but the step itself runs in threads beside the step before.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hotline_device.compiled import compiled
from hotline_host.data.log import Batch
from hotline_host.plan import Moves, Split
from hotline_host.pool.planner import Planner, PoolShape, StepPlan
from hotline_host.pool.rows import TableRows

from .checkpoint import Rows
from .kernels import Groups, kernels_for
from .link import link_to
from .optim import RowOptimizer
from .part_of_pool import PartOfPool
from .pool import EmbeddingPool
from .resident_pool import ResidentPool
from .snapshot import begun

__all__ = ["PooledEmbeddings"]


class PooledEmbeddings:
    """Hot rows on the device, cold rows in host memory. At first every row is cold.

    Args:
        tables: numbers the rows.
        dimensions: D of each table. Tables of equal D are next to each other and share a pool. All pools have one plan:
            the row of a slot is in the pool of its D, and that slot of the other pools is empty.
        hot_rows: slots of the hot table.
        lookups: most lookups of a mini-batch; `moves`: most rows that may become hot before one.
        device: of the pools.
        all_hot: no row is ever cold in a step, so no room is made for working rows.
        resident: all rows are on the device, each in the slot of its key, and nowhere else: no tables in host memory.
        options: further arguments of `EmbeddingPool`, or of `ResidentPool`.

    Attributes:
        pools: one for each D; `pool` is the first.
        planner: knows where each row is.
        link: to the device.
        hot_keys: int64 [H], the key of the row in each slot after the step that began last, -1 where there is none.
    """

    def __init__(
        self,
        tables: TableRows,
        dimensions: Sequence[int],
        hot_rows: int,
        *,
        lookups: int,
        moves: int,
        device: torch.device,
        all_hot: bool = False,
        resident: bool = False,
        **options: Any,
    ) -> None:
        self.tables, self.device, self._all_hot = tables, device, all_hot or resident
        self.moves = min(moves, hot_rows)
        shape = self._shape(hot_rows, lookups)
        self.link = link_to(device)
        self.kernels = kernels_for(device)
        self.pools: list[EmbeddingPool] = []
        runs = [(dimension, len([*run])) for dimension, run in groupby(dimensions)]
        if len({dimension for dimension, _ in runs}) != len(runs):
            raise ValueError(f"dimensions are {list(dimensions)}; equal ones must be next to each other")
        states = options.pop("state", ()) or (lambda dimension: ())
        first = 0
        for dimension, count in runs:
            options |= {"device": device, "state": states(dimension)}
            part, first_key = TableRows(tables.rows[first : first + count]), int(tables.bases[first])
            pool = self._pool(part, dimension, shape, first_key, only=len(runs) == 1, resident=resident, **options)
            self.pools.append(pool)
            options["seed"] += 1
            first += count
        self.planner = Planner(tables, shape)
        self._back: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # places and keys, by mini-batch
        self._bringing_back = Lock()
        self._latest: StepPlan | None = None  # of the mini-batch that began last
        self.hot_keys = np.full(hot_rows, -1, np.int64)
        self.link.synchronize()  # what was allocated is there, whatever stream uses it first
        self._slots: tuple[np.ndarray, np.ndarray] | None = None  # sorted keys that are hot, and their slots

    def _pool(
        self, tables: TableRows, dimension: int, shape: PoolShape, first_key: int, *, only: bool, resident: bool,
        **options: Any,
    ) -> EmbeddingPool:  # fmt: skip
        """The pool of some of the tables, or of all (`only`)."""
        if resident:
            return ResidentPool(tables, dimension, first_key=first_key, **options)
        if only:
            return EmbeddingPool(tables, dimension, shape, link=self.link, **options)
        return PartOfPool(tables, dimension, shape, first_key=first_key, link=self.link, **options)

    @property
    def pool(self) -> EmbeddingPool:
        return self.pools[0]

    @property
    def shape(self) -> PoolShape:
        return self.planner.shape

    @property
    def row_bytes(self) -> int:
        """Of the widest row, without its state."""
        return max(pool.row_bytes for pool in self.pools)

    @property
    def saves_beside(self) -> bool:
        """Rows may be trained while `shards` is read."""
        return not any(isinstance(pool, ResidentPool) for pool in self.pools)

    @property
    def device_bytes(self) -> int:
        """Bytes of the pools."""
        return sum(pool.device_bytes for pool in self.pools)

    def _shape(self, hot_rows: int, lookups: int) -> PoolShape:
        most = 0 if self._all_hot else min(lookups, int(self.tables.bases[-1])) + 2 * self.moves
        # A multiple of 64 rows, so that both halves begin where the accelerator can write.
        return PoolShape(hot_rows, -(-most // 64) * 64)

    # Beside the step before

    def plan(self, batch: Batch, split: Split, moves: Moves | None = None) -> StepPlan:
        """Plans the next mini-batch, in the order of training.

        Raises:
            OwnershipError: a row is not where the split or the moves say it is.
            ValueError: a length does not match, or a popular sample has a cold lookup.
        """
        _check_popular(batch, split)
        plan = self.planner.plan(split, self.tables.batch_keys(batch), moves)
        self._back[plan.number - 1] = plan.back, plan.back_keys
        return plan

    def fetch(self, plan: StepPlan) -> None:
        """The host brings the cold rows of a mini-batch into staging memory."""
        for pool in self.pools:
            pool.fetch(plan.half, 0, plan.keys[: plan.free])
            pool.fetch(plan.half, plan.free, plan.fetched)

    def bring_back(self, number: int) -> None:
        """Rows of a mini-batch that did not move on go to host memory. Waits for their arrival.

        Before the rows of the mini-batch after the next are gathered: it may need them, and it has the same half. Both
        mini-batches must have been planned, and the step of this one must have been launched.
        """
        with self._bringing_back:  # whoever comes second finds them there
            self.link.returned(number % 2)
            due = self._back.pop(number, None)
            if due is not None:
                for pool in self.pools:
                    pool.write_back(number % 2, *due)

    # The step

    def arrive(self, plan: StepPlan, moving: tuple[Tensor, Tensor]) -> None:
        """The gathered rows go to their half, and rows move.

        Args:
            moving: int32 on the device, source and target of the rows that move.
        """
        with self.link.copying_in(plan.half):
            for pool in self.pools:
                pool.copy_in(self.kernels, plan)
        with self.link.computing(plan.half):
            for pool in self.pools:
                pool.move(self.kernels, *moving)
            self.link.moved(plan.half)
        self._latest = plan
        if len(plan.slots):
            self.hot_keys[plan.slots] = plan.comes
            self._slots = None

    def update(
        self, optimizer: RowOptimizer, plan: StepPlan, number: int, gradient: Tensor, groups: Groups,
        weights: Tensor | None = None,
    ) -> None:  # fmt: skip
        """Updates the rows that the mini-batch looks up in pool `number`, as `Kernels.update_rows`."""
        pool = self.pools[number]
        self.kernels.update_rows(optimizer, pool.rows, pool.state, gradient, groups, weights)

    def depart(self, plan: StepPlan) -> None:
        """The step has been launched: its rows are copied out behind it."""
        with self.link.copying_out(plan.half):
            for pool in self.pools:
                pool.copy_out(plan)

    # Between two steps

    def refresh(self) -> None:
        """Host memory has the present value of every row that is not hot. Mini-batches may have been planned ahead."""
        if self._latest is not None:
            self.bring_back(self._latest.number - 1)
            self.link.returned(self._latest.half)
            places = np.flatnonzero(self._latest.keys >= 0).astype(np.int32)
            for pool in self.pools:
                pool.write_back(self._latest.half, places, self._latest.keys[places])

    def settle(self) -> None:
        """Every row that is not hot is in host memory, and no mini-batch is planned."""
        self.refresh()
        self.planner.forget()
        self._back, self._latest = {}, None

    def make_room(self, lookups: int) -> None:
        """Makes the pools larger, if need be, so that mini-batches may have so many lookups.

        Call it while no mini-batch is planned ahead. The rows stay as they are.
        """
        shape = self._shape(len(self.hot_keys), lookups)
        if shape.working_rows <= self.shape.working_rows:
            return
        self.settle()
        slots = np.flatnonzero(self.hot_keys >= 0)
        keys = self.hot_keys[slots]
        for pool in self.pools:
            pool.unplace(keys, slots)
            pool.make_room(shape)
            pool.place(keys, slots)
        self.planner = Planner(self.tables, shape)
        self.planner.place(keys, slots)
        self.link.synchronize()

    def place(self, tables: np.ndarray, rows: np.ndarray, slots: np.ndarray) -> int:
        """Puts row `rows[i]` of table `tables[i]` into `slots[i]`, for all i, and makes every other row cold.

        Call it while no mini-batch is planned ahead.

        Returns:
            The number of rows that are hot now.

        Raises:
            OwnershipError: a row or a slot is named twice. Nothing has moved then.
            IndexError: a row or a slot does not exist. Nothing has moved then.
        """
        self.settle()
        keys = self.tables.keys(tables, rows)
        self.planner.place(keys, slots)
        used = np.flatnonzero(self.hot_keys >= 0)
        for pool in self.pools:
            pool.unplace(self.hot_keys[used], used)
            pool.place(keys, np.asarray(slots, np.int64))
        self.hot_keys[:] = -1
        self.hot_keys[slots] = keys
        self._slots = None
        return len(keys)

    def place_all(self) -> None:
        """Every row is hot, in the slot of its key: as `place`, for pools with all rows resident."""
        self.settle()
        self.planner.place_all()
        self.hot_keys[:] = np.arange(len(self.hot_keys))

    def read(self, keys: np.ndarray, pool: EmbeddingPool | None = None) -> Tensor:
        """[n, D] on the device: the present values of rows. Call `refresh` after the last step, before the first read.

        Args:
            keys: int64 [n].
            pool: that has these rows; None: there is only one.
        """
        of = pool or self.pool
        if isinstance(of, ResidentPool):  # no row is looked for
            return of.read(keys, self.hot_keys, self.hot_keys)
        if self._slots is None:
            slots = np.flatnonzero(self.hot_keys >= 0)
            order = np.argsort(self.hot_keys[slots])
            self._slots = self.hot_keys[slots][order], slots[order]
        hot, slots = self._slots
        return of.read(keys, hot, slots)

    def export(self) -> tuple[list[Tensor], list[Tensor]]:
        """Copies on the host: T full tables [rows[t], D], and T states."""
        self.refresh()
        tables: list[Tensor] = []
        states: list[Tensor] = []
        for pool in self.pools:
            for whole, part in zip((tables, states), pool.export(self.hot_keys), strict=True):
                whole += part
        return tables, states

    def load(self, tables: list[Tensor], states: list[Tensor]) -> None:
        """Overwrites all rows and their states. Call it while no mini-batch is planned ahead."""
        self.settle()
        slots = np.flatnonzero(self.hot_keys >= 0)
        first = 0
        for pool in self.pools:
            own = slice(first, first + len(pool.tables.rows))
            pool.load(Rows(0, {"rows": torch.cat(tables[own]), "state": torch.cat(states[own])}))
            pool.place(self.hot_keys[slots], slots)
            first = own.stop

    def shards(self, size: int) -> Iterator[Rows]:
        """All rows with their states as they are at this call, on the host, at most `size` a shard. Training may go on
        while they are read, unless all rows are resident."""
        self.refresh()
        first, parts = 0, []
        for pool in self.pools:
            count = pool.count
            own = np.where((self.hot_keys >= first) & (self.hot_keys < first + count), self.hot_keys - first, -1)
            parts.append((first, pool.shards(own, size)))
            first += count
        return _joined(parts)

    def load_shards(self, shards: Iterable[Rows]) -> None:
        """Overwrites rows and states by what `shards` gave. Call it while no mini-batch is planned ahead."""
        self.settle()
        bases = np.cumsum([0, *(pool.count for pool in self.pools)])
        for shard in shards:
            number = int(np.searchsorted(bases, shard.first, side="right")) - 1
            self.pools[number].load(_moved(shard, -int(bases[number])))
        slots = np.flatnonzero(self.hot_keys >= 0)
        for pool in self.pools:
            pool.place(self.hot_keys[slots], slots)

    def close(self) -> None:
        """Returns when the device has nothing left to do. What was trained can still be read."""
        self.link.close()


@begun
def _joined(parts: list[tuple[int, Iterator[Rows]]]) -> Generator[Rows]:
    """The shards of several pools, each with the key of its first row."""
    try:
        yield  # type: ignore[misc]
        for first, shards in parts:
            yield from map(partial(_moved, by=first), shards)  # a loop would hold a shard while the next is made
    finally:
        for _, shards in parts:
            shards.close()  # type: ignore[attr-defined]  # what is not read any more is not kept any more


def _moved(shard: Rows, by: int) -> Rows:
    """A shard whose keys are larger."""
    named = {"keys": shard.tensors["keys"] + by} if "keys" in shard.tensors else {}
    return Rows(shard.first + by, shard.tensors | named)


def _check_popular(batch: Batch, split: Split) -> None:
    """Raises ValueError unless all lookups of a popular sample are hot."""
    popular = split.popular
    if popular.shape != (batch.size,) or popular.dtype != bool:
        raise ValueError(f"popular is {popular.dtype} {popular.shape}; it must be bool {(batch.size,)}")
    if split.slots.shape != batch.indices.shape:
        raise ValueError(f"slots is {split.slots.shape}; it must be {batch.indices.shape}, one for each lookup")
    at = _first_cold(split.slots, batch.sample_offsets, popular)
    if at >= 0:
        sample = int(np.searchsorted(batch.sample_offsets, at, side="right")) - 1
        raise ValueError(
            f"sample {sample} is called popular, but its lookup {at}, of row {batch.indices[at]} of table "
            f"{batch.tables[at]}, is cold"
        )


@compiled()
def _first_cold(slots, offsets, popular):
    """The first cold lookup of a popular sample, or -1."""
    for sample in range(len(popular)):
        if popular[sample]:
            for at in range(offsets[sample], offsets[sample + 1]):
                if slots[at] < 0:
                    return at
    return -1
