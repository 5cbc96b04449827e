"""Optimizers. Those of embedding rows take coalesced gradients: each row once, with its whole gradient."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["OPTIMIZERS", "SGD", "RowOptimizer", "RowwiseAdagrad", "dense_optimizer", "row_optimizer"]

OPTIMIZERS = ("sgd", "adagrad")


@dataclass(frozen=True)
class RowOptimizer(ABC):
    """Updates rows of an embedding table in place.

    Attributes:
        rate: learning rate.
    """

    rate: float

    @abstractmethod
    def update(self, table: Tensor, accumulator: Tensor, rows: Tensor, gradient: Tensor) -> None:
        """One step.

        Args:
            table: [R, D].
            accumulator: [R], the optimizer's state, one number a row, zero at first.
            rows: int64 [u], each row once.
            gradient: [u, D], of those rows. All four tensors are on one device.
        """


@dataclass(frozen=True)
class SGD(RowOptimizer):
    """row -= rate * gradient. The accumulator is not used."""

    def update(self, table: Tensor, accumulator: Tensor, rows: Tensor, gradient: Tensor) -> None:
        table.index_add_(0, rows, gradient, alpha=-self.rate)


@dataclass(frozen=True)
class RowwiseAdagrad(RowOptimizer):
    """Adagrad with one accumulator a row, as FBGEMM's EXACT_ROWWISE_ADAGRAD.

    accumulator += mean over D of gradient^2;  row -= rate * gradient / (sqrt(accumulator) + eps)
    """

    eps: float = 1e-3

    def update(self, table: Tensor, accumulator: Tensor, rows: Tensor, gradient: Tensor) -> None:
        sums = accumulator.index_select(0, rows) + gradient.square().mean(dim=1)
        accumulator.index_copy_(0, rows, sums)
        table.index_add_(0, rows, gradient / (sums.sqrt() + self.eps).unsqueeze(1), alpha=-self.rate)


def row_optimizer(name: str, rate: float, eps: float) -> RowOptimizer:
    """The optimizer of embedding rows with this name, one of `OPTIMIZERS`."""
    return SGD(rate) if _known(name) == "sgd" else RowwiseAdagrad(rate, eps)


def dense_optimizer(name: str, parameters: Iterable[nn.Parameter], rate: float, eps: float) -> torch.optim.Optimizer:
    """The counterpart for dense parameters: torch's SGD, or torch's element-wise Adagrad."""
    if _known(name) == "sgd":
        return torch.optim.SGD(parameters, lr=rate)
    return torch.optim.Adagrad(parameters, lr=rate, eps=eps)


def _known(name: str) -> str:
    if name not in OPTIMIZERS:
        raise ValueError(f"unknown optimizer {name!r}; the optimizers are {', '.join(OPTIMIZERS)}")
    return name
