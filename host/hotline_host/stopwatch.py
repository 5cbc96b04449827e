"""Wall time of the parts of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from .spans import span

__all__ = ["Parts", "Stopwatch"]


class Stopwatch:
    """Adds up seconds by name.

    Attributes:
        seconds: by name, in the order of the first laps.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = perf_counter()

    def lap(self, name: str) -> None:
        """Adds the time since the last lap, or since the start, to `name`."""
        now = perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = now


class Parts:
    """Adds up the seconds of blocks by name, and shows the blocks in a timeline.

    Blocks of different names may run in several threads at once; those of one name must not.

        with parts("gather"):
            ...

    Attributes:
        seconds: by name; all of `names` are there from the beginning.
    """

    def __init__(self, *names: str) -> None:
        self.seconds = dict.fromkeys(names, 0.0)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        with span(name):
            start = perf_counter()
            yield
            self.seconds[name] += perf_counter() - start
