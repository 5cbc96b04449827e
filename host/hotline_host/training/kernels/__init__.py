"""What a step does with embedding rows: one interface, with a version in torch and one in Triton."""

from __future__ import annotations

import torch

from .kernels import Groups, Kernels
from .torch_kernels import TorchKernels

__all__ = ["Groups", "Kernels", "TorchKernels", "kernels_for"]


def kernels_for(device: torch.device) -> Kernels:
    """The fastest kernels that run on a device."""
    return TorchKernels()
