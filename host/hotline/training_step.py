"""A mini-batch in training: its forward and backward passes, and the one update of its rows.

It is one batch of the loop, or as many as are accumulated. Every batch reads the same values of its rows. Their
gradients are added before the update, which comes with the last backward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hotline_host.pool.planner import StepPlan
from hotline_host.training.embeddings import PooledEmbeddings
from hotline_host.training.optim import RowOptimizer
from hotline_host.training.row_inputs import RowInputs

__all__ = ["OrderError", "PartOfStep", "TrainingStep"]


class OrderError(RuntimeError):
    """Batches are used in another order than they were prepared in. The message says what to do."""


@dataclass
class PartOfStep:
    """One batch of a mini-batch.

    Attributes:
        features: its KeyedJaggedTensor.
        bags, lookups: for each D, which of the mini-batch's are its own.
        gradients: for each D, [bags, D], of the vectors that were read; None before its backward pass.
        weights: for each D, of its lookups; empty if they have none.
        forwarded: its forward pass has begun.
    """

    features: Any
    bags: list[slice]
    lookups: list[slice]
    gradients: list[Tensor] | None = None
    weights: Sequence[Tensor] = ()
    forwarded: bool = False


class TrainingStep:
    """The step on a mini-batch that was planned, packed and gathered.

    Args:
        rows: where the rows are.
        inputs: for each D, the lookups of the mini-batch.
        parts: its batches.

    Attributes:
        arrived: its rows are in the pool.
        done: its rows have been updated, or it was given up.
    """

    def __init__(
        self,
        rows: PooledEmbeddings,
        optimizer: RowOptimizer,
        plan: StepPlan,
        inputs: Sequence[RowInputs],
        parts: list[PartOfStep],
    ) -> None:
        self._rows, self._optimizer, self._plan, self._inputs, self.parts = rows, optimizer, plan, inputs, parts
        self.arrived = self.done = False

    def read(self, number: int, weights: Sequence[Tensor]) -> list[Tensor]:
        """For each D the pooled vectors of batch `number`, [bags, D], with a way back to the rows.

        Args:
            weights: for each D, of the lookups; empty if they have none.
        """
        part = self.parts[number]
        part.forwarded = True
        anchor = torch.empty(0, device=self._rows.device, requires_grad=True)
        return list(_Lookup.apply(anchor, self, number, *weights))

    def give_up(self) -> None:
        """Leaves the update out. The rows that the plan moves do move."""
        if not self.done:
            self._arrive()
            self._rows.depart(self._plan)
            self.done = True

    def _arrive(self) -> None:
        if self.arrived:
            return
        self.arrived = True
        with self._rows.link.copying_in(self._plan.half):
            for inputs in self._inputs:
                inputs.copy_in()
        self._rows.arrive(self._plan, self._inputs[0].move_ids())

    def _forward(self, number: int, weights: Sequence[Tensor]) -> tuple[Tensor, ...]:
        self._arrive()
        part, kernels = self.parts[number], self._rows.kernels
        part.weights = [each.detach() for each in weights]
        with self._rows.link.computing(self._plan.half):
            return tuple(
                kernels.pooled_sum(
                    pool.rows, *inputs.lookups_of_bags(part.bags[group], part.lookups[group]),
                    part.weights[group] if part.weights else None,
                )
                for group, (pool, inputs) in enumerate(zip(self._rows.pools, self._inputs, strict=True))
            )  # fmt: skip

    def _backward(self, number: int, gradients: Sequence[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        """Returns the gradients of the weights that are wanted."""
        part = self.parts[number]
        if self.done or part.gradients is not None:
            raise OrderError("the backward pass of a batch has run already: its rows were updated")
        with self._rows.link.computing(self._plan.half):
            by_weight = [
                self._by_weights(group, part, gradients[group]) if wanted[group] else None
                for group in range(len(part.weights))
            ]
            part.gradients = [gradient.contiguous() for gradient in gradients]
            last = all(each.gradients is not None for each in self.parts)
            if last:
                self._update()
        if last:
            self._rows.depart(self._plan)
            self.done = True
        return by_weight

    def _update(self) -> None:
        self._optimizer.begin()
        for group, inputs in enumerate(self._inputs):
            gradient = _joined([part.gradients[group] for part in self.parts if part.gradients])
            weights = None
            if any(part.weights for part in self.parts):
                weights = _joined([part.weights[group] for part in self.parts]).index_select(0, inputs.picks)
            self._rows.update(self._optimizer, self._plan, group, gradient, inputs.groups(), weights)

    def _by_weights(self, group: int, part: PartOfStep, gradient: Tensor) -> Tensor:
        """[n]: the gradient of a lookup's weight is its row times the gradient of its bag."""
        ids, offsets = self._inputs[group].lookups_of_bags(part.bags[group], part.lookups[group])
        bags = gradient
        if offsets is not None:
            bags = gradient.repeat_interleave(offsets.diff(), 0, output_size=len(ids))
        return (self._rows.pools[group].rows.index_select(0, ids) * bags).sum(dim=1)


class _Lookup(torch.autograd.Function):
    """Reads rows; its backward pass updates them."""

    @staticmethod
    def forward(ctx: Any, anchor: Tensor, step: TrainingStep, number: int, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.step, ctx.number = step, number
        return step._forward(number, weights)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, None, *ctx.step._backward(ctx.number, gradients, ctx.needs_input_grad[3:])


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat([*parts])
