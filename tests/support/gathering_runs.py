"""Training with an accelerator that gathers, for tests: runs on one log, with rows in flux that must not be read."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
import torch

from hotline_device.registry import open_device
from hotline_host.data.log import ClickLog
from hotline_host.data.minibatches import MiniBatches
from hotline_host.driver.driver import Driver, Policy
from hotline_host.driver.follow import FollowOptions
from hotline_host.pipelines.lookahead import LookAhead, Ready
from hotline_host.training.dlrm import ModelConfig
from hotline_host.training.ordinary import OrdinaryTrainer
from hotline_host.training.step import SplitTrainer
from hotline_host.training.trainer import TrainConfig
from hotline_hw.spec.params import PRESETS, Geometry

ROWS = np.array([40, 7, 300, 1])
ROOMY = PRESETS["tiny"].override({"working_rows": 512})
"""Lists every row there is."""
SAMPLES, STEPS = 24, 24


def drifting_log(*, multi_hot: bool) -> ClickLog:
    """Skewed rows that change over time. The multi-hot bags hold 0 to 3 lookups."""
    rng = np.random.default_rng(8)
    samples = SAMPLES * STEPS
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
    model = ModelConfig(dimension=6, bottom=(16,), top=(16, 8))  # rows of 48 bytes in float64, so held ones are aligned
    return TrainConfig(model, 3, optimizer, rate=0.05 if optimizer == "adagrad" else 0.5)


@dataclass
class Run:
    """The outcome of a run. `all_listed`: whether the accelerator listed all the mini-batch's cold rows."""

    trainer: SplitTrainer | OrdinaryTrainer
    losses: list[float] = field(default_factory=list)
    early: int = 0
    late: int = 0
    held: int = 0
    moved: int = 0
    all_listed: list[bool] = field(default_factory=list)

    def record(self, ready: Ready, loss: float) -> None:
        self.losses.append(loss)
        self.early += ready.gathering.early
        self.late += ready.gathering.late
        self.moved += len(ready.moves or ())
        self.all_listed.append(ready.split.working is not None)
        self.held += ready.split.working.held if ready.split.working else 0


def train(
    backend: str, optimizer: str = "adagrad", *, multi_hot: bool = True, geometry: Geometry = ROOMY,
    by_host: bool = False, poison: bool = False, select_every: int = 3, steps: int = STEPS,
) -> Run:  # fmt: skip
    """Trains in float64 while rows move.

    Args:
        by_host: ignores working parameters, so that the host gathers.
        poison: rows in flux are NaN while the accelerator works beside a step.
    """
    log = drifting_log(multi_hot=multi_hot)
    batches = MiniBatches(log, 0, log.size, SAMPLES)
    with open_device(backend, geometry) as device:
        driver = Driver(device)
        driver.configure(Policy(age_period=1))
        trainer = SplitTrainer(
            config(optimizer), ROWS, geometry.hot_capacity, dtype=torch.float64, seed=4, memory=device.memory
        )
        run = Run(trainer)
        with closing(
            LookAhead(driver, trainer, FollowOptions(relearn_share=1.0, select_every=select_every))
        ) as look_ahead:
            poisoned = _Poison(look_ahead, trainer, batches) if poison else None
            feed = (batches[step] for step in range(steps))
            for _ in range(steps):
                ready = look_ahead.next(feed)
                if poisoned:
                    poisoned.lift()
                working = None if by_host else ready.working
                run.record(ready, trainer.step(ready.batch, ready.split.popular, ready.split.slots, working))
    return run


def train_ordinary(optimizer: str, *, multi_hot: bool, steps: int = STEPS) -> Run:
    log = drifting_log(multi_hot=multi_hot)
    batches = MiniBatches(log, 0, log.size, SAMPLES)
    trainer = OrdinaryTrainer(config(optimizer), ROWS, dtype=torch.float64, seed=4)
    return Run(trainer, [trainer.step(batches[step]) for step in range(steps)])


class _Poison:
    """Makes the rows that the step will update NaN in host memory. They are NaN from when a mini-batch is ready until
    the accelerator has done all its work beside the step.
    """

    def __init__(self, look_ahead: LookAhead, trainer: SplitTrainer, batches: MiniBatches) -> None:
        self._look_ahead, self._store = look_ahead, trainer.store
        self._step, self._saved = 0, (torch.empty(0), torch.empty(0))
        finish = look_ahead._gatherer.finish

        def finish_and_poison(gathering):
            working = finish(gathering)
            batch = batches[self._step]
            cold = gathering.split.slots < 0
            keys = np.unique(trainer.tables.keys(batch.tables[cold], batch.indices[cold]))
            self._saved = torch.from_numpy(keys), self._store.cold[keys].clone()
            self._store.cold[keys] = torch.nan
            self._step += 1
            return working

        look_ahead._gatherer.finish = finish_and_poison

    def lift(self) -> None:
        self._look_ahead.wait()
        keys, rows = self._saved
        self._store.cold[keys] = rows
