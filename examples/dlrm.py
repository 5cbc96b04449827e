"""DLRM on generated clicks, its rows behind an accelerator: `python examples/dlrm.py`"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

import hotline

ROWS = {"user": 2000, "item": 500, "shop": 50, "hour": 24}
D, DENSE, SAMPLES = 16, 4, 64
TABLES = [hotline.EmbeddingBagConfig(name=name, num_embeddings=rows, embedding_dim=D) for name, rows in ROWS.items()]
Clicks = tuple[hotline.KeyedJaggedTensor, Tensor, Tensor]


class DLRM(nn.Module):
    """Pairwise products of a dense vector and the pooled vectors of each feature (Naumov et al., 2019)."""

    def __init__(self, emb: nn.Module) -> None:
        super().__init__()
        self.emb, vectors = emb, len(ROWS) + 1
        self.bottom = nn.Sequential(nn.Linear(DENSE, 32), nn.ReLU(), nn.Linear(32, D), nn.ReLU())
        self.top = nn.Sequential(nn.Linear(D + vectors * (vectors - 1) // 2, 32), nn.ReLU(), nn.Linear(32, 1))
        self.pairs = torch.tril_indices(vectors, vectors, -1)

    def forward(self, features: hotline.KeyedJaggedTensor, dense: Tensor) -> Tensor:
        first = self.bottom(dense)
        pooled = self.emb(features).values().view(len(dense), -1, D)
        vectors = torch.cat([first.unsqueeze(1), pooled], dim=1)
        products = (vectors @ vectors.mT)[:, self.pairs[0], self.pairs[1]]
        return self.top(torch.cat([first, products], dim=1)).squeeze(1)


def clicks(steps: int, seed: int = 0) -> Iterator[Clicks]:
    """Skewed rows. Some users and items click more than others, and the first dense feature tells too."""
    random = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        rows = {
            name: (count * torch.rand(SAMPLES, generator=random) ** 4).long().clamp(max=count - 1)
            for name, count in ROWS.items()
        }
        dense = torch.randn(SAMPLES, DENSE, generator=random)
        logit = dense[:, 0] + (rows["user"] % 3 - 1) + (rows["item"] % 2 - 0.5)
        label = (torch.rand(SAMPLES, generator=random) < logit.sigmoid()).to(dense.dtype)
        yield hotline.KeyedJaggedTensor.from_dict(rows), dense, label


def train(emb: nn.Module, batches: Iterable[Clicks]) -> list[float]:
    """The loss of every step."""
    torch.manual_seed(0)
    model = DLRM(emb)
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.02)
    losses = []
    for features, dense, label in batches:
        loss = nn.functional.binary_cross_entropy_with_logits(model(features, dense), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main(steps: int = 300) -> None:
    emb = hotline.EmbeddingBagCollection(
        TABLES, optimizer=hotline.RowwiseAdagrad(0.05), accelerator="model", hot_rows=200
    )
    losses = train(emb, hotline.prefetch(clicks(steps), emb))
    print(f"loss of the first 20 steps {sum(losses[:20]) / 20:.3f}, of the last 20 {sum(losses[-20:]) / 20:.3f}")


if __name__ == "__main__":
    main()
