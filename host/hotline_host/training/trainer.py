"""What all trainers share: configuration, model, optimizers, checkpoints, and how their parameters compare."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hotline_host.data.log import Batch
from hotline_host.pool.rows import TableRows

from .checkpoint import Rows
from .dlrm import DLRM, ModelConfig
from .optim import OPTIMIZERS, dense_optimizer, row_optimizer
from .ranks import Alone, Ranks

__all__ = ["TrainConfig", "Trainer", "max_parameter_difference"]


@dataclass(frozen=True)
class TrainConfig:
    """What is trained and how.

    Attributes:
        model: widths of the DLRM.
        dense_features: F, may be 0.
        optimizer: "sgd", or "adagrad" (row-wise for embedding rows, element-wise for dense parameters).
        rate: learning rate of dense and embedding parameters.
        eps: Adagrad's, of dense and embedding parameters. A gradient below it moves a fresh parameter in proportion to
            its size, so round-off stays round-off. With a far smaller eps the first steps are `rate` long whatever the
            gradient, and two float32 runs with different orders of summation drift apart.
        autocast: the model computes in bfloat16 where torch's autocast finds that safe. Parameters, embedding rows,
            their sums, gradients and the loss stay in float32.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    dense_features: int = 0
    optimizer: str = "adagrad"
    rate: float = 0.02
    eps: float = 1e-3
    autocast: bool = False

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer is {self.optimizer!r}; it must be one of {', '.join(OPTIMIZERS)}")
        if self.dense_features < 0:
            raise ValueError(f"dense_features is {self.dense_features}; it must be 0 or more")
        for name, value in (("rate", self.rate), ("eps", self.eps)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} is {value}; it must be a finite number above 0")


