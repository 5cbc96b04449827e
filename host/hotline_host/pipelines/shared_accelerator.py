"""One accelerator for the ranks of a node. The first of them drives it, and tells the others what it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from hotline_host.data.delimited import Progress
from hotline_host.data.log import Batch
from hotline_host.plan import Followed
from hotline_host.splitters.splitter import Splitter
from hotline_host.training.pool import EmbeddingPool
from hotline_host.training.ranks import Ranks, Together

from .accelerators import Accelerator, open_accelerator
from .gatherers import Gatherer
from .pipeline import AcceleratorOptions

__all__ = ["SharedAccelerator", "open_for"]

Answer = TypeVar("Answer")


def open_for(ranks: Ranks, options: AcceleratorOptions, hot_rows: int, *, schedule: str = "pool") -> Accelerator:
    """The accelerator of this process, or of its node. Arguments as `open_accelerator`."""

    def opened() -> Accelerator:
        return open_accelerator(options, hot_rows, schedule=schedule)

    return SharedAccelerator(ranks, opened) if isinstance(ranks, Together) and len(ranks.node) > 1 else opened()


class SharedAccelerator(Accelerator):
    """All ranks of the node call its methods together. The cold rows are not gathered by it.

    Args:
        opened: opens the accelerator, on the first rank.

    Raises:
        RanksError: from any method, if it has failed on the first rank.
    """

    def __init__(self, ranks: Together, opened: Callable[[], Accelerator]) -> None:
        self._ranks, self._own = ranks, None
        self._own = self._told(lambda: opened(), keep=True)
        self.hot_rows, self.most_moves = self._told(lambda: (self._first.hot_rows, self._first.most_moves))

    @property
    def _first(self) -> Accelerator:
        assert self._own is not None
        return self._own

    def learn(self, learned: Sequence[Batch], coming: Sequence[Batch], progress: Progress) -> Splitter:
        splitter = self._told(lambda: self._first.learn(learned, coming, progress), keep=True)
        return _ToldSplitter(self._told, splitter, self.hot_rows, self.most_moves)

    def gatherer(self, pool: EmbeddingPool) -> Gatherer:
        raise NotImplementedError("the ranks gather by themselves")

    def state(self) -> dict[str, Any]:
        return self._told(lambda: self._first.state())

    def check_state(self, state: dict[str, Any]) -> None:
        self._told(lambda: self._first.check_state(state))

    def restore(self, state: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        return self._told(lambda: self._first.restore(state))

    def close(self) -> None:
        if self._own:
            self._own.close()

    def _told(self, ask: Callable[[], Answer], *, keep: bool = False) -> Any:
        """What the first rank finds; with `keep` it keeps that for itself, and the others get None."""
        if not self._ranks.leads_node:
            return self._ranks.tell()
        try:
            answer = ask()
        except Exception:
            self._ranks.tell(failed=True)
            raise
        self._ranks.tell(None if keep else answer)
        return answer


class _ToldSplitter(Splitter):
    """Splits on the first rank of the node."""

    def __init__(self, told: Callable[..., Any], own: Splitter | None, hot_rows: int, most_moves: int) -> None:
        self._told, self._own, self.hot_rows, self.most_moves = told, own, hot_rows, most_moves

    @property
    def _first(self) -> Splitter:
        assert self._own is not None
        return self._own

    def placed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self._told(lambda: self._first.placed())

    def split(self, batch: Batch) -> Followed:
        def answer() -> tuple[Any, ...]:
            followed = self._first.split(batch)
            return followed.split, followed.moves, followed.cycles

        return Followed(batch, *self._told(answer))

    def state(self) -> dict[str, Any]:
        return self._told(lambda: self._first.state())

    def resume(self, state: dict[str, Any]) -> None:
        if self._own:
            self._own.resume(state)

    def counters(self) -> dict[str, int | None] | None:
        return self._told(lambda: self._first.counters())

    def close(self) -> None:
        if self._own:
            self._own.close()
