"""Retrieval with two towers; a user's history and the item share a table: `python examples/two_tower.py`"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

import hotline

USERS, ITEMS, TASTES, D, SAMPLES, MOST = 1000, 600, 20, 16, 64, 8
TABLES = [
    hotline.EmbeddingBagConfig(name="user", num_embeddings=USERS, embedding_dim=D),
    hotline.EmbeddingBagConfig(name="item", num_embeddings=ITEMS, embedding_dim=D, feature_names=["history", "item"]),
]


class TwoTowers(nn.Module):
    """A vector of the user with her history, and one of the item, of length 1."""

    def __init__(self, emb: nn.Module) -> None:
        super().__init__()
        self.emb = emb
        self.user = nn.Sequential(nn.Linear(2 * D, 32), nn.ReLU(), nn.Linear(32, D))
        self.item = nn.Sequential(nn.Linear(D, 32), nn.ReLU(), nn.Linear(32, D))

    def forward(self, features: hotline.KeyedJaggedTensor) -> tuple[Tensor, Tensor]:
        pooled = self.emb(features)
        user = self.user(torch.cat([pooled["user"], pooled["history"]], dim=1))
        return nn.functional.normalize(user, dim=1), nn.functional.normalize(self.item(pooled["item"]), dim=1)


def batches(steps: int, seed: int = 0) -> Iterator[hotline.KeyedJaggedTensor]:
    """Users have a taste, and mostly take items of that taste. Some items are far more popular than others."""
    random = torch.Generator().manual_seed(seed)

    def items(taste: Tensor) -> Tensor:
        rank = (ITEMS / TASTES * torch.rand(len(taste), generator=random) ** 3).long()
        stray = torch.randint(0, TASTES, (len(taste),), generator=random)
        of = torch.where(torch.rand(len(taste), generator=random) < 0.9, taste, stray)
        return rank * TASTES + of

    for _ in range(steps):
        user = (USERS * torch.rand(SAMPLES, generator=random) ** 3).long()
        taste, length = user % TASTES, torch.randint(0, MOST + 1, (SAMPLES,), generator=random)
        history = items(taste.repeat_interleave(length))
        yield hotline.KeyedJaggedTensor.from_dict({"user": user, "history": (history, length), "item": items(taste)})


def train(emb: nn.Module, batches: Iterable[hotline.KeyedJaggedTensor]) -> list[float]:
    """The loss of every step: which item of the mini-batch is the user's?"""
    torch.manual_seed(0)
    model = TwoTowers(emb)
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.02)
    losses = []
    for features in batches:
        user, item = model(features)
        loss = nn.functional.cross_entropy(10 * user @ item.mT, torch.arange(len(user)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main(steps: int = 300) -> None:
    emb = hotline.EmbeddingBagCollection(
        TABLES, optimizer=hotline.RowwiseAdagrad(0.1), accelerator="model", hot_rows=150
    )
    losses = train(emb, hotline.prefetch(batches(steps), emb))
    print(f"loss of the first 20 steps {sum(losses[:20]) / 20:.3f}, of the last 20 {sum(losses[-20:]) / 20:.3f}")


if __name__ == "__main__":
    main()
