"""The processes that a launcher such as torchrun started for this command."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from hotline_host.errors import RanksError
from hotline_host.launched import launched_rank

from .ranks import Alone, Ranks
from .together import Together

__all__ = ["launched_device", "launched_ranks"]


def launched_device(name: str) -> str:
    """ "cuda" is the GPU of this process's number on its node. Other names stay as they are."""
    local = os.environ.get("LOCAL_RANK")
    return f"cuda:{local}" if name == "cuda" and local and launched_rank() is not None else name


@contextmanager
def launched_ranks(device: torch.device, timeout: float, accelerators: str) -> Iterator[Ranks]:
    """Who trains: all processes that a launcher started, else this one alone. Arguments as `Together`.

    Raises:
        RanksError: not all of them have come within `timeout` seconds, or one is gone. DistributedDataParallel says so
            by a RuntimeError of another kind.
    """
    if launched_rank() is None:
        yield Alone()
        return
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    try:
        backend = "cpu:gloo,cuda:nccl" if on_gpu and dist.is_nccl_available() else "gloo"
        dist.init_process_group(backend, timeout=timedelta(seconds=timeout))
        ranks = Together(device=device, timeout=timeout, accelerators=accelerators)
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise RanksError(f"the {os.environ['WORLD_SIZE']} processes have not found each other: {reason}") from None
    try:
        yield ranks
        dist.barrier()  # nobody ends while another still reads from it
        dist.destroy_process_group()
    except RuntimeError as error:
        if (lost := ranks.lost("gradients of dense parameters", error)) is None:
            raise
        raise lost from None
