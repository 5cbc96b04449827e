"""What threads of the host did, and when: spans for a timeline. Nothing is recorded, and nothing costs, until asked.

with span("gather"):
    ...

with recording() as spans:
    train()
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from time import perf_counter_ns

__all__ = ["ACCELERATOR", "CLOCK_MHZ", "Span", "add_cycles", "recording", "span"]

ACCELERATOR = "accelerator"
"""Tracks that begin so are of simulated time."""
CLOCK_MHZ = 250.0
"""The clock that the accelerator's cycles are shown at."""


@dataclass(frozen=True)
class Span:
    """A piece of work.

    Attributes:
        track: whose: a thread's name, or ACCELERATOR and what it did.
        start, stop: nanoseconds of `time.perf_counter_ns`.
    """

    name: str
    track: str
    start: int
    stop: int


_NOTHING = nullcontext()
_recorded: list[Span] | None = None


def span(name: str) -> AbstractContextManager[None]:
    """Records the block as a span of this thread, if spans are being recorded."""
    return _NOTHING if _recorded is None else _timed(name)


def add_cycles(name: str, cycles: int) -> None:
    """Records clock cycles of the accelerator, at CLOCK_MHZ, as a span that ends now, when it has just answered."""
    if _recorded is not None and cycles:
        stop = perf_counter_ns()
        start = stop - round(1000 * cycles / CLOCK_MHZ)
        _recorded.append(Span(f"{name}: {cycles} cycles", f"{ACCELERATOR}, {name}", start, stop))


@contextmanager
def recording() -> Iterator[list[Span]]:
    """Records the spans of all threads; they are in the list as soon as they end.

    Raises:
        RuntimeError: spans are being recorded already.
    """
    global _recorded
    if _recorded is not None:
        raise RuntimeError("spans are being recorded already")
    spans: list[Span] = []
    _recorded = spans
    try:
        yield spans
    finally:
        _recorded = None


@contextmanager
def _timed(name: str) -> Iterator[None]:
    start = perf_counter_ns()
    try:
        yield
    finally:
        if _recorded is not None:  # it may have ended in between
            _recorded.append(Span(name, threading.current_thread().name, start, perf_counter_ns()))
