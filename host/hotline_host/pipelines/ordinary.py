"""Ordinary training: one mini-batch after the other, over full tables in host memory."""

from __future__ import annotations

from collections.abc import Iterator

from hotline_host.data.log import Batch
from hotline_host.training.ordinary import OrdinaryTrainer

from .pipeline import Pipeline, Setup
from .steps import StepResult

__all__ = ["OrdinaryPipeline"]


class OrdinaryPipeline(Pipeline):
    """Hotline's reference: no row is hot, nothing is taken ahead."""

    def __init__(self, setup: Setup) -> None:
        self.trainer: OrdinaryTrainer = OrdinaryTrainer(
            setup.config, setup.rows, device=setup.device, dtype=setup.dtype, seed=setup.seed
        )

    def progress(self, batches: Iterator[Batch]) -> StepResult:
        return StepResult(self.trainer.step(next(batches)))
