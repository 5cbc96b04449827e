"""One case: all rivals take turns, round after round, on the same mini-batches.

    round 0   A: warm steps, timed steps | B: ... | C: ...
    round 1   B: ...                     | C: ... | A: ...

A change of the machine's load reaches all of them. Each rival has its own iterator over all rounds, so what it does
beside a step goes on as in training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from time import perf_counter, process_time

import numpy as np

from hotline_host.data.delimited import Progress
from hotline_host.data.log import Batch
from hotline_host.pipelines.pipeline import Pipeline, Setup
from hotline_host.pipelines.steps import StepResult
from hotline_host.training.metrics import auc

from .machine import resident_bytes
from .results import REFERENCE, Case, RivalFigures
from .rivals import open_rival

__all__ = ["LOOK_STEPS", "WARM", "Contender", "Parts", "measure"]

WARM = 2
"""Steps before the timed ones of a round: what was begun beside the last one is done, and memory is warm."""
LOOK_STEPS = 5
"""Steps that there are for a closer look, after the last round."""


@dataclass(frozen=True)
class Parts:
    """Mini-batches of the log: to learn popularity from, to train on, and to judge the result by.

    Attributes:
        once: the mini-batches to train on are recorded, in their order; else they begin again after the last.
    """

    learned: Sequence[Batch]
    train: Sequence[Batch]
    test: Sequence[Batch]
    once: bool = False

    def feed(self) -> Iterator[Batch]:
        """Mini-batches to train on."""
        return iter(self.train) if self.once else (self.train[number % len(self.train)] for number in count())


@dataclass
class Contender:
    """A rival that takes part, and what is known of it so far."""

    pipeline: Pipeline
    feed: Iterator[Batch]
    figures: RivalFigures
    losses: list[float] = field(default_factory=list)
    opened: ExitStack = field(default_factory=ExitStack)

    def steps(self, number: int) -> list[StepResult]:
        """Takes steps, and waits until the device has done them."""
        results = [self.pipeline.progress(self.feed) for _ in range(number)]
        self.pipeline.synchronize()
        return results


def measure(
    case: Case, setup: Setup, rivals: Sequence[str], parts: Parts, *, steps: int, rounds: int,
    changed: Callable[[], None], last: Callable[[str, Contender], None], progress: Progress,
) -> None:  # fmt: skip
    """Fills `case`. A rival that fails is listed in `case.skipped`, and the others go on.

    Args:
        setup: of all rivals.
        steps: timed, in each of `rounds` rounds.
        changed: called when there are new figures.
        last: called with every rival after its last round, before it is closed, to look closer at it.
    """
    with ExitStack() as all_opened:
        contenders: dict[str, Contender] = {}
        for number, name in enumerate(rivals):
            progress(f"opening rivals, {name}", number, len(rivals))
            try:
                contenders[name] = _open(name, setup, case, parts)
                all_opened.enter_context(contenders[name].opened)
            except Exception as error:  # whatever it is, the others' figures must not be lost
                case.skipped[name] = _reason(error)
        changed()
        for number in range(rounds):
            names = list(contenders)
            turn = number % max(1, len(names))
            for name in names[turn:] + names[:turn]:
                progress(f"training {name}, rounds", number, rounds)
                try:
                    _round(contenders[name], steps)
                    case.rivals[name] = contenders[name].figures
                except Exception as error:
                    case.skipped[name] = f"in round {number}: {_reason(error)}"
                    contenders.pop(name).opened.close()
            _compare(contenders)
            changed()
        case.rivals = {name: case.rivals[name] for name in rivals if name in case.rivals}
        for number, (name, contender) in enumerate(contenders.items()):
            progress(f"judging rivals, {name}", number, len(contenders))
            try:
                contender.figures.auc = _auc(contender.pipeline, parts.test)
                last(name, contender)
            except Exception as error:
                case.skipped[name] = f"after its rounds: {_reason(error)}"
            changed()


def _open(name: str, setup: Setup, case: Case, parts: Parts) -> Contender:
    before = resident_bytes()
    opened = ExitStack()
    with opened:
        pipeline = opened.enter_context(open_rival(name, setup, case))
        pipeline.prepare(parts.learned, parts.train)
        kept = opened.pop_all()
    figures = RivalFigures(case.batch_size, host_bytes=max(0, resident_bytes() - before))
    return Contender(pipeline, parts.feed(), figures, opened=kept)


def _round(contender: Contender, steps: int) -> None:
    figures, pipeline = contender.figures, contender.pipeline
    contender.steps(WARM)
    before = pipeline.figures()
    cpu, start = process_time(), perf_counter()
    results = contender.steps(steps)
    figures.round_seconds.append((perf_counter() - start) / steps)
    figures.round_cpu_seconds.append((process_time() - cpu) / steps)
    after = pipeline.figures()
    contender.losses += pipeline.losses().tolist()
    figures.hbm_bytes = after.hbm_bytes
    rounds = len(figures.round_seconds)

    def mean(so_far: float, value: float) -> float:
        """Of a step, over all rounds."""
        return so_far + (value / steps - so_far) / rounds

    figures.link_bytes_in = mean(figures.link_bytes_in, after.link_bytes_in - before.link_bytes_in)
    figures.link_bytes_out = mean(figures.link_bytes_out, after.link_bytes_out - before.link_bytes_out)
    spent = {name: value - before.seconds.get(name, 0.0) for name, value in after.seconds.items()}
    figures.path = {name: mean(figures.path.get(name, 0.0), value) for name, value in spent.items() if value}
    splits = [result.split for result in results if result.split]
    if splits:
        figures.popular_share = float(np.mean([each.popular / each.samples for each in splits]))
        figures.cold_rows = float(np.mean([each.working_rows for each in splits]))


def _compare(contenders: dict[str, Contender]) -> None:
    """How far the losses are from the reference's."""
    if REFERENCE not in contenders:
        return
    reference = contenders[REFERENCE].losses
    for name, contender in contenders.items():
        if name != REFERENCE:
            difference = np.abs(np.subtract(contender.losses, reference[: len(contender.losses)]))
            contender.figures.max_loss_difference = float(difference.max())


def _auc(pipeline: Pipeline, test: Sequence[Batch]) -> float | None:
    logits = np.concatenate([pipeline.predict(batch) for batch in test])
    try:
        return auc(np.concatenate([batch.label for batch in test]), logits)
    except ValueError:  # one class only, or a model that has diverged
        return None


def _reason(error: Exception) -> str:
    """One line."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
