"""Whether a launcher such as torchrun started this process, and as which."""

from __future__ import annotations

import os

__all__ = ["launched_rank"]

_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What torch.distributed finds the other processes by. One alone may be left over from something else."""


def launched_rank() -> int | None:
    """The number of this process among several; None: it is alone."""
    if not all(os.environ.get(name) for name in _VARIABLES) or int(os.environ["WORLD_SIZE"]) < 2:
        return None
    return int(os.environ["RANK"])
