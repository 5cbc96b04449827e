"""Who trains, where nobody says."""

from __future__ import annotations

import torch
import torch.distributed as dist

from hotline_host.training.ranks import Alone, Ranks, Together

__all__ = ["present_ranks"]


def present_ranks(device: torch.device) -> Ranks:
    """All processes of torch.distributed if it is initialised, else this one alone."""
    several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
    return Together(device=device) if several else Alone()
