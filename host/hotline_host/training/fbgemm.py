"""The step with FBGEMM's table-batched embedding, which keeps the rows and updates them in its backward pass.

On a CPU the rows are in host memory. On a GPU they are in host memory that the GPU can reach (UVM), behind FBGEMM's
32-way row cache in device memory; all of them are in device memory if the cache would hold them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hotline_host.data.log import Batch
from hotline_host.errors import SettingsError

from .checkpoint import Rows
from .host_table import host_table
from .losses import Losses
from .trainer import TrainConfig, Trainer

__all__ = ["FbgemmInputs", "FbgemmTrainer"]

_MISSES = 3
"""Place of the unique misses in FBGEMM's statistics of its cache (UVMCacheStatsIndex.num_unique_misses)."""


@dataclass(frozen=True)
class FbgemmInputs:
    """What a step reads, on the device.

    Attributes:
        indices: int64 [n], table-major: table, then sample, then position in the bag.
        offsets: int64 [T * B + 1], where each bag begins.
        dense: [B, F].
        label: [B].
    """

    indices: Tensor
    offsets: Tensor
    dense: Tensor
    label: Tensor

    @property
    def nbytes(self) -> int:
        return self.indices.nbytes + self.offsets.nbytes + self.dense.nbytes + self.label.nbytes


class FbgemmTrainer(Trainer):
    """Arguments as `Trainer`.

    Args:
        cached_rows: rows that the cache in device memory may hold. Not used on a CPU.

    Attributes:
        operator: FBGEMM's.
        bytes_in: inputs copied to the device so far. `missed_bytes` has what came through the cache.

    Raises:
        SettingsError: FBGEMM cannot be imported, or cannot train as it is told to.
    """

    def __init__(
        self,
        config: TrainConfig,
        rows: np.ndarray,
        cached_rows: int,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        seed: int = 0,
    ) -> None:
        if dtype != torch.float32:
            raise SettingsError(f"dtype is {dtype}; FBGEMM's operator trains float32 rows here")
        super().__init__(config, rows, device, dtype, seed)
        self.bytes_in = 0
        self.operator = _operator(config, self.tables.rows.tolist(), cached_rows, self.device)
        self._prefetch_stream = torch.cuda.Stream(self.device) if self.operator.prefetch_pipeline else None
        self._losses = Losses(self.device, dtype)
        table = host_table(rows, config.model.dimension, seed=self.table_seed, dtype=dtype)
        self._load_rows(list(table.split(self.tables.rows.tolist())), [])

    @property
    def device_bytes(self) -> int:
        """Device memory of embedding rows, their state, and what the cache needs."""
        if self.device.type == "cpu":
            return 0
        # In tensors on the GPU's name there are those of host memory too, which it reaches through UVM.
        hosts = {self.operator.weights_uvm.data_ptr(), self.operator.momentum1_uvm.data_ptr()}
        tensors = [*self.operator.parameters(), *self.operator.buffers()]
        return sum(each.nbytes for each in tensors if each.is_cuda and each.data_ptr() not in hosts)

    @property
    def missed_bytes(self) -> int:
        """Bytes of the rows that came through the cache. Waits for the device."""
        if not self._cached:
            return 0
        misses = int(self.operator.get_uvm_cache_stats()[_MISSES])
        return misses * self.operator.embedding_specs[0][1] * self.dtype.itemsize

    def pack(self, batch: Batch) -> FbgemmInputs:
        """Lays out what the step on a mini-batch reads, and copies it to the device.

        Raises:
            IndexError: a lookup is outside its table.
        """
        self._check(batch)
        self.tables.keys(batch.tables, batch.indices)  # FBGEMM does not check
        samples, tables = batch.lengths.shape
        if len(batch.indices) == samples * tables and (batch.lengths == 1).all():
            indices = batch.indices.reshape(samples, tables).T.reshape(-1)
        else:
            # A stable sort of numbers this short is a radix sort.
            indices = batch.indices[np.argsort(batch.tables.astype(np.uint16), kind="stable")]
        offsets = np.zeros(samples * tables + 1, np.int64)
        np.cumsum(batch.lengths.T.reshape(-1), out=offsets[1:])
        tensors = torch.tensor(indices), torch.from_numpy(offsets), self._tensor(batch.dense), self._tensor(batch.label)
        inputs = FbgemmInputs(*map(self._send, tensors))
        self.bytes_in += inputs.nbytes if self.device.type == "cuda" else 0
        return inputs

    def prefetch(self, inputs: FbgemmInputs) -> None:
        """Brings the rows of the next mini-batch into the cache, beside the step. Rows in use stay there."""
        if self._prefetch_stream is None:
            return
        current = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._prefetch_stream):
            self.operator.prefetch(inputs.indices, inputs.offsets, forward_stream=current)

    def step(self, inputs: FbgemmInputs) -> None:
        """One optimizer step. Where there is a cache, `prefetch` was called for these inputs before."""
        if self._prefetch_stream is not None:
            torch.cuda.current_stream(self.device).wait_stream(self._prefetch_stream)
        samples = len(inputs.label)
        rows = self.operator(inputs.indices, inputs.offsets)
        pooled = rows.detach().view(samples * len(self.tables.rows), -1)
        self.dense_optimizer.zero_grad()
        loss, gradient = self._backward(inputs.dense, inputs.label, pooled, samples)
        rows.backward(gradient.view_as(rows))  # updates the rows
        self.dense_optimizer.step()
        self._losses.record(loss)

    @torch.no_grad()
    def drop(self, inputs: FbgemmInputs) -> None:
        """Forgets a mini-batch that was prefetched."""
        if self._prefetch_stream is not None:
            torch.cuda.current_stream(self.device).wait_stream(self._prefetch_stream)
            self.operator(inputs.indices, inputs.offsets)

    def losses(self) -> np.ndarray:
        return self._losses.take()

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @torch.no_grad()
    def predict(self, batch: Batch) -> np.ndarray:
        # Not by the operator: on a GPU it would take the rows that were prefetched for the next step.
        inputs, samples = self.pack(batch), batch.size
        self.synchronize()
        starts = inputs.offsets[::samples].tolist()
        bags = [
            F.embedding_bag(
                inputs.indices[start:stop], rows, inputs.offsets[t * samples : (t + 1) * samples] - start, mode="sum"
            )
            for t, (rows, start, stop) in enumerate(zip(self._rows(), starts[:-1], starts[1:], strict=True))
        ]
        return self.model(inputs.dense, torch.stack(bags, dim=1)).double().cpu().numpy()

    def export(self) -> tuple[list[Tensor], list[Tensor]]:
        tables = [table.cpu().clone() for table in self._rows()]
        states = [state.cpu().clone() for state in self._states()]
        return tables, states or [torch.zeros(len(table), dtype=self.dtype) for table in tables]

    saves_beside = False

    def shards(self, size: int) -> Iterator[Rows]:
        tables, accumulators = self.export()
        first = 0
        for rows, state in zip(tables, accumulators, strict=True):
            for begin in range(0, len(rows), size):
                at = slice(begin, begin + size)
                yield Rows(first + begin, {"rows": rows[at], "state": state[at]})
            first += len(rows)

    def load_shards(self, shards: Iterable[Rows]) -> None:
        parts = [shard.tensors for shard in shards]
        sizes = self.tables.rows.tolist()
        self._load_rows(*([*torch.cat([part[name] for part in parts]).split(sizes)] for name in ("rows", "state")))

    def _load_rows(self, tables: list[Tensor], accumulators: list[Tensor]) -> None:
        for ours, theirs in zip(self._rows(), tables, strict=True):
            ours.copy_(theirs)
        for ours, theirs in zip(self._states(), accumulators, strict=False):  # SGD has none, nor has a new model
            ours.copy_(theirs)
        if self._cached:
            self.operator.reset_cache_states()

    @property
    def _cached(self) -> bool:
        return self.device.type == "cuda" and self.operator.lxu_cache_weights.numel() > 0

    def _rows(self) -> list[Tensor]:
        """The rows of each table [rows, D], where they live. Those in the cache are written back first."""
        self.operator.flush()
        return [table.detach() for table in self.operator.split_embedding_weights()]

    def _states(self) -> list[Tensor]:
        """The accumulators of each table [rows]; none with an optimizer that has no state."""
        return [state for (state,) in self.operator.split_optimizer_states() or []]

    def _send(self, tensor: Tensor) -> Tensor:
        """On a GPU the copy is launched on the stream that uses it next, and not waited for."""
        if self.device.type == "cpu":
            return tensor
        with torch.cuda.stream(self._prefetch_stream):  # None: the current one
            return tensor.pin_memory().to(self.device, non_blocking=True)


