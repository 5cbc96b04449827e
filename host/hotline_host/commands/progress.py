"""Progress on a terminal, and what a command was doing when it was interrupted."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from hotline_host.launched import launched_rank

__all__ = ["TerminalProgress"]


class TerminalProgress:
    """A `progress(what, done, total)`. It draws a bar for each `what` if standard error is a terminal."""

    def __init__(self) -> None:
        self._what, self._done, self._total = "starting", 0, 1
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        shown = sys.stderr.isatty() and not launched_rank()  # of several processes, the first
        self._bars = Progress(*columns, console=Console(stderr=True), transient=True, disable=not shown)
        self._task: TaskID | None = None
        self._bars.start()

    def __call__(self, what: str, done: int, total: int) -> None:
        before, self._what, self._done, self._total = self._what, what, done, total
        if what != before or self._task is None:
            if self._task is not None:
                self._bars.remove_task(self._task)
            self._task = self._bars.add_task(what, total=total)
        self._bars.update(self._task, completed=done, total=total)

    @property
    def state(self) -> str:
        """What the command is doing, and how much of it is done."""
        return f"{self._what}: {self._done} of {self._total} done" if self._total > 1 else self._what

    def close(self) -> None:
        """Takes the bar off the terminal."""
        self._bars.stop()

    def __enter__(self) -> TerminalProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
