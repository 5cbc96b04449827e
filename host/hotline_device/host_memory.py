"""Memory shared by host and accelerator: regions of the accelerator's address space.

address      0x1_0000_0000          0x1_4000_0000
             [ region "rings"  ]    [ region "tables"          ]  ...
host              a file's bytes, mapped: NumPy arrays and tensors are views of it
"""

from __future__ import annotations

import mmap
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["BASE_ADDRESS", "PAGE_BYTES", "HostMemory", "Region"]

PAGE_BYTES = 4096
BASE_ADDRESS = 1 << 32
_GAP_BYTES = 1 << 30  # between regions, so that running past the end of one does not reach another


@dataclass(frozen=True)
class Region:
    """Memory that is contiguous on both sides.

    Attributes:
        address: the accelerator's address of the first byte; a multiple of PAGE_BYTES.
        data: uint8 [size], zero at first; size is a multiple of PAGE_BYTES.
        path: the mapped file, for other processes to map.
    """

    name: str
    address: int
    data: np.ndarray
    path: Path

    @property
    def size(self) -> int:
        return len(self.data)

    def array(self, shape: int | tuple[int, ...], dtype: Any, offset: int = 0) -> np.ndarray:
        """A view of the bytes from `offset` on, as an array."""
        count = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return self.data[offset : offset + count].view(dtype).reshape(shape)


class HostMemory:
    """Regions, each in a sparse file: memory is allocated on first access.

    Attributes:
        regions: in ascending order of addresses.
    """

    def __init__(self) -> None:
        shared = Path("/dev/shm")
        self._folder = tempfile.TemporaryDirectory(prefix="hotline-memory-", dir=shared if shared.is_dir() else None)
        self._next = BASE_ADDRESS
        self.regions: list[Region] = []

    def allocate(self, name: str, size: int) -> Region:
        """A new region of `size` bytes or more (whole pages), zero at first.

        Raises:
            ValueError: the size is not positive.
        """
        if size <= 0:
            raise ValueError(f"region {name!r} of {size} bytes: the size must be positive")
        size = -(-size // PAGE_BYTES) * PAGE_BYTES
        path = Path(self._folder.name) / f"{len(self.regions)}-{name}"
        with path.open("w+b") as file:
            os.truncate(file.fileno(), size)
            mapped = mmap.mmap(file.fileno(), size)
        region = Region(name, self._next, np.frombuffer(mapped, np.uint8), path)
        self._next += -(-size // _GAP_BYTES) * _GAP_BYTES + _GAP_BYTES
        self.regions.append(region)
        return region

    def find(self, address: int, size: int = 1) -> tuple[Region, int] | None:
        """The region that contains all `size` bytes at `address`, and the offset in it; None if there is none."""
        for region in self.regions:
            if region.address <= address and address + size <= region.address + region.size:
                return region, address - region.address
        return None

    def close(self) -> None:
        """Removes the files. Existing views stay valid."""
        self._folder.cleanup()
