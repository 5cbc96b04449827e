"""What ranks do in tests of several processes. The functions are run by `run_ranks`."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

import hotline

from .collections_of_bags import ALL_KINDS, ONE_D, Jagged, batches, collection, loss_of, train
from .reference_bags import twin

__all__ = [
    "KINDS",
    "RULES",
    "alone_with_a_break",
    "ended",
    "fails_in_the_loop",
    "feed_of",
    "interleaved",
    "kept",
    "mistakes",
    "resumed",
    "train_all",
    "trained_alone",
    "ways_of_use",
]

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
        ranks = hotline.Together(accelerators=options.pop("accelerators", "node"))
        emb = collection(KINDS[kind], optimizer=RULES[rule](), ranks=ranks, **options)
        losses = train(emb, hotline.prefetch(feed_of(dist.get_rank(), kind), emb))
        used = torch.from_numpy((emb._rows.hot_keys >= 0).nonzero()[0])
        hot = torch.cat(
            [part[used[used < len(part)]].ravel() for pool in emb._rows.pools for part in (pool.rows, pool.state)]
        ).nan_to_num()
        done.append((losses, emb.get_extra_state() | {"figures": emb.figures()}, hot))
        emb.close()
    return done


def _first(emb: hotline.EmbeddingBagCollection, feed: Iterator[Jagged], steps: int, accumulate: int = 1) -> None:
    """Trains, and leaves the loop early."""
    for number, features in enumerate(hotline.prefetch(feed, emb)):
        (loss_of(emb(features)) / accumulate).backward()
        if number + 1 == steps * accumulate:
            break


def alone_with_a_break(ranks: int) -> dict[str, Any]:
    emb = collection(ONE_D, accumulate=ranks)
    _first(emb, interleaved(ranks, "one D"), 5, ranks)
    return emb.weights()


def ways_of_use() -> dict[str, Any]:
    """A loop that is left, rows that are read, a batch that is left out, rows that are loaded."""
    emb, rank = collection(ONE_D), dist.get_rank()
    _first(emb, feed_of(rank, "one D"), 5)
    found: dict[str, Any] = {"left": emb.weights()}
    emb.eval()
    reference = twin(emb, lambda weight, state: None)
    for features in feed_of(rank, "one D"):
        read, expected = emb(features), reference(features)
        found["read"] = max(float((read[name] - expected[name]).abs().max()) for name in read)
    emb.train()
    for features in hotline.prefetch(feed_of(rank, "one D"), emb):
        emb(features)
        emb.skip()
    found["skipped"] = emb.weights()
    emb.load_weights({name: torch.full_like(rows, 2.0) for name, rows in emb.weights().items()})
    found["loaded"] = emb.weights()
    return found


def _raises(at: int, feed: Iterator[Jagged], error: BaseException) -> Iterator[Jagged]:
    for number, features in enumerate(feed):
        if number == at:
            raise error
        yield features


def mistakes() -> tuple[list[str], dict[str, Tensor], int]:
    """What each of some mistakes of rank 1 raises, and the rows afterwards."""
    emb, rank = collection(ONE_D), dist.get_rank()
    far = Jagged.from_dict({name: torch.tensor([10_000]) for name in ("a", "b1", "b2", "c")})

    def feeds() -> Iterator[Iterator[Jagged]]:
        one = feed_of(rank, "one D")
        yield islice(one, 4 - rank)
        one = feed_of(rank, "one D")
        yield _raises(3, one, ValueError("the disk is gone")) if rank else one
        one = feed_of(rank, "one D")
        yield chain(islice(one, 3), [far], one) if rank else one
        one = feed_of(rank, "one D")
        yield chain(islice(one, 3), [Jagged(["x"], torch.tensor([1]))], one) if rank else one

    said = []
    for feed in feeds():
        try:
            train(emb, hotline.prefetch(feed, emb))
        except Exception as error:
            said.append(f"{type(error).__name__}: {error}")
    return said, emb.weights(), len(train(emb, hotline.prefetch(feed_of(rank, "one D"), emb)))


def resumed(state: dict[str, Any], steps: int) -> dict[str, Any]:
    """The state after more steps from one of any number of ranks: here every rank trains on the same batches."""
    emb = collection(ALL_KINDS, optimizer=hotline.RowwiseAdagrad(0.5), seed=99)
    emb.set_extra_state(state)
    train(emb, hotline.prefetch(islice(batches(ALL_KINDS, 99, seed=77), steps), emb))
    return emb.get_extra_state()


def kept(folder: Path, steps: int) -> tuple[int, list[float], dict[str, Any]]:
    """Goes on from a folder, if there is something, and keeps it. Every rank trains on the same batches, and each draws
    its own noise. Returns where it began, losses and rows."""
    random.seed(dist.get_rank() if dist.is_initialized() else 0)
    emb = collection(ALL_KINDS, optimizer=hotline.RowwiseAdagrad(0.5))
    done, losses = hotline.load(folder, emb), []
    feed = islice(batches(ALL_KINDS, 99, seed=77), done, steps)
    for step, features in enumerate(hotline.prefetch(feed, emb), done + 1):
        loss = loss_of(emb(features))
        loss.backward()
        losses.append(loss.item() + random.random())
        if step % 5 == 0:
            hotline.save(folder, emb)
    return done, losses, emb.weights()


def cannot_save(folder: Path) -> tuple[str, int]:
    """What a rank is told where the first one cannot write, and the steps that it goes on."""
    emb = collection(ALL_KINDS)
    folder.mkdir(exist_ok=True)
    (folder / "file").touch()
    try:
        hotline.save(folder / "file" / "kept", emb)
    except (OSError, hotline.RanksError) as error:
        return type(error).__name__, len(train(emb, hotline.prefetch(islice(batches(ALL_KINDS, 99), 3), emb)))
    return "", 0


def fails_in_the_loop() -> None:
    """The loop's own code fails on rank 1."""
    emb, rank = collection(ONE_D), dist.get_rank()
    for number, features in enumerate(hotline.prefetch(feed_of(rank, "one D"), emb)):
        if rank and number == 3:
            raise ValueError("the model of rank 1 is wrong")
        loss_of(emb(features)).backward()


def ended() -> tuple[int, int]:
    """Process groups before a collection is made, and after its ranks were closed."""
    before = len(dist.distributed_c10d._world.pg_map)
    ranks = hotline.Together()
    emb = collection(ONE_D, ranks=ranks)
    train(emb, hotline.prefetch(feed_of(ranks.number, "one D"), emb))
    emb.close()
    assert emb.weights()
    during = len(dist.distributed_c10d._world.pg_map)
    ranks.close()
    assert during > before
    return before, len(dist.distributed_c10d._world.pg_map)