def _operator(config: TrainConfig, rows: list[int], cached_rows: int, device: torch.device) -> Any:
    """FBGEMM's operator over tables of `rows`."""
    try:
        from fbgemm_gpu.split_embedding_configs import EmbOptimType
        from fbgemm_gpu.split_table_batched_embeddings_ops_common import (
            BoundsCheckMode,
            EmbeddingLocation,
            PoolingMode,
        )
        from fbgemm_gpu.split_table_batched_embeddings_ops_training import (
            ComputeDevice,
            SplitTableBatchedEmbeddingBagsCodegen,
        )
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"fbgemm needs the Python package {error.name}, which is not installed: fbgemm-gpu for a GPU, "
            "fbgemm-gpu-cpu for a CPU, of the release that fits this torch"
        ) from None
    except (ImportError, OSError, RuntimeError) as error:  # built for another torch
        raise SettingsError(f"fbgemm_gpu cannot be imported beside torch {torch.__version__}: {error}") from None
    location, compute = EmbeddingLocation.HOST, ComputeDevice.CPU
    options: dict[str, Any] = {}
    if device.type == "cuda":
        compute = ComputeDevice.CUDA
        location = EmbeddingLocation.DEVICE if cached_rows >= sum(rows) else EmbeddingLocation.MANAGED_CACHING
        if location is EmbeddingLocation.MANAGED_CACHING:
            options = {
                "cache_load_factor": cached_rows / sum(rows), "prefetch_pipeline": True, "gather_uvm_cache_stats": True,
            }  # fmt: skip
    optimizer = EmbOptimType.EXACT_SGD if config.optimizer == "sgd" else EmbOptimType.EXACT_ROWWISE_ADAGRAD
    return SplitTableBatchedEmbeddingBagsCodegen(
        [(count, config.model.dimension, location, compute) for count in rows],
        optimizer=optimizer, learning_rate=config.rate, eps=config.eps, pooling_mode=PoolingMode.SUM, device=device,
        stochastic_rounding=False, bounds_check_mode=BoundsCheckMode.NONE, **options,
    )  # fmt: skip
