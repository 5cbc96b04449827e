"""What a benchmark of training writes. Each file is whole, and current: a run that is cut short still tells."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hotline_host.files import write_json, write_text

from .look import look_closer
from .measure import Contender
from .report import draw
from .results import Case, RivalResult

__all__ = ["Outputs"]


@dataclass
class Outputs:
    """Files, None where one is not wanted.

    Attributes:
        json: all figures, after every round.
        picture: after every case.
        trace: a few steps of every rival of the first case, one after the other.
        profile: torch's profile of the same steps.
        looks: torch's profiles, as text, by rival.
    """

    json: Path | None = None
    picture: Path | None = None
    trace: Path | None = None
    profile: Path | None = None
    always_look: bool = False
    looks: dict[str, str] = field(default_factory=dict)
    _events: list[dict[str, Any]] = field(default_factory=list)
    _drawn: int = 0
    _first: Case | None = None

    def changed(self, result: RivalResult) -> None:
        """Writes new figures."""
        if self.json:
            write_json(self.json, result.as_dict())
        done = len(result.cases) - (not result.finished)
        if self.picture and done > self._drawn:
            draw(result, self.picture)
            self._drawn = done

    def look(self, name: str, case: Case, contender: Contender) -> None:
        """Looks closer at a rival: on CUDA always, as only that tells how busy the GPU is."""
        on_cuda = contender.pipeline.trainer.device.type == "cuda"
        self._first = self._first or case
        first = case is self._first
        if not (on_cuda or (first and (self.trace or self.profile or self.always_look))):
            return
        seen = look_closer(contender)
        contender.figures.gpu_busy = seen.gpu_busy
        if not first:
            return
        self.looks[name] = seen.table
        self._events += seen.events
        if self.trace:
            write_json(self.trace, {"traceEvents": self._events, "displayTimeUnit": "ms"})
        if self.profile:
            write_text(self.profile, "\n".join(f"{name}\n{table}" for name, table in self.looks.items()))
