"""Whose turn it is with a device that one thread waits for while others want its registers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Turns"]


class Turns:
    """A thread that waits for irq takes slice after slice, and would not let others have the lock in between, as locks
    are not fair. So who wants the device waits holding `_next`, which the next slice needs too; only one of those who
    run slices stands in that queue at a time, for they hold `_slices`.

    Args:
        want: called with True before someone waits for a call of his own, then with False: a slice that runs should
            end.
    """

    def __init__(self, want: Callable[[bool], None]) -> None:
        self._want = want
        self._lock, self._next, self._slices = threading.Lock(), threading.Lock(), threading.Lock()

    @contextmanager
    def call(self) -> Iterator[None]:
        """The device, for a call."""
        with self._next:
            self._want(True)
            try:
                self._lock.acquire()
            finally:
                self._want(False)
        try:
            yield
        finally:
            self._lock.release()

    @contextmanager
    def slice(self) -> Iterator[None]:
        """The device, for a slice of a wait."""
        with self._slices:
            with self._next:
                self._lock.acquire()
            try:
                yield
            finally:
                self._lock.release()
