"""Memory shared by host and card, in buffers of u-dma-buf."""

from __future__ import annotations

import mmap
import os
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hotline_device.device import DeviceError
from hotline_device.host_memory import PAGE_BYTES, HostMemory, Region

from .files import open_file, read_number

__all__ = ["BufferMemory"]

_LOAD = (
    "load the driver (https://github.com/ikwzm/udmabuf): modprobe u-dma-buf {name}=1073741824 dma_mask_bit=64; "
    "a buffer of more than a few MiB needs room for contiguous memory too (kernel parameter cma=2G)"
)


@dataclass
class _Buffer:
    """A buffer. Bytes from `used` on are free."""

    path: Path
    address: int
    data: np.ndarray
    used: int = 0

    @property
    def left(self) -> int:
        return len(self.data) - self.used


class BufferMemory(HostMemory):
    """Regions, one after another, in buffers that are contiguous for the card.

    A region's `path` is the file of its buffer, in which it starts at `address` minus the buffer's address. Memory is
    freed only by `close`.

    Args:
        buffers: device files of u-dma-buf. A region is placed in the first with room.
        sysfs: a folder that contains, for each buffer, a folder of its name with `size` and `phys_addr`.

    Raises:
        DeviceError: a buffer cannot be used; the message says what to load or to change.
    """

    def __init__(
        self, buffers: Sequence[str | Path] = ("/dev/udmabuf0",), *, sysfs: str | Path = "/sys/class/u-dma-buf"
    ) -> None:
        if not buffers:
            raise ValueError("buffers is empty: name one device file of u-dma-buf at least, /dev/udmabuf0 say")
        self.regions: list[Region] = []
        self._buffers = [_open_buffer(Path(path), Path(sysfs)) for path in buffers]

    def allocate(
        self, name: str, size: int, folder: Path | None = None, *, at: int | None = None, holes: bool = False
    ) -> Region:
        """A new region of `size` bytes or more (whole pages), zero at first. There are no holes in a buffer.

        Raises:
            ValueError: the size is not positive.
            DeviceError: no buffer has enough room left, or a folder or an address is asked for.
        """
        if at is not None:
            raise DeviceError(f"region {name!r} cannot be at {at:#x}: its address is that of a buffer of the card")
        if folder:
            raise DeviceError(f"region {name!r} cannot be a file in {folder}: the card reaches its buffers alone")
        if size <= 0:
            raise ValueError(f"region {name!r} of {size} bytes: the size must be positive")
        size = -(-size // PAGE_BYTES) * PAGE_BYTES
        for buffer in self._buffers:
            if buffer.left >= size:
                break
        else:
            left = ", ".join(f"{b.path} has {b.left} of {len(b.data)} bytes left" for b in self._buffers)
            raise DeviceError(
                f"region {name!r} of {size} bytes does not fit: {left}. Load u-dma-buf with a larger buffer: "
                f"rmmod u-dma-buf; modprobe u-dma-buf {self._buffers[0].path.name}=BYTES"
            )
        data = buffer.data[buffer.used : buffer.used + size]
        data[:] = 0
        region = Region(name, buffer.address + buffer.used, data, buffer.path)
        buffer.used += size
        insort(self.regions, region, key=lambda other: other.address)
        return region

    def close(self) -> None:
        """Closes the buffers. Existing views stay valid, but the next user of the buffers shares their bytes."""
        self._buffers = []


def _open_buffer(path: Path, sysfs: Path) -> _Buffer:
    load = _LOAD.format(name=path.name)
    size = read_number(sysfs / path.name / "size", f"the size of {path}", load)
    address = read_number(sysfs / path.name / "phys_addr", f"the bus address of {path}", load)
    descriptor = open_file(path, os.O_RDWR, "memory that is shared with the card", load)
    try:
        mapped = mmap.mmap(descriptor, size)
    except (OSError, ValueError) as error:
        raise DeviceError(
            f"{path} cannot be mapped: {error}. Its {size} bytes, as {sysfs / path.name / 'size'} tells, are not there"
        ) from None
    finally:
        os.close(descriptor)
    skipped = -address % PAGE_BYTES  # the driver allocates whole pages, but does not guarantee it
    usable = (size - skipped) // PAGE_BYTES * PAGE_BYTES
    if usable <= 0:
        raise DeviceError(f"{path} has {size} bytes at {address:#x}, not a page of {PAGE_BYTES}: {load}")
    return _Buffer(path, address + skipped, np.frombuffer(mapped, np.uint8, usable, skipped))
