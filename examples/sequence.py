"""Attention over a user's last items, as TBSM has it, on generated histories: `python examples/sequence.py`"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

import hotline

ITEMS, KINDS, D, SAMPLES, LAST = 400, 8, 16, 64, 10
TABLES = [  # rows that are not pooled: every lookup gives a vector
    hotline.EmbeddingBagConfig(
        name="item", num_embeddings=ITEMS, embedding_dim=D, feature_names=["history", "item"], pooling=None
    ),
]
Visits = tuple[hotline.KeyedJaggedTensor, Tensor]


class Attention(nn.Module):
    """How well an item fits what was looked at before, the parts that are like it above all."""

    def __init__(self, emb: nn.Module) -> None:
        super().__init__()
        self.emb, self.query = emb, nn.Linear(D, D)
        self.top = nn.Sequential(nn.Linear(3 * D, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, features: hotline.KeyedJaggedTensor) -> Tensor:
        of = self.emb(features).jagged
        item, history = of["item"].values(), of["history"].to_padded_dense(LAST)
        empty = torch.arange(LAST) >= of["history"].lengths().unsqueeze(1)
        scores = (history @ self.query(item).unsqueeze(2)).squeeze(2).masked_fill(empty, -1e9)
        context = (scores.softmax(dim=1).unsqueeze(1) @ history).squeeze(1)
        return self.top(torch.cat([item, context, item * context], dim=1)).squeeze(1)


def batches(steps: int, seed: int = 0) -> Iterator[Visits]:
    """Users look at items of one kind, and buy more of it than of others. Item i is of kind i % KINDS."""
    random = torch.Generator().manual_seed(seed)

    def items(kind: Tensor) -> Tensor:
        return (ITEMS // KINDS * torch.rand(len(kind), generator=random) ** 3).long() * KINDS + kind

    for _ in range(steps):
        liked, other = (torch.randint(0, KINDS, (SAMPLES,), generator=random) for _ in range(2))
        length = torch.randint(1, LAST + 1, (SAMPLES,), generator=random)
        history = items(liked.repeat_interleave(length))
        item = items(torch.where(torch.rand(SAMPLES, generator=random) < 0.5, liked, other))
        buys = torch.where(item % KINDS == liked, 0.95, 0.05)
        label = (torch.rand(SAMPLES, generator=random) < buys).to(torch.get_default_dtype())
        yield hotline.KeyedJaggedTensor.from_dict({"history": (history, length), "item": item}), label


def train(emb: nn.Module, batches: Iterable[Visits]) -> list[float]:
    """The loss of every step."""
    torch.manual_seed(0)
    model = Attention(emb)
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.02)
    losses = []
    for features, label in batches:
        loss = nn.functional.binary_cross_entropy_with_logits(model(features), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main(steps: int = 300) -> None:
    emb = hotline.EmbeddingBagCollection(TABLES, optimizer=hotline.Adam(0.01), accelerator="model", hot_rows=100)
    losses = train(emb, hotline.prefetch(batches(steps), emb))
    print(f"loss of the first 20 steps {sum(losses[:20]) / 20:.3f}, of the last 20 {sum(losses[-20:]) / 20:.3f}")


if __name__ == "__main__":
    main()
