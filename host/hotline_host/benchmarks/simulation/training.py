"""Training steps side by side: the pipelines that drive an accelerator, with each backend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from statistics import median
from time import perf_counter

import numpy as np

from hotline_host.data.delimited import Progress
from hotline_host.data.log import Batch
from hotline_host.data.minibatches import MiniBatches
from hotline_host.pipelines.pipeline import AcceleratorOptions, Pipeline, Setup
from hotline_host.pipelines.registry import PIPELINES
from hotline_host.pipelines.steps import StepResult

from .results import TrainingFigures
from .settings import CORE, MODEL, SimBenchSettings

__all__ = ["measure_training"]

PIPELINE = "hotline"
"""The way to train. `hotline bench` compares others."""

WARM = 1
"""Steps at either end of a round that are left out: the first waits for its split, the last has none beside it."""


@dataclass
class _Contender:
    """The pipeline over one backend, and what was measured of it: of every step, and of every round's mean step."""

    pipeline: Pipeline
    seconds: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    wait: list[float] = field(default_factory=list)
    steps: list[StepResult] = field(default_factory=list)


def measure_training(
    setup: Setup, backends: dict[str, AcceleratorOptions], learned: list[Batch], batches: MiniBatches,
    settings: SimBenchSettings, progress: Progress,
) -> TrainingFigures:  # fmt: skip
    """Steps of every contender on the same mini-batches, in turns.

    Args:
        backends: accelerators by name: CORE and MODEL.
        learned: mini-batches to learn popularity from.
    """
    steps = settings.steps + 2 * WARM
    with ExitStack() as opened:
        contenders: dict[str, _Contender] = {}
        for name, each in backends.items():
            progress(f"opening the pipeline {PIPELINE} over {name}", 0, 1)
            pipeline = opened.enter_context(PIPELINES[PIPELINE](replace(setup, accelerator=each)))
            pipeline.prepare(learned, [batches[step % len(batches)] for step in range(min(steps, len(batches)))])
            contenders[name] = _Contender(pipeline)
        for number in range(settings.rounds):
            for name, contender in contenders.items():
                progress(f"training over {name}, rounds", number, settings.rounds)
                _run(contender, (batches[step % len(batches)] for step in range(steps)), steps)
    return _figures(contenders)


def _run(contender: _Contender, batches: Iterator[Batch], steps: int) -> None:
    """One round."""
    before = contender.pipeline.figures().seconds
    times = [perf_counter()]
    for _ in range(steps):
        contender.steps.append(contender.pipeline.progress(batches))
        times.append(perf_counter())
    contender.seconds += np.diff(times)[WARM:-WARM].tolist()
    after = contender.pipeline.figures().seconds
    for names, values in ((("split", "gather"), contender.beside), (("wait",), contender.wait)):
        values.append(sum(after[name] - before.get(name, 0.0) for name in names) / steps)


def _figures(contenders: dict[str, _Contender]) -> TrainingFigures:
    medians = {name: median(each.seconds) for name, each in contenders.items()}
    every = [step for each in contenders.values() for step in each.steps]
    splits = [step.split for step in every if step.split]
    gathers = [step.gather for step in every if step.gather]
    gathered = sum(each.gathered for each in gathers)
    return TrainingFigures(
        seconds={name: each.seconds for name, each in contenders.items()},
        median_seconds=medians,
        accelerator_seconds={name: median(each.beside) for name, each in contenders.items() if each.beside},
        wait_seconds={name: median(each.wait) for name, each in contenders.items() if each.wait},
        popular_share=float(np.mean([each.popular / each.samples for each in splits])) if splits else None,
        gathered_rows_per_step=gathered / len(gathers) if gathers else None,
        rtl_ratio=medians[CORE] / medians[MODEL],
    )
