"""Prepares the mini-batches of a loop ahead of it.

for batch in hotline.prefetch(loader, emb, key=lambda batch: batch.sparse):
    pooled = emb(batch.sparse)
    ...
    loss.backward()
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

from hotline_host.errors import DataError, RanksError, SettingsError
from hotline_host.pipelines.ahead import Ahead

from .collection import EmbeddingBagCollection
from .lookups import is_jagged, jagged
from .preparation import Item
from .random_state import set_random_state

__all__ = ["prefetch"]

Batch = TypeVar("Batch")

_BATCH, _ENDED, _FAILED = range(3)
"""What a rank's loader has for the next mini-batch."""


def prefetch(
    loader: Iterable[Batch],
    emb: EmbeddingBagCollection,
    *,
    depth: int = 4,
    skip: int = 0,
    key: Callable[[Batch], Any] | None = None,
) -> Iterator[Batch]:
    """The batches of a loader, unchanged and in order, while the rows of those to come are split, moved and gathered.

    Train on every batch before the next is taken: `emb(...)` of its features once, then a backward pass. A batch that
    is left out needs `emb.skip()`. Batches are taken from the loader in the thread of the loop, up to `depth` ahead;
    what else is done for them runs in threads of its own. These end with the loop, however that ends.

    Args:
        loader: any iterable: a DataLoader, a generator, a stream without end.
        depth: mini-batches in preparation, at least 1. Where the accelerator gathers, two are enough, as it can gather
            only the rows of the one that it split last.
        skip: batches at the loader's begin that are taken and left out, as they were trained on before a checkpoint.
            The random number generators are then set as `hotline.load` found them.
        key: gives what the embeddings take of a batch: a KeyedJaggedTensor, or a dictionary as
            `KeyedJaggedTensor.from_dict` takes it. None: a batch is one of these, or is a tuple or list with one of
            them.

    Raises:
        SettingsError: depth is below 1, or skip below 0; or, from the loop, what `hotline.save` was given cannot be
            kept.
        OrderError: another prefetch of `emb` has not ended; or, from the loop, a batch was not trained on.
        DataError: from the loop, in place of a batch that lacks a feature or looks up a row that is not there.

    With several processes each has a loader of its own, and all must give the same number of batches. A RanksError says
    that they do not, or that a process has failed or is gone.

    What the loader raises comes out of the loop too, after the batches before it. So does an OSError, if a checkpoint
    cannot be written (`hotline.save`).
    """
    if depth < 1:
        raise SettingsError(f"depth is {depth}; it must be at least 1")
    if skip < 0:
        raise SettingsError(f"skip is {skip}; it must be at least 0")
    return _run(loader, emb, depth, skip, key or _features_of)


def _run(
    loader: Iterable[Batch], emb: EmbeddingBagCollection, depth: int, skip: int, key: Callable[[Batch], Any]
) -> Iterator[Batch]:
    loop, feed = emb._loop, _Feed(loader, emb, key)
    ahead: Ahead[Item] = Ahead(loop.preparation.work, depth=depth)
    loop.begin(ahead)
    whole = left = False
    try:
        feed.skip(skip)
        if loop.random is not None:
            set_random_state(loop.random, loop.preparation.ranks)
            loop.random = None
        while True:
            loop.saver.look()
            ahead.fill(feed)
            ready = ahead.pop()
            if ready is None:
                if not (feed.makes_room() or loop.save_now()):
                    break
                continue
            loop.open(ready)
            ahead.look_ahead(feed)
            for number, batch in enumerate(ready.item.batches):
                loop.offer(number)
                yield batch
                loop.check_trained(number)
        whole = True
        loop.saver.wait()
        if feed.error is not None:
            raise feed.error
    except GeneratorExit:
        whole = left = True
        raise
    finally:
        loop.end(ahead, whole=whole, left=left or not whole)


class _Feed(Iterator[Item]):
    """The loader's batches, as many at a time as are accumulated.

    It ends where the loader ends or fails, before a mini-batch that needs more room than there is, and where the
    collection is to be saved.

    Attributes:
        error: what the loader raised.
    """

    def __init__(self, loader: Iterable[Any], emb: EmbeddingBagCollection, key: Callable[[Any], Any]) -> None:
        self._batches, self._key, self._accumulate = iter(loader), key, emb.accumulate
        self._loop, self._preparation = emb._loop, emb._loop.preparation
        self._waits: Item | None = None
        self.error: BaseException | None = None
        self._ended = self._over = False

    def __next__(self) -> Item:
        item = self._waits or (None if self._loop.save_wanted else self._agreed())
        if item is None:
            raise StopIteration
        self._waits = None if self._preparation.has_room(*item.room) else item
        if self._waits:
            raise StopIteration
        return item

    def skip(self, count: int) -> None:
        """Takes so many batches, or all there are, and leaves them out."""
        for _ in islice(self._batches, count):
            pass

    def makes_room(self) -> bool:
        """Makes room for a mini-batch that waits for it. False if none does."""
        if self._waits is None:
            return False
        self._preparation.make_room(*self._waits.room)
        return True

    def _agreed(self) -> Item | None:
        """The next mini-batch. None where a rank has none."""
        if self._over:
            return None
        item, sizes = self._take(), (0, 0)
        try:
            sizes = item.sizes if item else sizes
        except DataError as error:
            item, self.error = None, error
        there = _BATCH if item else _ENDED if self.error is None else _FAILED
        every = self._preparation.ranks.agree([there, *sizes])
        if item and (every[:, 0] == _BATCH).all():
            item.room = int(every[:, 1].sum()), int(every[:, 2].sum())
            return item
        self._over = True
        if self.error is None and (every[:, 0] != _ENDED).any():
            self.error = _out_of_step(every[:, 0].tolist())
        return None

    def _take(self) -> Item | None:
        batches: list[Any] = []
        features: list[Any] = []
        while not self._ended and len(batches) < self._accumulate:
            try:
                batch = next(self._batches)
                features.append(jagged(self._key(batch)))
                batches.append(batch)
            except StopIteration:
                self._ended = True
            except BaseException as error:
                self.error, self._ended = error, True
        return Item(batches, features) if batches else None


def _out_of_step(there: list[int]) -> RanksError:
    if _FAILED in there:
        rank = there.index(_FAILED)
        return RanksError(f"the loader of rank {rank} has failed, and training ends on all ranks; see its message")
    return RanksError(
        f"the loader of rank {there.index(_ENDED)} has ended, and that of rank {there.index(_BATCH)} has not; every "
        "rank must have the same number of batches"
    )


def _features_of(batch: Any) -> Any:
    """What the embeddings take of a batch."""
    parts = batch if isinstance(batch, tuple | list) else [batch]
    found = [part for part in parts if is_jagged(part) or isinstance(part, Mapping)]
    if len(found) != 1:
        raise SettingsError(
            f"a batch is a {type(batch).__name__} with {len(found)} KeyedJaggedTensors or dictionaries; give prefetch "
            "a key=, a function from a batch to the one that the embeddings take"
        )
    return found[0]
