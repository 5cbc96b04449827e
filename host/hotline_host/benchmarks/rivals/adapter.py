"""What the measurement asks of a pipeline beyond training, in one place."""

from __future__ import annotations

import numpy as np
import torch

from hotline_host.pipelines.pipeline import Pipeline
from hotline_host.pipelines.steps import StepResult

__all__ = ["losses_of", "synchronize"]


def synchronize(pipeline: Pipeline) -> None:
    """Waits until the device has done all steps."""
    if pipeline.trainer.device.type == "cuda":
        torch.cuda.synchronize(pipeline.trainer.device)


def losses_of(pipeline: Pipeline, results: list[StepResult]) -> np.ndarray:
    """float64 [n]: losses of the steps since the last call, which `results` tell of."""
    return np.array([result.loss for result in results])
