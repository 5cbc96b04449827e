"""Keeps checkpoints of a run, and goes on from them.

    FOLDER/hotline/step-00000200/     one folder for each pipeline
    FOLDER/ordinary/step-00000200/

A run that goes on must be the run that was kept: same log, model, optimizer and mini-batches. Then its losses are those
of a run that was never interrupted.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from hotline_host.errors import DataError
from hotline_host.pipelines.pipeline import Pipeline
from hotline_host.pipelines.steps import GatherCounts, SplitCounts, StepResult
from hotline_host.training.checkpoint import Checkpoint, newest_checkpoint
from hotline_host.training.ranks import Alone, Ranks

__all__ = ["Done", "Keeper"]


@dataclass
class Done:
    """The steps of a pipeline so far.

    Attributes:
        steps: what became of each.
        losses: of each.
    """

    steps: list[StepResult]
    losses: list[float]


class Keeper:
    """Saves and resumes the pipelines of one run.

    Args:
        run: what must be equal for one run to go on from another: plain values by name.
        steps: of the whole run.
        save: folder to keep checkpoints in; None: keep none.
        every: steps between two of them; 0: only one, at the end.
        resume: folder of checkpoints to go on from; None: begin anew.
        ranks: who trains. Rank 0 writes for all of them; every rank reads.
    """

    def __init__(
        self, run: dict[str, Any], steps: int, *, save: Path | None, every: int, resume: Path | None,
        ranks: Ranks | None = None,
    ) -> None:  # fmt: skip
        self._run, self._steps, self._folder, self._every, self._from = run, steps, save, every, resume
        self._ranks = ranks or Alone()

    def find(self, name: str) -> Checkpoint | None:
        """The newest checkpoint of a pipeline; None if the run begins anew, or was stopped before its first.

        Raises:
            DataError: the checkpoint is of another run, or damaged; the message says in what.
        """
        if not self._from:
            return None
        if not self._from.is_dir():
            raise DataError(f"{self._from} is no folder; --resume takes one that --save wrote")
        checkpoint = newest_checkpoint(self._from / name)
        if checkpoint:
            was = checkpoint.state.get("run", {})
            for key in self._run | was:
                here, there = self._run.get(key), was.get(key)
                if here != there:
                    raise DataError(f"{checkpoint.path} is of another run: its {key} is {there}, and here it is {here}")
            if checkpoint.step > self._steps:
                raise DataError(f"{checkpoint.path} has seen {checkpoint.step} steps, and this run has {self._steps}")
        return checkpoint

    def resume(self, checkpoint: Checkpoint, pipeline: Pipeline) -> Done:
        """Brings a pipeline, after `prepare`, to where it was."""
        pipeline.resume(checkpoint)
        return Done(_steps_of(checkpoint.state["steps"], checkpoint.step), checkpoint.state["losses"].tolist())

    def segments(self, start: int) -> list[range]:
        """The steps from `start` on, cut where a checkpoint is due."""
        every = self._every if self._folder and self._every else self._steps
        cuts = sorted({start, self._steps, *range((start // every + 1) * every, self._steps, every)})
        return [range(begin, end) for begin, end in pairwise(cuts)]

    def save(self, name: str, pipeline: Pipeline, done: Done) -> None:
        """Writes a checkpoint, if any are kept. All mini-batches that were taken have been trained on."""
        if self._folder:
            more = {"run": self._run, "steps": _columns(done.steps), "losses": np.array(done.losses)}
            pipeline.save(self._folder / name, len(done.steps), more, ranks=self._ranks)
            self._ranks.agree([0])  # of several ranks none goes on, or looks for the checkpoint, before it is there


_COUNTS = {"split": SplitCounts, "gather": GatherCounts}


def _columns(steps: list[StepResult]) -> dict[str, dict[str, np.ndarray] | None]:
    """What became of the steps: an array for each count, which is quick to write however many steps there are."""
    columns: dict[str, dict[str, np.ndarray] | None] = {}
    for kind, counts in _COUNTS.items():
        parts = [getattr(step, kind) for step in steps]
        there = bool(parts) and parts[0] is not None
        names = [each.name for each in fields(counts)] if there else []
        columns[kind] = {name: np.array([getattr(part, name) for part in parts]) for name in names} if there else None
    return columns


def _steps_of(columns: dict[str, dict[str, Tensor] | None], count: int) -> list[StepResult]:
    """The opposite of `_columns`."""
    parts: dict[str, list[Any]] = {}
    for kind, counts in _COUNTS.items():
        of = columns[kind]
        values = zip(*(each.tolist() for each in of.values()), strict=True) if of else ()
        parts[kind] = [counts(**dict(zip(of or (), each, strict=True))) for each in values] or [None] * count
    return [StepResult(split, gather) for split, gather in zip(parts["split"], parts["gather"], strict=True)]
