"""What `hotline.EmbeddingBagCollection` must equal: `nn.EmbeddingBag`, with the optimizer's rule on dense gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import hotline

__all__ = ["ReferenceBags", "twin"]

Rule = Callable[[Tensor, dict[str, Any]], None]


def sgd(rate: float) -> Rule:
    def update(weight: Tensor, state: dict[str, Any]) -> None:
        weight.add_(weight.grad, alpha=-rate)

    return update


def rowwise_adagrad(rate: float, eps: float) -> Rule:
    def update(weight: Tensor, state: dict[str, Any]) -> None:
        sums = state.setdefault("sum", weight.new_zeros(len(weight))).add_(weight.grad.square().mean(dim=1))
        weight.add_(weight.grad / (sums.sqrt() + eps).unsqueeze(1), alpha=-rate)

    return update


def torchs(make: Callable[[list[Tensor]], torch.optim.Optimizer]) -> Rule:
    """An optimizer of torch."""

    def update(weight: Tensor, state: dict[str, Any]) -> None:
        if "optimizer" not in state:
            state["optimizer"] = make([weight])
        state["optimizer"].step()

    return update


class ReferenceBags(nn.Module):
    """The same tables as `nn.EmbeddingBag`. Their rule runs in the backward pass, after `accumulate` of them.

    Args:
        rule: as the functions above.
        weights: by table.
    """

    def __init__(
        self, tables: list[hotline.EmbeddingBagConfig], rule: Rule, weights: dict[str, Tensor], *, accumulate: int = 1,
        sparse: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.tables, self.accumulate = tables, accumulate
        self.bags: dict[str, nn.Module] = {}  # not registered: a model's optimizer is not to find them
        for table in tables:
            shape = table.num_embeddings, table.embedding_dim
            weight = weights[table.name].clone()
            self.bags[table.name] = (
                nn.EmbeddingBag(*shape, mode=table.pooling, _weight=weight, include_last_offset=True, sparse=sparse)
                if table.pooling
                else nn.Embedding(*shape, _weight=weight, sparse=sparse)
            )
            self.bags[table.name].weight.register_post_accumulate_grad_hook(self._hook(rule))

    def _hook(self, rule: Rule) -> Callable[[Tensor], None]:
        state: dict[str, Any] = {"passes": 0}

        @torch.no_grad()
        def after(weight: Tensor) -> None:
            state["passes"] += 1
            if state["passes"] % self.accumulate == 0:
                rule(weight, state)
                weight.grad = None

        return after

    def weights(self) -> dict[str, Tensor]:
        return {name: bag.weight.detach().clone() for name, bag in self.bags.items()}

    def forward(self, features: Any) -> hotline.KeyedTensor:
        pooled: dict[str, Tensor] = {}
        jagged: dict[str, hotline.JaggedTensor] = {}
        offsets, samples, keys = features.offsets(), features.stride(), list(features.keys())
        for table in self.tables:
            for name in table.feature_names:
                of = offsets[keys.index(name) * samples : (keys.index(name) + 1) * samples + 1]
                rows, weights = features.values()[of[0] : of[-1]], features.weights_or_none()
                bag = self.bags[table.name]
                if table.pooling:
                    of_each = None if weights is None else weights[of[0] : of[-1]]
                    pooled[name] = bag(rows, of - of[0], per_sample_weights=of_each)
                else:
                    jagged[name] = hotline.JaggedTensor(bag(rows), of.diff())
        return hotline.KeyedTensor(pooled, jagged)


def twin(emb: hotline.EmbeddingBagCollection, rule: Rule, **options: Any) -> ReferenceBags:
    """The reference that begins with the rows of `emb`."""
    return ReferenceBags(emb._tables.given, rule, emb.weights(), **options)