class Trainer(ABC):
    """A DLRM with its dense optimizer on `device`. The subclass keeps the embedding rows.

    Attributes:
        saves_beside: rows may be trained while `shards` is read.

    Args:
        config: what is trained and how.
        rows: [T], rows of each table.
        device: of the dense parameters.
        dtype: of all parameters.
        seed: of all initial parameters. Trainers of equal config, rows and seed start from equal values.
        rows_on: where embedding rows are updated.
        ranks: who trains. What is learned is the same on all ranks.

    Raises:
        ValueError: autocast is asked for, and the dtype is not float32.
    """

    def __init__(
        self,
        config: TrainConfig,
        rows: np.ndarray,
        device: torch.device | str,
        dtype: torch.dtype,
        seed: int,
        rows_on: torch.device | str = "cpu",
        ranks: Ranks | None = None,
    ) -> None:
        if config.autocast and dtype != torch.float32:
            raise ValueError(f"autocast is on and dtype is {dtype}; with autocast it must be torch.float32")
        self.device, self.dtype = torch.device(device), dtype
        self.ranks = ranks or Alone()
        self.tables, self.dimension = TableRows(rows), config.model.dimension
        self.dense_seed, self.table_seed = 2 * seed, 2 * seed + 1
        self.model = DLRM(
            config.model, len(rows), config.dense_features, seed=self.dense_seed, dtype=dtype, device=self.device
        )
        self._parallel = self.ranks.data_parallel(self.model)
        self.dense_optimizer = dense_optimizer(config.optimizer, self.model.parameters(), config.rate, config.eps)
        # Where rows are beside the dense parameters, both have one learning rate, and a scheduler writes one tensor.
        together = torch.device(rows_on) == self.device
        rate = self.dense_optimizer.param_groups[0]["lr"] if together else config.rate
        self.row_optimizer = row_optimizer(config.optimizer, rate, config.eps, device=rows_on)
        self.dense_features, self._autocast = config.dense_features, config.autocast

    saves_beside: bool = True

    @abstractmethod
    def losses(self) -> np.ndarray:
        """float64: the mean BCE of every mini-batch before its step, since the last call. Waits for the device."""

    @abstractmethod
    def synchronize(self) -> None:
        """Returns when the device has nothing left to do."""

    @abstractmethod
    def predict(self, batch: Batch) -> np.ndarray:
        """float64 [B]: the logit of a click for each sample."""

    @abstractmethod
    def export(self) -> tuple[list[Tensor], list[Tensor]]:
        """On the host: T full tables [rows[t], D], and T row-wise accumulators [rows[t]]."""

    @abstractmethod
    def shards(self, size: int) -> Iterator[Rows]:
        """All rows and accumulators as they are at this call, on the host, at most `size` a shard, for a checkpoint.

        Training may go on while they are read if `saves_beside` is True. Close the iterator if not all are read.
        """

    @abstractmethod
    def load_shards(self, shards: Iterable[Rows]) -> None:
        """Overwrites rows and accumulators by what `shards` gave. Rows that are in none of them stay as they are."""

    @abstractmethod
    def _load_rows(self, tables: list[Tensor], accumulators: list[Tensor]) -> None:
        """Overwrites all rows and accumulators. Their shapes are those of `export`."""

    def set_rate(self, rate: float) -> None:
        """Another learning rate of dense parameters and embedding rows, from the next step on. Does not wait.

        A scheduler of `torch.optim` over `dense_optimizer` reaches the rows too, if they are updated on its device.
        """
        self.dense_optimizer.param_groups[0]["lr"].fill_(rate)
        self.row_optimizer.set_rate(rate)

    def dense_state(self) -> dict[str, Any]:
        """Parameters and optimizer state of the model, without the embedding rows. Not a copy."""
        return {"model": self.model.state_dict(), "optimizer": self.dense_optimizer.state_dict()}

    def load_dense_state(self, state: dict[str, Any]) -> None:
        """Goes on from what `dense_state` gave."""
        self.model.load_state_dict(state["model"])
        self.dense_optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self.row_optimizer.set_rate(float(self.dense_optimizer.param_groups[0]["lr"]))

    def state_dict(self) -> dict[str, Any]:
        """A copy of all parameters and optimizer state, on the host, for `torch.save`.

        It does not say where a row lives: trainers of all kinds can load it.
        """
        tables, accumulators = self.export()
        return copy.deepcopy(self.dense_state() | {"tables": tables, "accumulators": accumulators})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from what `state_dict` gave.

        Raises:
            ValueError: it is of another model. Nothing has changed then.
        """
        own = {name: value.shape for name, value in self.model.state_dict().items()}
        theirs = {name: value.shape for name, value in state["model"].items()}
        for kind, values in zip(("table", "accumulators of table"), self.export(), strict=True):
            key = "tables" if kind == "table" else "accumulators"
            own |= {f"{kind} {number}": value.shape for number, value in enumerate(values)}
            theirs |= {f"{kind} {number}": value.shape for number, value in enumerate(state[key])}
        for name in own | theirs:
            if own.get(name) != theirs.get(name):
                shapes = [list(shapes[name]) if name in shapes else "none" for shapes in (theirs, own)]
                raise ValueError(f"the checkpoint is of another model: its {name} is {shapes[0]}, here {shapes[1]}")
        self.load_dense_state(state)
        self._load_rows(state["tables"], state["accumulators"])

    def parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Every parameter and piece of optimizer state, on the host, with its name."""
        for name, parameter in self.model.named_parameters():
            yield name, parameter.detach().cpu()
            for key, state in self.dense_optimizer.state[parameter].items():
                if isinstance(state, Tensor):
                    yield f"{name} {key}", state.cpu()
        for table, (rows, accumulators) in enumerate(zip(*self.export(), strict=True)):
            yield f"table {table}", rows
            yield f"table {table} accumulators", accumulators

    def _check(self, batch: Batch) -> None:
        samples, tables = batch.lengths.shape
        if tables != len(self.tables.rows):
            raise ValueError(f"the mini-batch has {tables} tables, the trainer {len(self.tables.rows)}")
        if batch.dense.shape != (samples, self.dense_features):
            raise ValueError(f"dense is {batch.dense.shape}; it must be {(samples, self.dense_features)}")
        if samples == 0:
            raise ValueError("a mini-batch must hold at least one sample")

    def _backward(self, dense: Tensor, label: Tensor, pooled: Tensor, size: float) -> tuple[Tensor, Tensor]:
        """Forward and backward pass of b of the `size` samples of a mini-batch. Dense gradients are added to `.grad`.

        Args:
            dense: [b, F] on the device.
            label: [b] on the device.
            pooled: [b * T, D] on the device.

        Returns:
            loss []: the share of these samples in the mini-batch's mean BCE; and its gradient [b * T, D] by `pooled`.
        """
        pooled.requires_grad_()
        logits = self._logits(dense, pooled.view(len(label), len(self.tables.rows), pooled.shape[1]), self._parallel)
        loss = F.binary_cross_entropy_with_logits(logits, label, reduction="sum") / size
        loss.backward()
        assert pooled.grad is not None
        return loss.detach(), pooled.grad

    def _logits(self, dense: Tensor, pooled: Tensor, model: nn.Module | None = None) -> Tensor:
        """[b], of dense features [b, F] and pooled rows [b, T, D]: in the trainer's dtype, whatever the model uses."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._autocast):
            logits = (model or self.model)(dense, pooled)
        return logits.to(self.dtype)

    def _tensor(self, values: np.ndarray) -> Tensor:
        """Copies dense features or labels to a host tensor of the trainer's dtype."""
        return torch.tensor(values, dtype=self.dtype)


def max_parameter_difference(a: Trainer, b: Trainer) -> float:
    """The largest absolute difference of any parameter or optimizer state. NaN if any value is NaN.

    Raises:
        ValueError: the two train different models.
    """
    largest = [0.0]
    for (name, x), (other, y) in zip(a.parameters(), b.parameters(), strict=True):
        if name != other or x.shape != y.shape:
            raise ValueError(f"parameter {name!r} {tuple(x.shape)} has no counterpart: {other!r} {tuple(y.shape)}")
        if x.numel():
            largest.append(float((x - y).abs().max()))
    return float(np.max(largest))
