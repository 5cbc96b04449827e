"""Training with every pipeline, for tests: runs on one log in which popularity drifts, so that rows move."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch

from hotline_host.data.log import Batch, ClickLog
from hotline_host.data.minibatches import MiniBatches
from hotline_host.driver.driver import Policy
from hotline_host.driver.follow import FollowOptions
from hotline_host.pipelines.gatherers import HostGatherer
from hotline_host.pipelines.hotline import HotlinePipeline
from hotline_host.pipelines.pipeline import AcceleratorOptions, Pipeline, Setup
from hotline_host.pipelines.registry import PIPELINES
from hotline_host.pipelines.steps import StepResult
from hotline_host.training.dlrm import ModelConfig
from hotline_host.training.inputs import StepInputs, StepSize
from hotline_host.training.ordinary import OrdinaryTrainer
from hotline_host.training.trainer import TrainConfig, Trainer
from hotline_hw.spec.params import PRESETS, Geometry

ROWS = np.array([40, 7, 300, 1])
ROOMY = PRESETS["tiny"].override({"working_rows": 512})
"""Lists every row there is."""
SAMPLES, STEPS = 24, 24


def drifting_log(*, multi_hot: bool, steps: int = STEPS) -> ClickLog:
    """Skewed rows that change over time. The multi-hot bags hold 0 to 3 lookups."""
    rng = np.random.default_rng(8)
    samples = SAMPLES * steps
    lengths = rng.integers(0, 4, (samples, 4)) if multi_hot else np.ones((samples, 4), np.int64)
    tables = np.repeat(np.tile(np.arange(4), samples), lengths.ravel())
    time = np.repeat(np.arange(samples), lengths.sum(1)) // 40
    indices = (0.3 * ROWS[tables] * rng.random(len(tables)) ** 3).astype(np.int64) + time
    return ClickLog(
        name="drifting", tables=tuple("abcd"), rows=ROWS, indices=indices % ROWS[tables], lengths=lengths,
        dense=rng.standard_normal((samples, 3)).astype(np.float32),
        label=(rng.random(samples) < 0.4).astype(np.float32),
    )  # fmt: skip


def config(optimizer: str) -> TrainConfig:
    model = ModelConfig(dimension=12, bottom=(16,), top=(16, 8))  # rows of 48 and 96 bytes: no power of two
    return TrainConfig(model, 3, optimizer, rate=0.05 if optimizer == "adagrad" else 0.5)


def setup(log: ClickLog, optimizer: str = "adagrad", **changes: object) -> Setup:
    """A set-up for the pipelines, in float64. `changes` are attributes of `Setup`."""
    follow = FollowOptions(relearn_share=1.0, select_every=3)
    defaults = {
        "config": config(optimizer), "rows": log.rows, "dtype": torch.float64, "seed": 4, "hot_rows": 32,
        "batch_size": SAMPLES, "batch_lookups": log.most_lookups(SAMPLES),
        "accelerator": AcceleratorOptions(backend="model", geometry=ROOMY, follow=follow),
    }  # fmt: skip
    return Setup(**defaults | changes)


def size_of_batches(batches: Iterable[Batch], moves: int = 0) -> StepSize:
    """Room for each of some mini-batches."""
    batches = list(batches)
    return StepSize(
        max(batch.size for batch in batches), max(len(batch.indices) for batch in batches),
        batches[0].lengths.shape[1], batches[0].dense.shape[1], moves,
    )  # fmt: skip


def ordinary_step(trainer: OrdinaryTrainer, batch: Batch) -> float:
    """One step. Returns its loss."""
    inputs: StepInputs = trainer.pack(batch)
    trainer.step(inputs)
    return float(trainer.losses()[0])


@dataclass
class Run:
    """The outcome of a run. `all_listed`: whether the accelerator listed all the mini-batch's cold rows."""

    pipeline: Pipeline
    losses: np.ndarray = field(default_factory=lambda: np.empty(0))
    gathered: int = 0
    by_host: int = 0
    held: int = 0
    moved: int = 0
    all_listed: list[bool] = field(default_factory=list)

    @property
    def trainer(self) -> Trainer:
        return self.pipeline.trainer

    @property
    def counts(self) -> tuple[int, ...]:
        return self.gathered, self.by_host, self.held, self.moved

    def record(self, result: StepResult) -> None:
        if result.gather and result.split:
            self.gathered += result.gather.gathered
            self.by_host += result.gather.by_host
            self.held += result.gather.held
            self.moved += result.split.moved
            self.all_listed.append(result.gather.gathered > 0 or not result.split.working_rows)


def train(
    name: str = "hotline", optimizer: str = "adagrad", *, multi_hot: bool = True, backend: str = "model",
    geometry: Geometry = ROOMY, by_host: bool = False, select_every: int = 3, steps: int = STEPS, learned: int = 0,
    **changes: object,
) -> Run:  # fmt: skip
    """Trains a pipeline while rows move.

    Args:
        by_host: the host gathers the rows in the accelerator's place.
        learned: mini-batches of the log that are learned from before the training.
        changes: of the set-up.
    """
    log = drifting_log(multi_hot=multi_hot, steps=steps)
    follow = FollowOptions(relearn_share=1.0, select_every=select_every)
    accelerator = AcceleratorOptions(backend=backend, geometry=geometry, follow=follow)
    batches = MiniBatches(log, 0, log.size, SAMPLES)
    changed = setup(log, optimizer, **{"accelerator": accelerator, "hot_rows": geometry.hot_capacity} | changes)
    with PIPELINES[name](changed) as pipeline:
        pipeline.prepare([batches[step] for step in range(learned)], batches)
        if isinstance(pipeline, HotlinePipeline):
            pipeline.driver.configure(Policy(age_period=1))  # popularity is forgotten soon, so rows move often
            if by_host:
                pipeline._gatherer = HostGatherer(pipeline.trainer.pool)
        run, feed = Run(pipeline), iter(batches)
        for _ in range(steps):
            run.record(pipeline.progress(feed))
        run.losses = pipeline.losses()
        pipeline.synchronize()
        pipeline.export()  # while it is open, so that what is behind the steps has come back
    return run
