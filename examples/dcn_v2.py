"""DCN-v2 on generated clicks: tables of several D, and means of bags: `python examples/dcn_v2.py`"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

import hotline

SAMPLES, MOST = 64, 4
TABLES = [
    hotline.EmbeddingBagConfig(name="user", num_embeddings=2000, embedding_dim=32),
    hotline.EmbeddingBagConfig(name="item", num_embeddings=500, embedding_dim=16),
    hotline.EmbeddingBagConfig(
        name="title", num_embeddings=300, embedding_dim=16, feature_names=["title"], pooling="mean"
    ),
]
WIDTH = 32 + 16 + 16
Clicks = tuple[hotline.KeyedJaggedTensor, Tensor]


class CrossNetwork(nn.Module):
    """x becomes x0 * (W x + b) + x, layer after layer (Wang et al., 2021)."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))

    def forward(self, first: Tensor) -> Tensor:
        x = first
        for layer in self.layers:
            x = first * layer(x) + x
        return x


def clicks(steps: int, seed: int = 0) -> Iterator[Clicks]:
    """Skewed rows; titles of up to MOST words. Who clicks on what can be learned."""
    random = torch.Generator().manual_seed(seed)

    def rows(most: int, count: int) -> Tensor:
        return (most * torch.rand(count, generator=random) ** 4).long().clamp(max=most - 1)

    for _ in range(steps):
        user, item, length = rows(2000, SAMPLES), rows(500, SAMPLES), rows(MOST + 1, SAMPLES)
        title = rows(300, int(length.sum())), length
        logit = (user % 3 - 1) * (item % 2 * 2 - 1) + (length == 0) - 0.5
        label = (torch.rand(SAMPLES, generator=random) < logit.sigmoid()).to(torch.get_default_dtype())
        yield hotline.KeyedJaggedTensor.from_dict({"user": user, "item": item, "title": title}), label


def train(emb: nn.Module, batches: Iterable[Clicks]) -> list[float]:
    """The loss of every step."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.LayerNorm(WIDTH), CrossNetwork(WIDTH, 2), nn.Linear(WIDTH, 64), nn.ReLU(), nn.Linear(64, 1)
    )
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.02)
    losses = []
    for features, label in batches:
        logit = model(emb(features).values()).squeeze(1)
        loss = nn.functional.binary_cross_entropy_with_logits(logit, label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main(steps: int = 300) -> None:
    emb = hotline.EmbeddingBagCollection(TABLES, optimizer=hotline.Adagrad(0.05), accelerator="model", hot_rows=200)
    losses = train(emb, hotline.prefetch(clicks(steps), emb))
    print(f"loss of the first 20 steps {sum(losses[:20]) / 20:.3f}, of the last 20 {sum(losses[-20:]) / 20:.3f}")


if __name__ == "__main__":
    main()
