"""Memory shared by host and accelerator: regions of the accelerator's address space.

address      0x1_0000_0000          0x1_4000_0000
             [ region "rings"  ]    [ region "tables"          ]  ...
host              a file's bytes, mapped: NumPy arrays and tensors are views of it
"""

from __future__ import annotations

import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .memory_folder import PAGE_BYTES, HoledFile, MemoryFolder, map_file

__all__ = ["BASE_ADDRESS", "PAGE_BYTES", "HostMemory", "Region"]

BASE_ADDRESS = 1 << 32
_GAP_BYTES = 1 << 30  # between regions, so that running past the end of one does not reach another


@dataclass(frozen=True)
class Region:
    """Memory that is contiguous on both sides.

    Attributes:
        address: the accelerator's address of the first byte; a multiple of PAGE_BYTES.
        data: uint8 [size], zero at first; size is a multiple of PAGE_BYTES.
        path: the mapped file, for other processes to map.
        holes: the file, if its space is not reserved yet.
    """

    name: str
    address: int
    data: np.ndarray
    path: Path
    holes: HoledFile | None = None

    @property
    def size(self) -> int:
        return len(self.data)

    def array(self, shape: int | tuple[int, ...], dtype: Any, offset: int = 0) -> np.ndarray:
        """A view of the bytes from `offset` on, as an array."""
        count = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return self.data[offset : offset + count].view(dtype).reshape(shape)


class HostMemory:
    """Regions, each in a file of its own.

    Attributes:
        regions: in the order in which they were allocated.
    """

    def __init__(self) -> None:
        self._folders: dict[Path, MemoryFolder] = {}
        self._next = BASE_ADDRESS
        self.regions: list[Region] = []

    def allocate(
        self, name: str, size: int, folder: Path | None = None, *, at: int | None = None, holes: bool = False
    ) -> Region:
        """A new region of `size` bytes or more (whole pages), zero at first. Its memory is reserved.

        Args:
            folder: where its file is. None: in shared memory, where the system has it.
            at: its address. None: behind the regions so far, with a gap.
            holes: do not reserve its memory. The caller does so, by `Region.holes`, before anyone uses it.

        Raises:
            ValueError: the size is not positive, the address is not that of a page, or the region overlaps another or
                ends beyond 64-bit addresses.
            OSError: there is no room for it.
        """
        if size <= 0:
            raise ValueError(f"region {name!r} of {size} bytes: the size must be positive")
        size = -(-size // PAGE_BYTES) * PAGE_BYTES
        if at is None:
            at = self._next
            self._next += -(-size // _GAP_BYTES) * _GAP_BYTES + _GAP_BYTES
        self._check_place(name, at, size)
        path = self._folder(folder or _shared_memory()) / f"{len(self.regions)}-{name}"
        file = HoledFile(path, size, f"region {name!r}") if holes else None
        mapped = file.mapped if file else map_file(path, size, f"region {name!r}")
        region = Region(name, at, np.frombuffer(mapped, np.uint8), path, file)
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
        for folder in self._folders.values():
            folder.remove()
        self._folders.clear()

    def _check_place(self, name: str, at: int, size: int) -> None:
        if at % PAGE_BYTES or not 0 <= at <= (1 << 64) - size:
            raise ValueError(f"region {name!r} at {at:#x}: must be a multiple of {PAGE_BYTES}, and end within 64 bits")
        for other in self.regions:
            if at < other.address + other.size and other.address < at + size:
                raise ValueError(f"region {name!r} at {at:#x} overlaps {other.name!r} at {other.address:#x}")

    def _folder(self, place: Path) -> Path:
        if place not in self._folders:
            self._folders[place] = folder = MemoryFolder(place)
            weakref.finalize(self, folder.remove)
        return self._folders[place].path


def _shared_memory() -> Path:
    shared = Path("/dev/shm")
    return shared if shared.is_dir() else Path(tempfile.gettempdir())
