"""One model in several processes: `torchrun --nproc-per-node 2 examples/distributed.py`, or with python alone."""

from __future__ import annotations

import os
from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import hotline

ROWS = {"user": 2000, "item": 500, "shop": 50}
D, SAMPLES = 16, 64  # samples of a mini-batch, of all processes together
TABLES = [hotline.EmbeddingBagConfig(name=name, num_embeddings=rows, embedding_dim=D) for name, rows in ROWS.items()]


class Model(nn.Module):
    def __init__(self, emb: nn.Module) -> None:
        super().__init__()
        self.emb = emb
        self.top = nn.Sequential(nn.Linear(len(ROWS) * D, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, features: hotline.KeyedJaggedTensor) -> Tensor:
        return self.top(self.emb(features).values()).squeeze(1)


def clicks(steps: int, rank: int, ranks: int) -> Iterator[tuple[hotline.KeyedJaggedTensor, Tensor]]:
    """This process's part of every mini-batch. Some users and items click more than others."""
    random = torch.Generator().manual_seed(0)
    own = slice(rank * SAMPLES // ranks, (rank + 1) * SAMPLES // ranks)
    for _ in range(steps):
        rows = {
            name: (count * torch.rand(SAMPLES, generator=random) ** 4).long().clamp(max=count - 1)
            for name, count in ROWS.items()
        }
        logit = 1.5 * (rows["user"] % 3 - 1) + (rows["item"] % 2 - 0.5)
        label = (torch.rand(SAMPLES, generator=random) < logit.sigmoid()).float()
        features = {name: each[own] for name, each in rows.items()}
        yield hotline.KeyedJaggedTensor.from_dict(features), label[own]


def main(steps: int = 300) -> None:
    several = "RANK" in os.environ
    if several:
        dist.init_process_group("gloo")  # "cpu:gloo,cuda:nccl" where each process has a GPU
    rank, ranks = (dist.get_rank(), dist.get_world_size()) if several else (0, 1)
    torch.manual_seed(0)
    emb = hotline.EmbeddingBagCollection(
        TABLES, optimizer=hotline.RowwiseAdagrad(0.05), accelerator="model", hot_rows=200
    )  # of all processes: it finds them by itself
    model = Model(emb)
    parallel = DistributedDataParallel(model) if several else model
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.02)
    losses = torch.zeros(steps)
    for step, (features, label) in enumerate(hotline.prefetch(clicks(steps, rank, ranks), emb)):
        loss = nn.functional.binary_cross_entropy_with_logits(parallel(features), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses[step] = loss.detach() / ranks
    if several:
        dist.all_reduce(losses)
    if rank == 0:
        print(f"loss of the first 20 steps {losses[:20].mean():.3f}, of the last 20 {losses[-20:].mean():.3f}")
    emb.close()
    if several:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
