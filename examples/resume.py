"""A run that may be stopped at any moment. Start it again, and it goes on: `python examples/resume.py FOLDER`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

import hotline

ROWS = {"user": 2000, "item": 500, "shop": 50}
D, SAMPLES, EVERY = 16, 64, 25
TABLES = [hotline.EmbeddingBagConfig(name=name, num_embeddings=rows, embedding_dim=D) for name, rows in ROWS.items()]


class Model(nn.Module):
    def __init__(self, steps: int) -> None:
        super().__init__()
        self.emb = hotline.EmbeddingBagCollection(
            TABLES, optimizer=hotline.RowwiseAdagrad(0.05), accelerator="model", hot_rows=200
        )
        self.top = nn.Sequential(nn.Linear(len(ROWS) * D, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 1))
        self.register_buffer("losses", torch.zeros(steps))

    def forward(self, features: hotline.KeyedJaggedTensor) -> Tensor:
        return self.top(self.emb(features).values()).squeeze(1)


def clicks(steps: int, seed: int = 0) -> Iterator[tuple[hotline.KeyedJaggedTensor, Tensor]]:
    random = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        rows = {
            name: (count * torch.rand(SAMPLES, generator=random) ** 4).long().clamp(max=count - 1)
            for name, count in ROWS.items()
        }
        logit = 1.5 * (rows["user"] % 3 - 1) + (rows["item"] % 2 - 0.5)
        label = (torch.rand(SAMPLES, generator=random) < logit.sigmoid()).float()
        yield hotline.KeyedJaggedTensor.from_dict(rows), label


def main(steps: int = 300, folder: Path | str = "runs/resume") -> None:
    torch.manual_seed(0)
    model = Model(steps)
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.02)
    done = hotline.load(folder, model.emb, model=model, optimizer=optimizer)
    batches = hotline.prefetch(clicks(steps), model.emb, skip=done)
    for step, (features, label) in enumerate(batches, done + 1):
        loss = nn.functional.binary_cross_entropy_with_logits(model(features), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.losses[step - 1] = loss.detach()
        if step % EVERY == 0:
            hotline.save(folder, model.emb, model=model, optimizer=optimizer)
    losses = model.losses
    print(f"loss of the first 20 steps {losses[:20].mean():.3f}, of the last 20 {losses[-20:].mean():.3f}")
    model.emb.close()


if __name__ == "__main__":
    main(folder=sys.argv[1] if len(sys.argv) > 1 else "runs/resume")
