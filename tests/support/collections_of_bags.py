"""Collections, batches for them, and a loss, for tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

import hotline
from hotline_host.data.log import Batch

from .gathering_runs import ROOMY
from .reference_bags import ReferenceBags

Config = hotline.EmbeddingBagConfig
Jagged = hotline.KeyedJaggedTensor
B = 16
FOLLOW = hotline.FollowOptions(relearn_share=1.0, select_every=2)
EXACT = {"rtol": 0, "atol": 1e-12}

ONE_D = [
    Config(name="a", num_embeddings=60, embedding_dim=4, feature_names=["a"]),
    Config(name="b", num_embeddings=7, embedding_dim=4, feature_names=["b1", "b2"]),
    Config(name="c", num_embeddings=300, embedding_dim=4, feature_names=["c"], pooling="mean"),
]
ALL_KINDS = [
    Config(name="wide", num_embeddings=60, embedding_dim=8, feature_names=["a"]),
    Config(name="narrow", num_embeddings=40, embedding_dim=2, feature_names=["b1", "b2"], pooling="mean"),
    Config(name="middle", num_embeddings=300, embedding_dim=4, feature_names=["c"], pooling=None),
    Config(name="wide too", num_embeddings=9, embedding_dim=8, feature_names=["d"], pooling=None),
]
SUMS = [
    Config(name="a", num_embeddings=60, embedding_dim=4, feature_names=["a"]),
    Config(name="b", num_embeddings=40, embedding_dim=6, feature_names=["b1", "b2"]),
]


def collection(tables: list[Config], **options: object) -> hotline.EmbeddingBagCollection:
    defaults = {
        "optimizer": hotline.SGD(0.5), "accelerator": "model", "preset": ROOMY, "hot_rows": 24, "check": True,
        "dtype": torch.float64, "follow": FOLLOW, "seed": 3,
    }  # fmt: skip
    return hotline.EmbeddingBagCollection(tables, **defaults | options)


def batches(
    tables: list[Config], steps: int, *, samples: int = B, most: int = 3, weighted: bool = False, seed: int = 5
) -> Iterator[Jagged]:
    """Skewed rows that drift; bags of 0 to `most` lookups, or of one if `most` is 1. One feature is for nobody."""
    random = np.random.default_rng(seed)
    features = [(name, table.num_embeddings) for table in tables for name in table.feature_names]
    features = [("nobody's", 10), *reversed(features)]
    for step in range(steps):
        lengths = (
            random.integers(0, most + 1, (len(features), samples)) if most > 1 else np.ones((len(features), samples))
        )
        values = [
            (0.4 * rows * random.random(int(count.sum())) ** 3 + step).astype(np.int64) % rows
            for (_, rows), count in zip(features, lengths, strict=True)
        ]
        flat = torch.from_numpy(np.concatenate(values))
        weights = torch.from_numpy(random.standard_normal(len(flat))) if weighted else None
        yield Jagged(
            [name for name, _ in features], flat, torch.from_numpy(lengths.astype(np.int64)).ravel(), None, weights
        )


def of_tables(batch: Batch) -> Jagged:
    """A mini-batch of a log with tables a, b, c, ...: feature after feature."""
    tables = range(batch.lengths.shape[1])
    values = torch.cat([torch.from_numpy(batch.indices[batch.tables == table]) for table in tables])
    return Jagged([chr(ord("a") + table) for table in tables], values, torch.from_numpy(batch.lengths.T.copy()).ravel())


def loss_of(out: hotline.KeyedTensor) -> Tensor:
    """Every number counts, in its own way."""
    parts = [*out.to_dict().values(), *(jagged.values() for _, jagged in sorted(out.jagged.items()))]
    flat = torch.cat([part.ravel() for part in parts])
    return ((flat - torch.linspace(-1, 1, len(flat), dtype=flat.dtype, device=flat.device)) ** 2).mean()


def train(emb: nn.Module, feed: Iterable[Jagged], accumulate: int = 1) -> list[float]:
    losses = []
    for features in feed:
        loss = loss_of(emb(features))
        (loss / accumulate).backward()
        losses.append(loss.item())
    return losses


def check_equal(emb: hotline.EmbeddingBagCollection, reference: ReferenceBags, exact: dict) -> None:
    for name, weight in reference.weights().items():
        torch.testing.assert_close(emb.weights()[name], weight, **exact)
