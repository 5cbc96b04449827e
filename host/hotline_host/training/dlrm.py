"""DLRM (Naumov et al., arXiv 1906.00091) over pooled embedding vectors.

The model owns no embedding table. The trainer keeps the tables, passes pooled vectors in, and gets their gradient back.

    dense [B, F] --> bottom MLP --> [B, D] --+--> pairwise dots --+--> top MLP --> logit [B]
    pooled [B, T, D] ------------------------+                    |
                                     bottom's output [B, D] ------+
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["DLRM", "ModelConfig"]


@dataclass(frozen=True)
class ModelConfig:
    """Widths of a DLRM. The defaults train quickly; `ModelConfig.kaggle()` is the usual Criteo Kaggle configuration.

    Attributes:
        dimension: D, the width of an embedding row.
        bottom: hidden widths of the bottom MLP; a layer of width D follows.
        top: hidden widths of the top MLP; one logit follows.
    """

    dimension: int = 16
    bottom: tuple[int, ...] = (64, 32)
    top: tuple[int, ...] = (64, 32)

    def __post_init__(self) -> None:
        for name, widths in (("dimension", (self.dimension,)), ("bottom", self.bottom), ("top", self.top)):
            if min(widths, default=1) < 1:
                raise ValueError(f"{name} holds the width {min(widths)}; every width must be at least 1")

    @classmethod
    def kaggle(cls) -> ModelConfig:
        """D 16, bottom 512-256-64-16, top 512-256-1."""
        return cls(dimension=16, bottom=(512, 256, 64), top=(512, 256))


class DLRM(nn.Module):
    """Logits of B samples from F dense features and T pooled embedding vectors.

    Without dense features (F = 0) there is no bottom MLP; the sum of the pooled vectors takes the place of its output.

    Args:
        config: widths.
        tables: T.
        dense_features: F, may be 0.
        seed: of the initial parameters. They do not depend on torch's global generator, and are drawn in float64 on the
            CPU, so that every dtype and device starts from the same values.
        dtype: of parameters, inputs and logits.
        device: of parameters, inputs and logits.
    """

    pairs: Tensor

    def __init__(
        self,
        config: ModelConfig,
        tables: int,
        dense_features: int,
        *,
        seed: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        vectors = tables + (dense_features > 0)
        pairs = vectors * (vectors - 1) // 2
        bottom = [dense_features, *config.bottom, config.dimension]
        self.bottom = _mlp(bottom, generator, last_relu=True) if dense_features else None
        self.top = _mlp([config.dimension + pairs, *config.top, 1], generator, last_relu=False)
        i, j = torch.tril_indices(vectors, vectors, offset=-1)
        self.register_buffer("pairs", i * vectors + j, persistent=False)
        self.to(device=device, dtype=dtype)

    def forward(self, dense: Tensor, pooled: Tensor) -> Tensor:
        """Logits [B].

        Args:
            dense: [B, F].
            pooled: [B, T, D].
        """
        if self.bottom is None:
            first, vectors = pooled.sum(dim=1), pooled
        else:
            first = self.bottom(dense)
            vectors = torch.cat([first.unsqueeze(1), pooled], dim=1)
        dots = torch.bmm(vectors, vectors.transpose(1, 2)).flatten(1).index_select(1, self.pairs)
        return self.top(torch.cat([first, dots], dim=1)).squeeze(1)


def _mlp(widths: list[int], generator: torch.Generator, *, last_relu: bool) -> nn.Sequential:
    """Linear layers with ReLU between them, in float64, initialised as in the code release of the DLRM paper."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        linear = nn.utils.skip_init(nn.Linear, inputs, outputs, dtype=torch.float64)
        with torch.no_grad():
            linear.weight.normal_(0.0, (2 / (inputs + outputs)) ** 0.5, generator=generator)
            linear.bias.normal_(0.0, (1 / outputs) ** 0.5, generator=generator)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*(layers if last_relu else layers[:-1]))
