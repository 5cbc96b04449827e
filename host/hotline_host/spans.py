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

__all__ = ["Span", "add_span", "recording", "span"]


@dataclass(frozen=True)
class Span:
    """A piece of work.

    Attributes:
        track: whose: a thread's name, or what `add_span` was told.
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


def add_span(name: str, track: str, start: int, stop: int) -> None:
    """Records a span of something that is no thread, such as an accelerator's cycles at a clock."""
    if _recorded is not None:
        _recorded.append(Span(name, track, start, stop))


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
        add_span(name, threading.current_thread().name, start, perf_counter_ns())
