"""A pool with every row of its tables: nothing is ever copied or moved. The pool id of a row is its key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hotline_host.pool.planner import PoolShape, StepPlan
from hotline_host.pool.rows import TableRows

from .checkpoint import Rows
from .host_table import host_table
from .kernels import Kernels
from .pool import EmbeddingPool

__all__ = ["ResidentPool"]


class ResidentPool(EmbeddingPool):
    """All rows of T tables, on the device and nowhere else.

    Args:
        first_key: the key of the first row.
        Others as `EmbeddingPool`.
    """

    def __init__(
        self,
        tables: TableRows,
        dimension: int,
        *,
        device: torch.device,
        dtype: torch.dtype,
        seed: int,
        state: tuple[int, ...],
        first_key: int = 0,
        folder: Path | None = None,
    ) -> None:
        self.tables, self.check, self.first_id = tables, False, first_key
        self.region = self.staging = None
        self.shape = PoolShape(int(tables.bases[-1]), 0)
        self.rows = host_table(tables.rows, dimension, seed=seed, dtype=dtype, folder=folder).to(device)
        self.state = torch.zeros(len(self.rows), *state, dtype=dtype, device=device)
        self.cold, self.cold_state = self.rows, self.state

    def make_room(self, shape: PoolShape) -> None:
        pass

    def touch(self, keys: np.ndarray) -> None:
        pass

    def fetch(self, half: int, place: int, keys: np.ndarray) -> None:
        pass

    def write_back(self, half: int, places: np.ndarray, keys: np.ndarray) -> None:
        pass

    def copy_in(self, kernels: Kernels, plan: StepPlan) -> None:
        pass

    def move(self, kernels: Kernels, source: Tensor, target: Tensor) -> None:
        pass

    def copy_out(self, plan: StepPlan) -> None:
        pass

    def place(self, keys: np.ndarray, slots: np.ndarray) -> None:
        pass

    def unplace(self, keys: np.ndarray, slots: np.ndarray) -> None:
        pass

    def read(self, keys: np.ndarray, hot: np.ndarray, slots: np.ndarray) -> Tensor:
        return self.rows.index_select(0, torch.from_numpy(keys - self.first_id).to(self.rows.device))

    def export(self, key_of: np.ndarray) -> tuple[list[Tensor], list[Tensor]]:
        sizes = self.tables.rows.tolist()
        full, states = (each.cpu() if each.is_cuda else each.clone() for each in (self.rows, self.state))
        return list(full.split(sizes)), list(states.split(sizes))

    def shards(self, key_of: np.ndarray, size: int) -> Iterator[Rows]:
        """All rows, which must not change before all are read."""
        for first in range(0, len(self.rows), size):
            rows, state = (each[first : first + size].cpu() for each in (self.rows, self.state))
            yield Rows(first, {"rows": rows, "state": state})

    def load(self, shard: Rows) -> None:
        names = shard.tensors.get("keys")
        at = slice(shard.first, shard.first + len(shard.tensors["rows"])) if names is None else names
        self.rows[at] = shard.tensors["rows"].to(self.rows.device)
        self.state[at] = shard.tensors["state"].to(self.rows.device)
