"""The interface of every way to train.

with PIPELINES[name](setup) as pipeline:
    pipeline.prepare(learned, coming)
    for _ in range(steps):
        result = pipeline.progress(batches)
    logits = pipeline.predict(batch)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from hotline_host.data.delimited import Progress
from hotline_host.data.log import Batch
from hotline_host.driver.follow import FollowOptions
from hotline_host.training.checkpoint import Checkpoint
from hotline_host.training.ranks import Alone, Ranks
from hotline_host.training.saver import Saver
from hotline_host.training.trainer import TrainConfig, Trainer
from hotline_hw.spec.params import Geometry

from .steps import PipelineFigures, StepResult

__all__ = ["AcceleratorOptions", "Pipeline", "Setup"]


@dataclass(frozen=True, kw_only=True)
class AcceleratorOptions:
    """The accelerator, for pipelines that drive one.

    Attributes:
        backend: a name of `hotline_device.registry.BACKENDS`.
        options: keyword arguments of the backend.
        follow: how the hot rows follow popularity.
    """

    backend: str
    geometry: Geometry
    options: dict[str, Any] = field(default_factory=dict)
    follow: FollowOptions = field(default_factory=FollowOptions)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What every pipeline is built from. Pipelines of equal config, rows and seed start from equal parameters.

    Attributes:
        config: the model and its optimizer.
        rows: int64 [T], rows of each table.
        device: torch's, for the dense parameters.
        dtype: of all parameters.
        seed: of the initial parameters.
        batch_size: most samples of a mini-batch; `batch_lookups`, most lookups.
        hot_rows: embedding rows that a pipeline may keep in device memory, if it chooses some.
        schedule: "pool" or "split", for pipelines that have both.
        check: poison storage that owns no row, so that a row read where it does not live shows. Slow.
        folder: where the embedding rows are kept in files, mapped. None: in memory.
        lazy: draw the initial values of a row when it is first needed.
        accelerator: None if there is none.
        ranks: who trains. The pipelines hotline share a mini-batch among them; every rank trains the others by itself.
    """

    config: TrainConfig
    rows: np.ndarray
    batch_size: int
    batch_lookups: int
    device: torch.device | str = "cpu"
    dtype: torch.dtype = torch.float32
    seed: int = 0
    hot_rows: int = 0
    schedule: str = "pool"
    check: bool = False
    folder: Path | None = None
    lazy: bool = False
    accelerator: AcceleratorOptions | None = None
    ranks: Ranks = field(default_factory=Alone)


class Pipeline(ABC):
    """Trains one model, a mini-batch a step. Used in a `with` block, it is closed at the end, even mid-operation.

    A checkpoint that is still being written then is given up: call `saved` before.

    Attributes:
        accelerated: the pipeline drives an accelerator: `Setup.accelerator` must be given.
        trainer: the model, its optimizers and its embedding rows.
    """

    accelerated: ClassVar[bool] = False
    trainer: Trainer

    @abstractmethod
    def __init__(self, setup: Setup) -> None: ...

    @cached_property
    def _saver(self) -> Saver:
        return Saver()

    def prepare(  # noqa: B027  # most pipelines have nothing to prepare
        self, learned: Sequence[Batch], coming: Sequence[Batch], progress: Progress = lambda *_: None
    ) -> None:
        """Gets ready to train.

        Args:
            learned: mini-batches to learn popularity from. They are not trained on.
            coming: the mini-batches to be trained on, to be checked now so that none is refused later.
            progress: called now and then as `progress(what, done, total)`.
        """

    @abstractmethod
    def progress(self, batches: Iterator[Batch]) -> StepResult:
        """Starts one optimizer step, on the oldest mini-batch that was taken from `batches` and not trained on.

        It does not wait for the device. A pipeline may take mini-batches ahead. All calls get the same iterator until
        it ends.

        Raises:
            StopIteration: every mini-batch was trained on. Another iterator may follow.
        """

    def losses(self) -> np.ndarray:
        """float64: the mean BCE of every mini-batch before its step, since the last call. Waits for the device."""
        return self.trainer.losses()

    def synchronize(self) -> None:
        """Returns when the device has nothing left to do."""
        self.trainer.synchronize()

    def predict(self, batch: Batch) -> np.ndarray:
        """float64 [B]: the logit of a click for each sample."""
        return self.trainer.predict(batch)

    def export(self) -> tuple[list[Tensor], list[Tensor]]:
        """On the host: T full tables [rows[t], D], and T row-wise accumulators [rows[t]]."""
        return self.trainer.export()

    def state_dict(self) -> dict[str, Any]:
        """A checkpoint, as `Trainer.state_dict`: every pipeline can load that of another.

        Mini-batches that were taken ahead are not in it; feed them again.
        """
        return self.trainer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint. Mini-batches that were taken ahead are dropped.

        Raises:
            ValueError: the checkpoint is of another model. Nothing has changed then.
        """
        self.saved()
        self.trainer.load_state_dict(state)

    def save(self, folder: Path, step: int, more: dict[str, Any], *, ranks: Ranks | None = None) -> None:
        """Begins to write a checkpoint, from which `resume` goes on exactly, and waits for the one before.

        Every mini-batch that was taken was trained on. Training may go on at once.

        Args:
            step: steps so far.
            more: kept beside it, as `save_checkpoint` allows.
            ranks: who trains. The first one writes it, and the others give it their rows.

        Raises:
            SettingsError: the folder has a checkpoint of a later step.
            OSError: as `saved`.
            RanksError: another rank raises one of these.
        """
        trainer, state = self.trainer, self.trainer.dense_state() | self.splitter_state() | more
        row_bytes = trainer.dimension * trainer.dtype.itemsize
        self._saver.save(folder, step, state, trainer.shards, row_bytes, beside=trainer.saves_beside, ranks=ranks)

    def saved(self, *, wait: bool = True) -> None:
        """Returns when the checkpoint is on the disk, if one is being written.

        Args:
            wait: or only look whether it has ended.

        Raises:
            OSError: it cannot be written. Older checkpoints are there still.
        """
        if wait:
            self._saver.wait()
        else:
            self._saver.look()

    def resume(self, checkpoint: Checkpoint) -> None:
        """Goes on from a checkpoint of a pipeline of this name and set-up. Comes after `prepare`."""
        self.trainer.load_shards(checkpoint.rows())
        self.trainer.load_dense_state(checkpoint.state)

    def splitter_state(self) -> dict[str, Any]:
        """What `resume` needs to split mini-batches as before; empty if the losses do not depend on it."""
        return {}

    def figures(self) -> PipelineFigures:
        """Figures of the run so far. To be asked for before `close`."""
        return PipelineFigures()

    def close(self) -> None:  # noqa: B027  # most pipelines have nothing to close
        """Ends what runs beside training. What was trained can still be read."""

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self._saver.give_up()
        self.close()
