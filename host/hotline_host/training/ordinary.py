"""The ordinary trainer: one mini-batch at a time over full tables in host memory. Hotline's rival, and its reference.

On a GPU it is the usual CPU-GPU DLRM: embedding bags and their update on the CPU, the dense part on the GPU. It knows
nothing of hot rows.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hotline_host.data.log import Batch

from .bags import Bags, group, send
from .store import initial_table
from .trainer import TrainConfig, Trainer

__all__ = ["OrdinaryTrainer"]


class OrdinaryTrainer(Trainer):
    """Arguments as `Trainer`.

    Attributes:
        table: [R, D] in host memory, all tables end to end; `accumulator` [R].
    """

    def __init__(
        self,
        config: TrainConfig,
        rows: np.ndarray,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        seed: int = 0,
    ) -> None:
        super().__init__(config, rows, device, dtype, seed)
        self.table = initial_table(rows, config.model.dimension, seed=self.table_seed, dtype=dtype)
        self.accumulator = torch.zeros(len(self.table), dtype=dtype)

    def step(self, batch: Batch) -> float:
        """One optimizer step on a mini-batch; returns its mean BCE before the step."""
        bags = self._bags(batch)
        pooled = send(bags.pool(self.table), self.device)
        dense, label = (send(self._tensor(values), self.device) for values in (batch.dense, batch.label))
        self.dense_optimizer.zero_grad()
        loss, gradient = self._backward(dense, label, pooled, batch.size)
        self.dense_optimizer.step()
        grouped = group(bags.ids)
        row_gradient = grouped.gradient(bags.bags, gradient.cpu())
        self.row_optimizer.update(self.table, self.accumulator, grouped.rows, row_gradient)
        return float(loss)

    @torch.no_grad()
    def predict(self, batch: Batch) -> np.ndarray:
        pooled = send(self._bags(batch).pool(self.table), self.device).view(*batch.lengths.shape, -1)
        return self.model(send(self._tensor(batch.dense), self.device), pooled).double().cpu().numpy()

    def export(self) -> tuple[list[Tensor], list[Tensor]]:
        sizes = self.tables.rows.tolist()
        return list(self.table.split(sizes)), list(self.accumulator.split(sizes))

    def _load_rows(self, tables: list[Tensor], accumulators: list[Tensor]) -> None:
        self.table.copy_(torch.cat(tables))
        self.accumulator.copy_(torch.cat(accumulators))

    def _bags(self, batch: Batch) -> Bags:
        self._check(batch)
        keys = self.tables.keys(batch.tables, batch.indices)
        bags = np.repeat(np.arange(batch.lengths.size), batch.lengths.ravel())
        return Bags(torch.from_numpy(keys), torch.from_numpy(bags), batch.lengths.size)
