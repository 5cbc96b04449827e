"""Lets threads take turns with a device: one waits for an interrupt while others access registers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Turns"]


class Turns:
    """A thread in `wait_irq` takes the lock for slice after slice. Locks are not fair, so it could keep others out for
    ever. So a thread that wants the device holds `_next` while it waits for `_lock`, and the next slice also needs
    `_next`. `_slices` lets only one of the threads that run slices compete for `_next` at a time.

    Args:
        want: called with True when a thread starts to wait for a call, so that the current slice ends early, then with
            False.
    """

    def __init__(self, want: Callable[[bool], None]) -> None:
        self._want = want
        self._lock, self._next, self._slices = threading.Lock(), threading.Lock(), threading.Lock()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Exclusive use of the device for a call."""
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
        """Exclusive use of the device for a slice of a wait."""
        with self._slices:
            with self._next:
                self._lock.acquire()
            try:
                yield
            finally:
                self._lock.release()
