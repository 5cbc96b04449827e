"""The embedding rows of all tables in host memory: where they are, and their initial values."""

from __future__ import annotations

import mmap
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hotline_device.host_memory import HostMemory, Region
from hotline_device.memory_folder import HoledFile, map_file

from .initial_rows import draw_rows

__all__ = ["holed_zeros", "host_table", "host_zeros", "region_tensor", "shared_table"]


_MAP_NORESERVE = 0x4000 if sys.platform == "linux" else 0
_UNRESERVED = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
"""Memory that may be larger than what there is, as most of it is never used."""


def host_table(
    rows: np.ndarray, dimension: int, *, seed: int, dtype: torch.dtype, folder: Path | None = None
) -> Tensor:
    """[sum(rows), D]: all tables end to end, with their initial values (`draw_rows`).

    Args:
        folder: keep the table in a file there, mapped, so that it may be larger than memory. The file has no name: it
            goes with the process, however that ends.

    Raises:
        OSError: there is no room for the file.
    """
    count = int(np.sum(rows))
    table = host_zeros(count * dimension, dtype=dtype, folder=folder).view(count, dimension)
    return draw_rows(table, rows, seed=seed)


def host_zeros(count: int, *, dtype: torch.dtype, folder: Path | None = None) -> Tensor:
    """[count] of zeros; with `folder` in a file as in `host_table`."""
    size = count * dtype.itemsize
    if not size:
        return torch.zeros(count, dtype=dtype)
    if folder is None:
        mapped = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with suppress(OSError):  # a kernel without huge pages
            mapped.madvise(mmap.MADV_HUGEPAGE)  # the first access to each page is most of a large table's start-up
    else:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="hotline-tables-", dir=folder) as unnamed:
            mapped = map_file(Path(unnamed) / "rows", size, "a file of embedding rows")
    return torch.frombuffer(mapped, dtype=dtype)


def holed_zeros(count: int, *, dtype: torch.dtype, folder: Path | None = None) -> tuple[Tensor, HoledFile | None]:
    """[count] of zeros that take space as they are used. In a file they must be reserved before they are written.

    Returns:
        The numbers, and the file; None without `folder`.

    Raises:
        OSError: there is not so much address space, or files cannot be so large.
    """
    size = count * dtype.itemsize
    if not size:
        return torch.zeros(count, dtype=dtype), None
    if folder is None:
        return torch.frombuffer(mmap.mmap(-1, size, flags=_UNRESERVED), dtype=dtype), None
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="hotline-tables-", dir=folder) as unnamed:
        file = HoledFile(Path(unnamed) / "rows", size, "a file of embedding rows", folder)
    return torch.frombuffer(file.mapped, dtype=dtype), file


def shared_table(
    memory: HostMemory, rows: np.ndarray, dimension: int, *, seed: int, dtype: torch.dtype, folder: Path | None = None
) -> tuple[Tensor, Region]:
    """As `host_table`, in a region of an accelerator's memory."""
    shape = torch.Size((int(np.sum(rows)), dimension))
    region = memory.allocate("tables", max(1, shape.numel() * dtype.itemsize), folder)
    return draw_rows(region_tensor(region, shape, dtype), rows, seed=seed), region


def region_tensor(region: Region, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """A region's memory as a tensor. It is viewed as bytes first: NumPy and torch name element types differently."""
    size = shape.numel() * dtype.itemsize
    return torch.from_numpy(region.array(size, np.uint8)).view(dtype).view(shape)
