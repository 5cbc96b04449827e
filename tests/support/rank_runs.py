"""What ranks do in tests of several processes. The functions are run by `run_ranks`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

import hotline

from .collections_of_bags import ALL_KINDS, ONE_D, Jagged, batches, collection, train

__all__ = ["KINDS", "RULES", "feed_of", "interleaved", "train_all", "trained_alone"]

KINDS = {"one D": ONE_D, "all kinds": ALL_KINDS}
RULES = {
    "SGD": lambda: hotline.SGD(0.5), "RowwiseAdagrad": lambda: hotline.RowwiseAdagrad(0.5),
    "Adagrad": lambda: hotline.Adagrad(0.5), "Adam": lambda: hotline.Adam(0.1),
}  # fmt: skip
STEPS = 14


def feed_of(rank: int, kind: str, **options: Any) -> Iterator[Jagged]:
    """The batches of a rank: of another size on each."""
    return batches(KINDS[kind], STEPS, samples=7 + 3 * rank, seed=11 + rank, **options)


def interleaved(ranks: int, kind: str, **options: Any) -> Iterator[Jagged]:
    """The batches of all ranks, in one process: those of rank 0, 1, ... make a mini-batch together."""
    return chain.from_iterable(zip(*(feed_of(rank, kind, **options) for rank in range(ranks)), strict=True))


def trained_alone(ranks: int, kind: str, rule: str, **options: Any) -> tuple[list[float], dict[str, Any]]:
    """Losses and state of one process that trains on the mini-batches of several."""
    emb = collection(KINDS[kind], optimizer=RULES[rule](), accumulate=ranks, **options)
    losses = train(emb, hotline.prefetch(interleaved(ranks, kind), emb), accumulate=ranks)
    return losses, emb.get_extra_state() | {"figures": emb.figures()}


def train_all(cases: list[tuple[str, str, dict[str, Any]]]) -> list[tuple[list[float], dict[str, Any], Tensor]]:
    """For each case losses of this rank, state, and the rows in the hot slots of the pools."""
    done = []
    for kind, rule, options in cases:
        emb = collection(KINDS[kind], optimizer=RULES[rule](), **options)
        losses = train(emb, hotline.prefetch(feed_of(dist.get_rank(), kind), emb))
        used = torch.from_numpy((emb._rows.hot_keys >= 0).nonzero()[0])
        hot = torch.cat(
            [part[used[used < len(part)]].ravel() for pool in emb._rows.pools for part in (pool.rows, pool.state)]
        ).nan_to_num()
        done.append((losses, emb.get_extra_state() | {"figures": emb.figures()}, hot))
        emb.close()
    return done
