"""FBGEMM's table-batched embedding, where it is installed: what TorchRec trains with.

The next mini-batch is laid out beside the step. On a GPU its rows are also brought into FBGEMM's cache beside the step,
as in TorchRec's prefetch pipeline.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hotline_host.data.log import Batch
from hotline_host.stopwatch import Parts
from hotline_host.training.fbgemm import FbgemmInputs, FbgemmTrainer

from .pipeline import Pipeline, Setup
from .steps import PipelineFigures, StepResult

__all__ = ["FbgemmPipeline"]


class FbgemmPipeline(Pipeline):
    """Raises SettingsError if FBGEMM cannot be imported. `setup.hot_rows` is the size of its cache on a GPU."""

    def __init__(self, setup: Setup) -> None:
        self.trainer: FbgemmTrainer = FbgemmTrainer(
            setup.config, setup.rows, setup.hot_rows, device=setup.device, dtype=setup.dtype, seed=setup.seed
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="look-ahead")
        self._parts = Parts("pack", "wait", "train")
        self._ready: FbgemmInputs | None = None  # and prefetched: the operator's next step must be on it

    def progress(self, batches: Iterator[Batch]) -> StepResult:
        inputs, self._ready = self._ready, None
        if inputs is None:
            inputs = self._pack(next(batches))
            self.trainer.prefetch(inputs)
        following = next(batches, None)
        coming = None if following is None else self._thread.submit(self._pack, following)
        with self._parts("train"):
            self.trainer.step(inputs)
        if coming is not None:
            with self._parts("wait"):
                self._ready = coming.result()
            self.trainer.prefetch(self._ready)
        return StepResult()

    def _pack(self, batch: Batch) -> FbgemmInputs:
        with self._parts("pack"):
            return self.trainer.pack(batch)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        ready, self._ready = self._ready, None
        if ready is not None:
            self.trainer.drop(ready)
        super().load_state_dict(state)

    def figures(self) -> PipelineFigures:
        missed = self.trainer.missed_bytes
        # FBGEMM does not count the rows that leave its cache. A full cache loses as many as it takes.
        return PipelineFigures(
            dict(self._parts.seconds),
            hbm_bytes=self.trainer.device_bytes,
            link_bytes_in=self.trainer.bytes_in + missed,
            link_bytes_out=missed,
        )

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)
