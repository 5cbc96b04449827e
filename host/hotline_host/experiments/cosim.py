"""Co-simulation: pipelines train the same model on the same mini-batches, one of them with an accelerator in it.

    log          |-- learn ------|-- train: mini-batches 0, 1, 2, ... and round again --|-- test --|
    accelerator     learn   dump    split 0 | split 1 | select, split 2 | ...
                                    gather  | gather  |                 | gather
    training                place           | step 0  | step 1          | move, step 2 ...  AUC

Training begins after the learned part: on samples that the tracker has learned from, it would look better than it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hotline_host.data.delimited import Progress
from hotline_host.data.log import Batch, Log
from hotline_host.data.minibatches import MiniBatches
from hotline_host.errors import SettingsError
from hotline_host.pipelines.pipeline import Pipeline, Setup
from hotline_host.pipelines.registry import PIPELINES
from hotline_host.pipelines.steps import PipelineFigures, StepResult
from hotline_host.stopwatch import Stopwatch
from hotline_host.training.metrics import auc
from hotline_host.training.ranks import Alone, Ranks
from hotline_host.training.trainer import max_parameter_difference
from hotline_hw.spec.params import Geometry

from .cosim_settings import CosimSettings
from .history import History
from .keeper import Done, Keeper
from .results import CosimResult, LogFigures, NetworkFigures, PipelineResult, RunFigures, TrainFigures
from .settings import check_lookups

__all__ = ["cosim"]


@dataclass(frozen=True)
class _Parts:
    """Mini-batches of the log: to learn popularity from, to train on, and to judge the result by."""

    learned: MiniBatches
    train: MiniBatches
    test: MiniBatches


@dataclass(frozen=True)
class _Trained:
    """A pipeline at the end of its training. It is closed, but can be read."""

    pipeline: Pipeline
    steps: list[StepResult]
    losses: list[float]
    figures: PipelineFigures
    auc: float | None
    seconds: dict[str, float]
    network: NetworkFigures | None


def cosim(
    log: Log, geometry: Geometry, backend: str, settings: CosimSettings, progress: Progress = lambda *_: None,
    ranks: Ranks | None = None,
) -> CosimResult:  # fmt: skip
    """Trains each of `settings.pipelines`, one after the other, and compares the others to the first.

    Args:
        backend: stands for the accelerator, where a pipeline drives one.
        ranks: who trains. All of them call this together, and get the same result.

    Raises:
        SettingsError: nothing is left to train on, the log has no lookup, its tables do not fit into memory, or the
            tracker cannot follow as it is told to.
        DeviceError: the backend cannot be built, or fails.
        DriverError: the log or the budget is beyond the accelerator.
    """
    check_lookups(log)
    parts = _parts(log, settings)
    setup = replace(settings.setup(log, geometry, backend), ranks=ranks or Alone())
    steps = settings.steps or settings.passes * len(parts.train)
    keeper = Keeper(
        settings.run(log, setup),
        steps,
        save=settings.save,
        every=settings.save_every,
        resume=settings.resume,
        ranks=setup.ranks,
    )
    trained = {name: _train(name, setup, parts, steps, keeper, progress) for name in settings.pipelines}
    first = next(iter(trained.values()))
    splitting = max(  # the first with an accelerator, else the first that splits
        (each for each in trained.values() if each.steps[0].split),
        key=lambda each: each.pipeline.accelerated, default=None,
    )  # fmt: skip
    history = History()
    for step in splitting.steps if splitting else ():
        assert step.split is not None
        history.record(step.split, step.gather)
    samples = sum(parts.train.samples_of(step % len(parts.train)) for step in range(steps))
    return CosimResult(
        log=LogFigures.of(log),
        run=RunFigures.of(
            settings, geometry, backend, learned=parts.learned.samples, samples=samples, hot_rows=setup.hot_rows
        ),
        training=TrainFigures(
            model=settings.model, dimension=setup.config.model.dimension, optimizer=setup.config.optimizer,
            rate=setup.config.rate, eps=setup.config.eps, device=str(setup.device), dtype=settings.dtype,
            seed=settings.seed, test_samples=parts.test.samples, steps=steps,
            placed_rows=(splitting or first).figures.placed_rows,
        ),
        split=history.split_figures(splitting.figures.counters or {}) if splitting else None,
        gather=history.gather_figures() if history.gathered_rows else None,
        pipelines={name: _result(each, None if each is first else first) for name, each in trained.items()},
        history=history,
        network=first.network,
    )  # fmt: skip


def _parts(log: Log, settings: CosimSettings) -> _Parts:
    start, stop = settings.learned(log), log.size - int(settings.test_share * log.size)
    if start >= stop:
        raise SettingsError(
            f"{log.name}: of {log.size} samples {start} are learned from and {log.size - stop} kept for the test, "
            "which leaves none to train on; lower the learn share, or take more samples"
        )
    ranges = ((0, start), (start, stop), (stop, log.size))
    return _Parts(*(MiniBatches(log, *each, settings.batch_size) for each in ranges))


def _train(name: str, setup: Setup, parts: _Parts, steps: int, keeper: Keeper, progress: Progress) -> _Trained:
    """Trains one pipeline, and judges it."""
    watch = Stopwatch()
    progress(f"opening the pipeline {name}", 0, 1)
    checkpoint = keeper.find(name)
    done = Done([], [])
    with PIPELINES[name](setup) as pipeline:
        # What the tracker had learned is in its checkpoint.
        learned = () if checkpoint and "tracker" in checkpoint.state else parts.learned
        pipeline.prepare(learned, parts.train, progress)
        if checkpoint:
            done = keeper.resume(checkpoint, pipeline)
        watch.lap("place")  # a pipeline that does more than this tells by itself
        watch.lap("train")  # a run that goes on may have no steps left
        for segment in keeper.segments(len(done.steps)):
            feed = (parts.train[step % len(parts.train)] for step in segment)
            for step in segment:
                done.steps.append(pipeline.progress(feed))
                pipeline.saved(wait=False)
                progress(f"training {name}, steps", step + 1, steps)
            done.losses += pipeline.losses().tolist()
            watch.lap("train")
            keeper.save(name, pipeline, done)
            watch.lap("save")
        pipeline.saved()
        watch.lap("save")
        figures = pipeline.figures()
    network = NetworkFigures.of(pipeline.trainer.ranks, pipeline.trainer.model)
    judged = _test_auc(name, pipeline, parts.test, progress)
    watch.lap("evaluate")
    return _Trained(pipeline, done.steps, done.losses, figures, judged, watch.seconds | figures.seconds, network)


def _result(trained: _Trained, first: _Trained | None) -> PipelineResult:
    losses = trained.losses
    loss_difference = parameter_difference = None
    if first:
        loss_difference = float(np.abs(np.subtract(first.losses, losses)).max())
        parameter_difference = max_parameter_difference(first.pipeline.trainer, trained.pipeline.trainer)
    last = losses[-max(1, len(losses) // 10) :]
    splits = [step.split for step in trained.steps if step.split]
    gathers = [step.gather for step in trained.steps if step.gather]
    return PipelineResult(
        float(np.mean(last)), trained.auc, loss_difference, parameter_difference, losses, trained.seconds,
        popular_share=sum(one.popular for one in splits) / sum(one.samples for one in splits) if splits else None,
        fetched_rows=float(np.mean([one.gathered + one.by_host for one in gathers])) if gathers else None,
    )  # fmt: skip


def _test_auc(name: str, pipeline: Pipeline, test: Sequence[Batch], progress: Progress) -> float | None:
    logits, labels = [], []
    for batch in test:
        logits.append(pipeline.predict(batch))
        labels.append(batch.label)
        progress(f"testing {name}, mini-batches", len(labels), len(test))
    try:
        return auc(np.concatenate(labels), np.concatenate(logits))
    except ValueError:  # one class only, labels between the two, no sample, or a model that has diverged
        return None
