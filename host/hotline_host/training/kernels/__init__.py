"""What a step does with embedding rows: one interface, with a version in torch and one in Triton."""

from __future__ import annotations

import os
from importlib.util import find_spec

import torch

from .kernels import Groups, Kernels
from .torch_kernels import TorchKernels

__all__ = ["Groups", "Kernels", "TorchKernels", "kernels_for"]


def kernels_for(device: torch.device) -> Kernels:
    """The fastest kernels that run on a device: Triton's on CUDA where Triton can be imported, else torch's.

    With TRITON_INTERPRET=1 in the environment they are Triton's on the CPU too, for tests: that is very slow.
    """
    wanted = device.type == "cuda" or os.environ.get("TRITON_INTERPRET") == "1"
    if wanted and find_spec("triton") is not None:
        from .triton_kernels import TritonKernels

        return TritonKernels()
    return TorchKernels()
