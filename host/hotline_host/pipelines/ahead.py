"""Prepares mini-batches ahead of the steps, each part in a thread of its own.

    main thread    step i
    beside it      split i + 4 | plan i + 3 | pack i + 2 | rows of i back, those of i + 2 gathered

So a step waits for the slowest part, not for their sum.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from hotline_host.plan import Followed
from hotline_host.pool.planner import StepPlan

from .steps import GatherCounts, SplitCounts

__all__ = ["Ahead", "Ready", "Work"]

Item = TypeVar("Item")

_FILLED = 2
"""Mini-batches that are packed and gathered ahead: as many as there are halves."""


@dataclass(frozen=True)
class Work(Generic[Item]):
    """What is done for a mini-batch before its step, in this order.

    Attributes:
        split: called with the item. Calls come in the order of the mini-batches, as do those of the others.
        plan: called with the item and its future split.
        pack: called with the item, its future split and its future plan, once the step before the last was launched.
        gather: called with the future split and the future plan, under the same condition.
        follows_split: only the rows of the mini-batch that was split last can be gathered.
    """

    split: Callable[[Item], Followed]
    plan: Callable[[Item, Future[Followed]], StepPlan]
    pack: Callable[[Item, Future[Followed], Future[StepPlan]], SplitCounts]
    gather: Callable[[Future[Followed], Future[StepPlan]], GatherCounts]
    follows_split: bool


@dataclass(frozen=True)
class _Coming(Generic[Item]):
    """A mini-batch that is split and planned."""

    item: Item
    followed: Future[Followed]
    plan: Future[StepPlan]


@dataclass(frozen=True)
class Ready(Generic[Item]):
    """A mini-batch whose inputs and rows are on their way into the buffers of its half."""

    item: Item
    plan: Future[StepPlan]
    packed: Future[SplitCounts]
    gathered: Future[GatherCounts]


class Ahead(Generic[Item]):
    """Keeps mini-batches in preparation, in order.

    For every step: `fill`, `pop`, then wait for what it gave and launch the step, then `refill`.

    Args:
        work: what is done for a mini-batch.
        depth: mini-batches in preparation, at least 1. Two have their rows gathered; the others are split and planned.

    Attributes:
        threads: by name.
    """

    def __init__(self, work: Work[Item], *, depth: int = 4) -> None:
        self._work = work
        self._filled = min(depth, _FILLED)
        self._planned = 0 if work.follows_split else depth - self._filled
        self.threads = {
            name: ThreadPoolExecutor(1, thread_name_prefix=name) for name in ("split", "plan", "pack", "gather")
        }
        self._coming: deque[_Coming[Item]] = deque()
        self._filling: deque[Ready[Item]] = deque()

    def fill(self, items: Iterator[Item]) -> None:
        """Takes mini-batches, until the buffers of both halves are in use."""
        while len(self._filling) < self._filled and (self._coming or self._take(items)):
            self._fill()

    def pop(self) -> Ready[Item] | None:
        """The mini-batch of the next step; None if there is none left."""
        return self._filling.popleft() if self._filling else None

    def refill(self, items: Iterator[Item]) -> None:
        """Uses the buffers of the step that has been launched, and takes mini-batches to be planned."""
        if self._coming or self._take(items):
            self._fill()
        self.look_ahead(items)

    def look_ahead(self, items: Iterator[Item]) -> None:
        """Takes mini-batches to be split and planned, which needs no buffers: `refill` without its first part, for a
        caller that does not launch the step by itself."""
        while len(self._coming) < self._planned and self._take(items):
            pass

    def drain(self) -> Iterator[Ready[Item]]:
        """Every mini-batch that was taken, in order, with its inputs and rows in the buffers. It must have a step, or
        be given up, before the next is asked for."""
        self.rest()
        while self._filling or self._coming:
            if not self._filling:
                self._fill()
            ready = self._filling.popleft()
            ready.packed.result()
            ready.gathered.result()
            yield ready

    def rest(self) -> None:
        """Returns once nothing runs beside the main thread."""
        futures: list[Future[Any]] = [each.plan for each in self._coming]
        for each in self._filling:
            futures += [each.packed, each.gathered]
        wait(futures)

    def close(self) -> None:
        """Ends the threads. What was taken is dropped."""
        for thread in self.threads.values():
            thread.shutdown(cancel_futures=True)
        # A future that was cancelled before its turn never ends for those who wait for it.
        self._coming.clear()
        self._filling.clear()

    def _take(self, items: Iterator[Item]) -> bool:
        """Takes a mini-batch, if there is one, and has it split and planned."""
        item = next(items, None)
        if item is None:
            return False
        before = self._filling[-1].gathered if self._filling and self._work.follows_split else None
        followed = self.threads["split"].submit(self._split, item, before)
        self._coming.append(_Coming(item, followed, self.threads["plan"].submit(self._work.plan, item, followed)))
        return True

    def _split(self, item: Item, before: Future[GatherCounts] | None) -> Followed:
        # The accelerator gathers the rows of no mini-batch but the one that it split last.
        if before:
            wait([before])
        return self._work.split(item)

    def _fill(self) -> None:
        """Has the mini-batch that was planned first packed and gathered. The step before the last was launched."""
        coming = self._coming.popleft()
        packed = self.threads["pack"].submit(self._work.pack, coming.item, coming.followed, coming.plan)
        gathered = self.threads["gather"].submit(self._work.gather, coming.followed, coming.plan)
        self._filling.append(Ready(coming.item, coming.plan, packed, gathered))
