"""Ordinary training: one mini-batch after the other, over full tables in host memory."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from hotline_host.data.log import Batch
from hotline_host.stopwatch import Parts
from hotline_host.training.inputs import StepInputs
from hotline_host.training.ordinary import OrdinaryTrainer

from .pipeline import Pipeline, Setup
from .pooled import size_of
from .steps import PipelineFigures, StepResult

__all__ = ["OrdinaryPipeline"]


class OrdinaryPipeline(Pipeline):
    """Hotline's reference: no row is hot. The next mini-batch's lookups are grouped beside the step."""

    def __init__(self, setup: Setup) -> None:
        self.trainer: OrdinaryTrainer = OrdinaryTrainer(
            setup.config,
            setup.rows,
            size_of(setup, 0),
            device=setup.device,
            dtype=setup.dtype,
            seed=setup.seed,
            folder=setup.folder,
            lazy=setup.lazy,
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="look-ahead")
        self._coming: Future[StepInputs] | None = None
        self._parts = Parts("pack", "wait", "train")

    def progress(self, batches: Iterator[Batch]) -> StepResult:
        coming = self._coming or self._thread.submit(self._pack, next(batches))
        self._coming = None
        with self._parts("wait"):
            inputs = coming.result()
        following = next(batches, None)
        if following is not None:
            self._coming = self._thread.submit(self._pack, following)
        with self._parts("train"):
            self.trainer.step(inputs)
        return StepResult()

    def _pack(self, batch: Batch) -> StepInputs:
        with self._parts("pack"):
            return self.trainer.pack(batch)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self._coming:
            wait([self._coming])
            self._coming = None
        super().load_state_dict(state)

    def figures(self) -> PipelineFigures:
        link = self.trainer.link
        return PipelineFigures(
            dict(self._parts.seconds),
            hbm_bytes=self.trainer.device_bytes,
            link_bytes_in=link.bytes_in,
            link_bytes_out=link.bytes_out,
        )

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)
