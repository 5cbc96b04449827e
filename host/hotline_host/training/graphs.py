"""Steps as CUDA graphs: one launch in place of some hundred.

A graph replays kernels on the addresses that they had when it was captured. So there is one for each half, whose inputs
stay where they are, and only whole mini-batches take part: their shapes are always the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable

import torch
from torch import Tensor

__all__ = ["StepGraphs"]

_WARM = 3
"""Steps that run as they are before one is captured: they compile kernels, and allocate what stays."""


class StepGraphs:
    """Runs steps that may be captured.

    Args:
        device: a GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._seen: Counter[Hashable] = Counter()
        self._captured: dict[Hashable, tuple[torch.cuda.CUDAGraph, Tensor]] = {}

    def run(self, key: Hashable, step: Callable[[], Tensor]) -> Tensor:
        """Runs a step on the current stream. Returns its loss, which the next step of this key overwrites.

        Args:
            key: steps of one key have one shape, and read and write the same memory.
            step: launches everything and returns the loss. It must not wait for the device.
        """
        if key not in self._captured:
            self._seen[key] += 1
            if self._seen[key] <= _WARM:
                return step()
            self._captured[key] = self._capture(step)
        graph, loss = self._captured[key]
        graph.replay()
        return loss

    def _capture(self, step: Callable[[], Tensor]) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        """Records a step without running it."""
        graph = torch.cuda.CUDAGraph()
        # thread_local: the thread beside this one goes on using the device meanwhile.
        with torch.cuda.graph(graph, stream=torch.cuda.current_stream(self._device), capture_error_mode="thread_local"):
            loss = step()
        return graph, loss
