"""Predicts clicks from pooled embeddings: `adopt_plain.py` with `nn.EmbeddingBag`, `adopt.py` with Hotline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

import hotline

SIZES = {"user": 2000, "item": 500, "words": 300}
D, SAMPLES = 16, 64
TABLES = [hotline.EmbeddingBagConfig(name=n, num_embeddings=r, embedding_dim=D) for n, r in SIZES.items()]
Batch = tuple[dict[str, Tensor], Tensor]


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.emb = hotline.EmbeddingBagCollection(TABLES, optimizer=hotline.SGD(0.5), accelerator="model")
        self.top = nn.Sequential(nn.Linear(len(SIZES) * D, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, rows: dict[str, Tensor]) -> Tensor:
        pooled = self.emb(rows).values()
        return self.top(pooled).squeeze(1)


def loader(steps: int, seed: int = 0) -> Iterator[Batch]:
    """Rows [SAMPLES, lookups of a bag] by feature, and labels."""
    random = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        rows = {
            name: (count * torch.rand(SAMPLES, 5 if name == "words" else 1, generator=random) ** 4).long()
            for name, count in SIZES.items()
        }
        logit = 4 * (rows["item"][:, 0] % 2) - 2.0
        yield rows, (torch.rand(SAMPLES, generator=random) < logit.sigmoid()).to(torch.get_default_dtype())


def train(model: Model, loader: Iterable[Batch]) -> list[float]:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    losses = []
    for rows, label in hotline.prefetch(loader, model.emb):
        loss = nn.functional.binary_cross_entropy_with_logits(model(rows), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main(steps: int = 300) -> None:
    losses = train(Model(), loader(steps))
    print(f"loss of the first 20 steps {sum(losses[:20]) / 20:.3f}, of the last 20 {sum(losses[-20:]) / 20:.3f}")


if __name__ == "__main__":
    main()
