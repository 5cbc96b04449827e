"""The loss of every step, kept on the device until somebody asks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["Losses"]

_BLOCK = 1024


class Losses:
    """Takes scalars of one device without waiting for it. Costs 4 or 8 bytes a step."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._device, self._dtype = device, dtype
        self._blocks: list[Tensor] = []
        self._count = 0

    def record(self, loss: Tensor) -> None:
        """Keeps the value that the device will have computed by then. `loss` may be overwritten afterwards."""
        block, at = divmod(self._count, _BLOCK)
        if block == len(self._blocks):
            self._blocks.append(torch.empty(_BLOCK, dtype=self._dtype, device=self._device))
        self._blocks[block][at].copy_(loss)
        self._count += 1

    def take(self) -> np.ndarray:
        """float64: all losses since the last call. Waits for the device."""
        values = [block.double().cpu().numpy() for block in self._blocks]
        taken = np.concatenate(values)[: self._count] if values else np.empty(0)
        self._blocks, self._count = [], 0
        return taken
