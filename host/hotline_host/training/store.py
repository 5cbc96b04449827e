"""Embedding rows in two places: hot rows by slot on the training device, cold rows in host memory.

If an accelerator reaches that host memory, it can gather cold rows by DMA.

A row has one owner at a time: a slot of the hot table if it is hot, host memory if it is cold. Storage that owns
nothing (the host's copy of a hot row, a free slot) holds NaN, so reading it by mistake shows at once.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hotline_device.host_memory import HostMemory
from hotline_host.pool.rows import OwnershipError, TableRows

__all__ = ["EmbeddingStore", "OwnershipError", "TableRows", "initial_table"]


def initial_table(rows: np.ndarray, dimension: int, *, seed: int, dtype: torch.dtype) -> Tensor:
    """[sum(rows), D] on the host: all tables end to end, table t uniform within +-1/sqrt(rows[t]).

    The values depend on `rows`, `dimension` and `seed` alone. They are drawn in float32, so every dtype starts from the
    same ones.
    """
    generator = torch.Generator().manual_seed(seed)
    table = torch.empty(int(np.sum(rows)), dimension, dtype=dtype)
    for part, count in zip(table.split([int(r) for r in rows]), rows, strict=True):
        bound = max(1, int(count)) ** -0.5
        part.copy_(torch.empty(part.shape, dtype=torch.float32).uniform_(-bound, bound, generator=generator))
    return table


class EmbeddingStore:
    """All rows of T tables with their optimizer state, each with one owner. At first every row is cold.

    Args:
        rows: [T], rows of each table.
        dimension: D.
        hot_rows: slots of the hot table.
        device: where the hot table lives.
        dtype: of rows and accumulators.
        seed: of the initial rows. Their values do not depend on where they live.
        memory: an accelerator's memory, to keep the cold rows in. None: the host's own.

    Attributes:
        tables: numbers the rows through: a key is that number.
        cold: [R, D] in host memory, by key.
        cold_accumulator: [R], always in the host's own memory.
        region: the region of `memory` that holds `cold`, from its first byte on; None without `memory`.
        hot: [hot_rows, D] on the device, by slot.
        hot_accumulator: [hot_rows] on the device.
        slot_of: int32 [R], the slot of each row, -1 if it is cold.
        key_of: int64 [hot_rows], the key of the row in each slot, -1 if the slot is free.
    """

    def __init__(
        self,
        rows: np.ndarray,
        dimension: int,
        hot_rows: int,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        seed: int = 0,
        memory: HostMemory | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.tables = TableRows(rows)
        self.cold = initial_table(self.tables.rows, dimension, seed=seed, dtype=dtype)
        self.region = memory.allocate("tables", self.cold.nbytes) if memory else None
        if self.region:
            # Viewed as bytes first, since NumPy and torch have different names for element types.
            shared = torch.from_numpy(self.region.array(self.cold.nbytes, np.uint8)).view(dtype)
            self.cold = shared.view(self.cold.shape).copy_(self.cold)
        self.cold_accumulator = torch.zeros(len(self.cold), dtype=dtype)
        self.hot = torch.full((hot_rows, dimension), torch.nan, dtype=dtype, device=self.device)
        self.hot_accumulator = torch.full((hot_rows,), torch.nan, dtype=dtype, device=self.device)
        self.slot_of = np.full(len(self.cold), -1, dtype=np.int32)
        self.key_of = np.full(hot_rows, -1, dtype=np.int64)

    @property
    def row_bytes(self) -> int:
        """Bytes from one cold row to the next."""
        return self.cold.shape[1] * self.cold.itemsize

    # Ownership

    def check_owner(self, keys: np.ndarray, slots: np.ndarray) -> None:
        """Raises OwnershipError unless each row of `keys` lives in its slot of `slots`; -1 stands for cold."""
        wrong = self.slot_of[keys] != slots
        if wrong.any():
            at = int(wrong.argmax())
            raise OwnershipError(
                f"lookup {at}: {self.tables.name(int(keys[at]))} is taken to be {_place(int(slots[at]))}, "
                f"but it is {_place(int(self.slot_of[keys[at]]))}"
            )

    # Moving rows: between mini-batches only

    def promote(self, keys: np.ndarray, slots: np.ndarray) -> None:
        """Moves cold rows, with their accumulators, to free slots: all of them, or none with an OwnershipError."""
        keys, slots = self._checked(keys, slots)
        self.check_owner(keys, np.full(len(keys), -1))
        taken = self.key_of[slots] >= 0
        if taken.any():
            slot = int(slots[taken.argmax()])
            raise OwnershipError(
                f"slot {slot} already holds {self.tables.name(int(self.key_of[slot]))}; demote it first"
            )
        self.slot_of[keys] = slots
        self.key_of[slots] = keys
        here, there = torch.from_numpy(keys), torch.from_numpy(slots).to(self.device)
        for cold, hot in ((self.cold, self.hot), (self.cold_accumulator, self.hot_accumulator)):
            hot.index_copy_(0, there, cold.index_select(0, here).to(self.device))
            cold.index_fill_(0, here, torch.nan)

    def demote(self, slots: np.ndarray) -> None:
        """Moves the rows in `slots`, with their accumulators, back to host memory: all or none, as `promote`."""
        slots = np.asarray(slots, dtype=np.int64)
        keys = self.key_of[self._checked_slots(slots)]
        if (keys < 0).any():
            raise OwnershipError(f"slot {int(slots[(keys < 0).argmax()])} holds no row that could be demoted")
        self.slot_of[keys] = -1
        self.key_of[slots] = -1
        here, there = torch.from_numpy(keys), torch.from_numpy(slots).to(self.device)
        for cold, hot in ((self.cold, self.hot), (self.cold_accumulator, self.hot_accumulator)):
            cold.index_copy_(0, here, hot.index_select(0, there).cpu())
            hot.index_fill_(0, there, torch.nan)

    def place(self, keys: np.ndarray, slots: np.ndarray) -> int:
        """Makes `keys` in `slots` the whole hot set. Rows already in their slot stay. Returns how many rows moved."""
        keys, slots = self._checked(keys, slots)
        stays = self.slot_of[keys] == slots
        leaves = self.key_of >= 0
        leaves[slots[stays]] = False
        self.demote(leaves.nonzero()[0])
        self.promote(keys[~stays], slots[~stays])
        return int(leaves.sum()) + int((~stays).sum())

    def apply(self, slots: np.ndarray, keys: np.ndarray, evicted: np.ndarray) -> int:
        """Gives slots, free ones or those of rows that become cold, to cold rows: all or none, as `promote`.

        Args:
            slots, keys: int64 [m], the row that takes each slot; none twice.
            evicted: int64 [m], the row that leaves the slot, -1 if the slot is free.

        Returns:
            The number of rows that moved.
        """
        keys, slots = self._checked(keys, slots)
        evicted = np.asarray(evicted, dtype=np.int64)
        if evicted.shape != slots.shape:
            raise ValueError(f"evicted {evicted.shape} and slots {slots.shape} must be equally long")
        self.check_owner(keys, np.full(len(keys), -1))
        wrong = self.key_of[slots] != evicted
        if wrong.any():
            at = int(wrong.argmax())
            held, expected = (self._name(int(key)) for key in (self.key_of[slots[at]], evicted[at]))
            raise OwnershipError(f"move {at}: slot {slots[at]} is taken to hold {expected}, but it holds {held}")
        leaving = evicted >= 0
        self.demote(slots[leaving])
        self.promote(keys, slots)
        return len(keys) + int(leaving.sum())

    def gather(self, keys: Tensor) -> Tensor:
        """[u, D] in host memory, pinned if the device is a GPU: the cold rows of int64 [u] `keys`."""
        shape = (len(keys), self.cold.shape[1])
        working = torch.empty(shape, dtype=self.cold.dtype, pin_memory=self.device.type == "cuda")
        return torch.index_select(self.cold, 0, keys, out=working)

    def export(self) -> tuple[list[Tensor], list[Tensor]]:
        """Copies on the host: T full tables [rows[t], D], and T accumulators [rows[t]]."""
        used = self.key_of >= 0
        here, there = torch.from_numpy(self.key_of[used]), torch.from_numpy(used.nonzero()[0]).to(self.device)
        sizes = self.tables.rows.tolist()
        full = self.cold.index_copy(0, here, self.hot.index_select(0, there).cpu())
        accumulators = self.cold_accumulator.index_copy(0, here, self.hot_accumulator.index_select(0, there).cpu())
        return list(full.split(sizes)), list(accumulators.split(sizes))

    def load(self, table: Tensor, accumulators: Tensor) -> None:
        """Overwrites every row where it lives.

        Args:
            table: [R, D] on the host, by key; `accumulators` [R].
        """
        used = self.key_of >= 0
        here, there = torch.from_numpy(self.key_of[used]), torch.from_numpy(used.nonzero()[0]).to(self.device)
        pairs = ((self.cold, self.hot, table), (self.cold_accumulator, self.hot_accumulator, accumulators))
        for cold, hot, values in pairs:
            values = values.to(cold.dtype)
            cold.copy_(values).index_fill_(0, here, torch.nan)
            hot.index_copy_(0, there, values.index_select(0, here).to(self.device))

    def _name(self, key: int) -> str:
        return "no row" if key < 0 else self.tables.name(key)

    def _checked(self, keys: np.ndarray, slots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        keys, slots = np.asarray(keys, dtype=np.int64), np.asarray(slots, dtype=np.int64)
        if keys.shape != slots.shape or keys.ndim != 1:
            raise ValueError(f"keys {keys.shape} and slots {slots.shape} must be one-dimensional and equally long")
        outside = (keys < 0) | (keys >= len(self.slot_of))
        if outside.any():
            raise IndexError(f"key {int(keys[outside.argmax()])} is none of the {len(self.slot_of)} rows")
        if (twice := _repeated(keys)) is not None:
            raise OwnershipError(f"{self.tables.name(twice)} is given two slots; a row has one owner")
        return keys, self._checked_slots(slots)

    def _checked_slots(self, slots: np.ndarray) -> np.ndarray:
        outside = (slots < 0) | (slots >= len(self.key_of))
        if outside.any():
            raise IndexError(f"slot {int(slots[outside.argmax()])} is outside the hot table of {len(self.key_of)} rows")
        if (twice := _repeated(slots)) is not None:
            raise OwnershipError(f"slot {twice} is named twice; a slot holds one row")
        return slots


def _place(slot: int) -> str:
    return "cold" if slot < 0 else f"hot in slot {slot}"


def _repeated(values: np.ndarray) -> int | None:
    """A value that occurs more than once; None if there is none."""
    values = np.sort(values)
    again = values[1:] == values[:-1]
    return int(values[1:][again.argmax()]) if again.any() else None
