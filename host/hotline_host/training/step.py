"""The split step: a mini-batch as a popular and a non-popular micro-batch, and one optimizer step for both.

    host     split | slots of both     | cold rows: group, gather  | ...                      | cold rows: update
    device         |     popular: forward, backward; others: hot   | others: + cold, forward, | hot rows, dense: update
                         rows of every bag pooled                    backward

Working parameters come gathered by the accelerator (`working.py`), or else the host gathers them. Work for a GPU is
launched, not waited for: that happens while the popular micro-batch runs, and the hot rows of the other one are pooled.
So of a multi-hot bag its cold rows alone come from the host.
Both micro-batches read the same version of every parameter. Gradients weigh by share of samples and are coalesced
per row over both before the update, so the step equals the ordinary one up to floating-point re-association.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hotline_device.host_memory import HostMemory
from hotline_host.data.log import Batch
from hotline_host.plan import Moves, Working

from .bags import Bags, Grouped, group, send
from .store import EmbeddingStore, OwnershipError
from .trainer import TrainConfig, Trainer

__all__ = ["SplitTrainer"]


class _Lookups:
    """A mini-batch's lookups with where each row lives.

    Attributes:
        keys: int64 [n], row of each lookup, numbered through all tables.
        slots: int64 [n], slot of that row in the hot table, -1 where it is cold.
        sample: int64 [n], sample of each lookup; `tables` int64 [n], its table.
    """

    def __init__(self, batch: Batch, keys: np.ndarray, slots: np.ndarray) -> None:
        self.keys, self.slots, self.tables = keys, slots, batch.tables
        self.sample = np.repeat(np.arange(batch.size), np.diff(batch.sample_offsets))
        self.table_count = batch.lengths.shape[1]

    def bags(self, ids: np.ndarray, chosen: np.ndarray, members: np.ndarray) -> Bags:
        """Bags of the micro-batch that holds the samples bool [B] `members`, with the lookups bool [n] `chosen`."""
        position = np.cumsum(members) - 1
        bags = position[self.sample[chosen]] * self.table_count + self.tables[chosen]
        return Bags(torch.from_numpy(ids[chosen]), torch.from_numpy(bags), int(members.sum()) * self.table_count)


class _Cold(NamedTuple):
    """Cold lookups of a micro-batch.

    Attributes:
        bags: by row of `working`, which is [m, D] on the device.
        grouped: by that too.
        keys: int64 [u], the rows that are grouped, numbered through all tables.
    """

    bags: Bags
    working: Tensor
    grouped: Grouped
    keys: Tensor


class SplitTrainer(Trainer):
    """Hotline's trainer: hot rows on the device, cold rows in host memory. Every row is cold at first.

    Args:
        hot_rows: slots of the hot table.
        memory: as `EmbeddingStore`.
        Others as `Trainer`.
    """

    def __init__(
        self,
        config: TrainConfig,
        rows: np.ndarray,
        hot_rows: int,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        seed: int = 0,
        memory: HostMemory | None = None,
    ) -> None:
        super().__init__(config, rows, device, dtype, seed)
        self.store = EmbeddingStore(
            rows, config.model.dimension, hot_rows, device=self.device, dtype=dtype, seed=self.table_seed,
            memory=memory,
        )  # fmt: skip

    def place(self, tables: np.ndarray, rows: np.ndarray, slots: np.ndarray) -> int:
        """Makes row `rows[i]` of table `tables[i]` the row in `slots[i]`, for all i, and every other row cold.

        Returns how many rows moved. Between mini-batches only. Raises OwnershipError where a row or a slot is
        named twice, IndexError where one does not exist; then nothing has moved.
        """
        return self.store.place(self.tables.keys(tables, rows), slots)

    def move(self, moves: Moves) -> int:
        """Moves rows as a SELECT says. Between mini-batches only, and before any that was split after that SELECT.

        Returns how many rows moved. Raises OwnershipError where a row or a slot is not as the accelerator takes it to
        be, IndexError where one does not exist; then nothing has moved.
        """
        evicted = np.full(len(moves), -1)
        leaving = moves.evicted_tables >= 0
        evicted[leaving] = self.tables.keys(moves.evicted_tables[leaving], moves.evicted_rows[leaving])
        return self.store.apply(moves.slots, self.tables.keys(moves.tables, moves.rows), evicted)

    def step(self, batch: Batch, popular: np.ndarray, slots: np.ndarray, working: Working | None = None) -> float:
        """One optimizer step on a mini-batch; returns its mean BCE before the step.

        Args:
            popular: bool [B], samples of the popular micro-batch.
            slots: int64 [n], in input order: each lookup's slot in the hot table, -1 where its row is cold.
            working: its cold rows; None: the host gathers them.

        Raises:
            OwnershipError: a slot is not where the row lives, or a place among the working parameters not of the row.
            ValueError: a popular sample has a cold lookup, or a length does not match. Nothing has changed then.
        """
        lookups = self._lookups(batch, popular, slots)
        if working:
            self._check_working(lookups, working)
        self.dense_optimizer.zero_grad()
        loss = torch.zeros((), dtype=self.dtype, device=self.device)
        gradients = []

        # Popular micro-batch: slots index the hot table as they are.
        popular_bags = lookups.bags(lookups.slots, popular[lookups.sample], popular)
        if popular.any():
            pooled = popular_bags.pool(self.store.hot)
            part, gradient = self._backward(*self._inputs(batch, popular), pooled, batch.size)
            loss += part
            gradients.append(gradient)

        # Non-popular micro-batch: working parameters come from host memory while the device is busy with what is hot.
        others = ~popular
        hot_bags, pooled = self._pool_hot(lookups, others)
        cold = self._cold(lookups, others, working)
        if others.any():
            pooled += cold.bags.pool(cold.working)
            part, gradient = self._backward(*self._inputs(batch, others), pooled, batch.size)
            loss += part
            gradients.append(gradient)

        # One update. Hot rows first, launched; the cold rows' gradient is what the host waits for.
        self.dense_optimizer.step()
        hot = group(torch.cat([popular_bags.ids, hot_bags.ids]))
        bags = torch.cat([popular_bags.bags, popular_bags.count + hot_bags.bags])
        hot_gradient = hot.gradient(bags, torch.cat(gradients))
        store = self.store
        self.row_optimizer.update(store.hot, store.hot_accumulator, send(hot.rows, self.device), hot_gradient)
        if len(cold.keys):
            cold_gradient = cold.grouped.gradient(cold.bags.bags, gradients[-1]).cpu()
            self.row_optimizer.update(store.cold, store.cold_accumulator, cold.keys, cold_gradient)
        return float(loss)

    @torch.no_grad()
    def predict(self, batch: Batch) -> np.ndarray:
        self._check(batch)
        everyone = np.ones(batch.size, dtype=bool)
        keys = self.tables.keys(batch.tables, batch.indices)
        lookups = _Lookups(batch, keys, self.store.slot_of[keys].astype(np.int64))
        _, pooled = self._pool_hot(lookups, everyone)
        cold = self._cold(lookups, everyone, None)
        pooled += cold.bags.pool(cold.working)
        dense, _ = self._inputs(batch, everyone)
        return self.model(dense, pooled.view(*batch.lengths.shape, -1)).double().cpu().numpy()

    def export(self) -> tuple[list[Tensor], list[Tensor]]:
        return self.store.export()

    def _load_rows(self, tables: list[Tensor], accumulators: list[Tensor]) -> None:
        self.store.load(torch.cat(tables), torch.cat(accumulators))

    def _lookups(self, batch: Batch, popular: np.ndarray, slots: np.ndarray) -> _Lookups:
        """The split, checked against the mini-batch and against the owners."""
        self._check(batch)
        if popular.shape != (batch.size,) or popular.dtype != bool:
            raise ValueError(f"popular is {popular.dtype} {popular.shape}; it must be bool {(batch.size,)}")
        if slots.shape != batch.indices.shape:
            raise ValueError(f"slots is {slots.shape}; it must be {batch.indices.shape}, one for each lookup")
        keys = self.tables.keys(batch.tables, batch.indices)
        self.store.check_owner(keys, slots)
        lookups = _Lookups(batch, keys, slots.astype(np.int64, copy=False))
        cold = popular[lookups.sample] & (slots < 0)
        if cold.any():
            at = int(cold.argmax())
            row = self.tables.name(int(keys[at]))
            raise ValueError(f"sample {lookups.sample[at]} is called popular, but its lookup of {row} is cold")
        return lookups

    def _pool_hot(self, lookups: _Lookups, members: np.ndarray) -> tuple[Bags, Tensor]:
        """A micro-batch's hot lookups by slot, and what they pool to, [bags, D] on the device."""
        bags = lookups.bags(lookups.slots, members[lookups.sample] & (lookups.slots >= 0), members)
        return bags, bags.pool(self.store.hot)

    def _check_working(self, lookups: _Lookups, working: Working) -> None:
        """Raises OwnershipError unless every cold lookup, and no other, has the place of its row."""
        cold, places = lookups.slots < 0, working.places
        wrong = cold != (places >= 0)
        if not wrong.any():
            wrong[cold] = working.keys[places[cold]] != lookups.keys[cold]
        if wrong.any():
            at = int(wrong.argmax())
            raise OwnershipError(
                f"lookup {at}: {self.tables.name(int(lookups.keys[at]))} is {'cold' if cold[at] else 'hot'}, and "
                f"place {places[at]} of the working parameters is not its own"
            )

    def _cold(self, lookups: _Lookups, members: np.ndarray, working: Working | None) -> _Cold:
        """A micro-batch's cold lookups, with the working parameters that they look up."""
        chosen = members[lookups.sample] & (lookups.slots < 0)
        if working:
            bags = lookups.bags(working.places, chosen, members)
            grouped = group(bags.ids)
            keys = torch.from_numpy(working.keys)[grouped.rows]
            return _Cold(bags, send(torch.from_numpy(working.rows), self.device), grouped, keys)
        bags = lookups.bags(lookups.keys, chosen, members)
        grouped = group(bags.ids)
        rows = send(self.store.gather(grouped.rows), self.device)
        return _Cold(Bags(grouped.positions(), bags.bags, bags.count), rows, grouped, grouped.rows)

    def _inputs(self, batch: Batch, members: np.ndarray) -> tuple[Tensor, Tensor]:
        """Dense features [b, F] and labels [b] of the samples bool [B] `members`, on the device."""
        dense, label = self._tensor(batch.dense[members]), self._tensor(batch.label[members])
        return send(dense, self.device), send(label, self.device)
