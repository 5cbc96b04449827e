"""The ordinary step: full tables in host memory, one forward and one backward pass over the mini-batch.

With a GPU this is the usual CPU-GPU DLRM: embedding bags and their update on the CPU, the dense part on the GPU. No row
is hot. What does not depend on parameters is done beside the step before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hotline_host.data.log import Batch

from .checkpoint import Rows
from .host_rows import HostRows
from .inputs import StepInputs, StepSize
from .kernels import TorchKernels
from .link import HostLink, link_to
from .losses import Losses
from .trainer import TrainConfig, Trainer

__all__ = ["OrdinaryTrainer"]

_NO_MOVES = np.empty(0, np.int32), np.empty(0, np.int32)


class OrdinaryTrainer(Trainer):
    """Hotline's rival and its reference. Arguments as `Trainer`.

    Args:
        size: of the largest mini-batch.
        folder, lazy: as `HostRows`.

    Attributes:
        table: [R, D] in host memory, all tables end to end.
        accumulator: [R], the optimizer's state of each row.
    """

    def __init__(
        self,
        config: TrainConfig,
        rows: np.ndarray,
        size: StepSize,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        seed: int = 0,
        folder: Path | None = None,
        lazy: bool = False,
    ) -> None:
        super().__init__(config, rows, device, dtype, seed)
        self.host = HostRows(
            rows, config.model.dimension, state=(), dtype=dtype, seed=self.table_seed, folder=folder, lazy=lazy
        )
        self.table, self.accumulator = self.host.rows, self.host.state
        self.link = link_to(self.device)
        self.kernels = TorchKernels()
        self._inputs = [StepInputs(size, len(self.table) + 1, HostLink(), dtype) for _ in range(2)]
        self._losses = Losses(self.device, dtype)
        bags, width = size.samples * size.tables, config.model.dimension
        shapes = {"pooled": (bags, width), "dense": (size.samples, size.features), "label": (size.samples,)}
        self._host = {name: self.link.host_buffer(*shape, dtype=dtype) for name, shape in shapes.items()}
        self._gradient = self.link.host_buffer(bags, width, dtype=dtype)
        self._batches = 0

    @property
    def device_bytes(self) -> int:
        """Device memory of embedding rows, their state, and the buffers of the steps."""
        return 0 if self.device.type == "cpu" else 2 * sum(buffer.nbytes for buffer in self._host.values())

    def pack(self, batch: Batch) -> StepInputs:
        """Lays out what the step on a mini-batch reads. The step before the last must have ended."""
        self._check(batch)
        inputs = self._inputs[self._batches % 2]
        self._batches += 1
        keys = self.tables.batch_keys(batch)
        self.host.touch(keys)
        inputs.pack(batch, keys, _NO_MOVES)
        return inputs

    def step(self, inputs: StepInputs) -> None:
        """One optimizer step on a mini-batch that was packed."""
        (part,) = inputs.parts
        pooled = self.kernels.pooled_sum(self.table, *inputs.lookups_of(part))
        dense, label = inputs.dense(part)
        pooled, dense, label = (
            self._send(name, tensor) for name, tensor in (("pooled", pooled), ("dense", dense), ("label", label))
        )
        self.dense_optimizer.zero_grad()
        loss, gradient = self._backward(dense, label, pooled, inputs.samples)
        if self.device.type != "cpu":
            arrived = self._gradient[: len(gradient)]
            self.link.bytes_out += gradient.nbytes
            gradient = arrived.copy_(gradient, non_blocking=True)
            done = torch.cuda.Event()
            done.record()
        self.dense_optimizer.step()
        self._losses.record(loss)
        if self.device.type != "cpu":
            done.synchronize()  # the update of the rows needs it, and the next forward pass needs that
        groups = inputs.groups()
        self.host.changing(groups.rows[: groups.row_count].numpy())
        self.kernels.update_rows(self.row_optimizer, self.table, self.accumulator, gradient, groups)

    def losses(self) -> np.ndarray:
        return self._losses.take()

    def synchronize(self) -> None:
        self.link.synchronize()

    @torch.no_grad()
    def predict(self, batch: Batch) -> np.ndarray:
        self._check(batch)
        keys = self.tables.keys(batch.tables, batch.indices)
        self.host.touch(keys)
        ids = torch.from_numpy(keys.astype(np.int32))
        offsets = np.concatenate([[0], np.cumsum(batch.lengths.ravel())]).astype(np.int32)
        pooled = self.kernels.pooled_sum(self.table, ids, torch.from_numpy(offsets)).to(self.device)
        dense = self._tensor(batch.dense).to(self.device)
        return self._logits(dense, pooled.view(*batch.lengths.shape, -1)).double().cpu().numpy()

    def export(self) -> tuple[list[Tensor], list[Tensor]]:
        self.host.touch_all()
        sizes = self.tables.rows.tolist()
        return list(self.table.split(sizes)), list(self.accumulator.split(sizes))

    def shards(self, size: int) -> Iterator[Rows]:
        return self.host.shards(size)

    def load_shards(self, shards: Iterable[Rows]) -> None:
        for shard in shards:
            self.host.load(shard)

    def _load_rows(self, tables: list[Tensor], accumulators: list[Tensor]) -> None:
        self.host.touch_all()
        self.table.copy_(torch.cat(tables))
        self.accumulator.copy_(torch.cat(accumulators))

    def _send(self, name: str, tensor: Tensor) -> Tensor:
        """Copies a host tensor to the device, through pinned memory if that is a GPU. Does not wait."""
        if self.device.type == "cpu":
            return tensor
        pinned = self._host[name][: len(tensor)].copy_(tensor)
        self.link.bytes_in += pinned.nbytes
        return pinned.to(self.device, non_blocking=True)
