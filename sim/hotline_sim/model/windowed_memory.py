"""The memory that the golden model's AXI manager can access: the pages of its windows, where there is memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hotline_device.host_memory import PAGE_BYTES, HostMemory
from hotline_hw.spec.descriptors import GRANULE_BYTES, Status

__all__ = ["Fault", "Window", "WindowedMemory"]

_PAGE_BITS = PAGE_BYTES.bit_length() - 1
_ADDRESSES = 1 << 64


class Fault(NamedTuple):
    """Why an access failed, and its first byte in the page that caused it."""

    status: Status
    address: int


@dataclass
class Window:
    """Pages `page` to `page + pages - 1`; they end at the top of memory, whatever `pages` says."""

    page: int = 0
    pages: int = 0
    read: bool = False
    write: bool = False


class WindowedMemory:
    """Reads and writes, page by page. An access outside all windows gives Status.WINDOW; one where there is no memory
    gives READ or WRITE, as on a bus that answers DECERR.

    Args:
        memory: the device's.
        windows: the caller may change them at any time.
    """

    def __init__(self, memory: HostMemory, windows: list[Window]) -> None:
        self.memory, self.windows = memory, windows

    def inside(self, pages: np.ndarray, *, write: bool) -> np.ndarray:
        """bool [n]: whether the pages (uint64 [n]) are in windows with that right."""
        answer = np.zeros(len(pages), bool)
        for window in self.windows:
            if window.write if write else window.read:
                first = np.uint64(window.page)
                answer |= (pages >= first) & (pages - first < np.uint64(window.pages))
        return answer

    def covers(self, address: int, size: int, *, write: bool) -> bool:
        """Whether the first and the last byte are in windows."""
        last = address + size - 1
        if last >= _ADDRESSES:
            return False
        return bool(self.inside(np.array([address, last], np.uint64) >> np.uint64(_PAGE_BITS), write=write).all())

    def read(self, address: int, size: int) -> tuple[np.ndarray, np.ndarray | None, Fault | None]:
        """`size` bytes.

        Returns:
            uint8 [size], zero where they could not be read; bool [size], which could be, None for all; the first fault.
        """
        if (found := self._whole(address, size, write=False)) is not None:
            return found.copy(), None, None
        data, good, first = np.zeros(size, np.uint8), np.zeros(size, bool), None
        for start, end in _pieces(address, size):
            piece, fault = self._piece(address + start, end - start, write=False)
            if piece is not None:
                data[start:end], good[start:end] = piece, True
            first = first or fault
        return data, good if first else None, first

    def write(self, address: int, data: np.ndarray) -> Fault | None:
        """Writes an array's bytes, page by page up to the first fault, which is returned."""
        data = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
        if not len(data):
            return None
        if (found := self._whole(address, len(data), write=True)) is not None:
            found[:] = data
            return None
        for start, end in _pieces(address, len(data)):
            piece, fault = self._piece(address + start, end - start, write=True)
            if piece is None:
                return fault
            piece[:] = data[start:end]
        return None

    def gather(self, addresses: np.ndarray, size: int) -> tuple[np.ndarray, int, Fault | None]:
        """Rows of `size` bytes, at most a page, at `addresses` (uint64 [n]), all multiples of GRANULE_BYTES.

        Returns:
            uint8 [m, size], the m rows before the first that cannot be read; m; that row's fault.
        """
        shift = np.uint64(_PAGE_BITS)
        ends = addresses + np.uint64(size - 1)
        begins_inside = self.inside(addresses >> shift, write=False)
        inside = begins_inside & self.inside(ends >> shift, write=False)
        rows = np.zeros((len(addresses), size // GRANULE_BYTES, GRANULE_BYTES // 8), np.uint64)
        there = np.zeros(len(addresses), bool)
        for region in self.memory.regions:
            last = np.uint64(region.address + region.size - 1)  # a region may end at the top of 64 bits
            here = (addresses >= np.uint64(region.address)) & (addresses <= ends) & (ends <= last) & inside
            first = (addresses[here] - np.uint64(region.address)).astype(np.int64) // GRANULE_BYTES
            granules = region.data.view(np.uint64).reshape(-1, GRANULE_BYTES // 8)
            rows[here] = granules[first[:, None] + np.arange(size // GRANULE_BYTES)]
            there |= here
        fault, good = None, len(addresses)
        if not there.all():
            good = int(there.argmin())
            address, page = int(addresses[good]), int(ends[good] >> shift) << _PAGE_BITS
            if not inside[good]:
                fault = Fault(Status.WINDOW, page if begins_inside[good] else address)
            else:
                fault = Fault(Status.READ, address)
        return rows[:good].view(np.uint8).reshape(good, size), good, fault

    def _whole(self, address: int, size: int, *, write: bool) -> np.ndarray | None:
        """A view of the bytes; None unless all of them can be accessed."""
        pages = np.arange(address >> _PAGE_BITS, (address + size - 1 >> _PAGE_BITS) + 1, dtype=np.uint64)
        if (found := self.memory.find(address, size)) is None or not self.inside(pages, write=write).all():
            return None
        region, offset = found
        return region.data[offset : offset + size]

    def _piece(self, address: int, size: int, *, write: bool) -> tuple[np.ndarray | None, Fault | None]:
        """A view of a part of a page, or why it cannot be accessed."""
        if not self.inside(np.array([address >> _PAGE_BITS], np.uint64), write=write)[0]:
            return None, Fault(Status.WINDOW, address)
        if (found := self.memory.find(address, size)) is None:
            return None, Fault(Status.WRITE if write else Status.READ, address)
        region, offset = found
        return region.data[offset : offset + size], None


def _pieces(address: int, size: int) -> list[tuple[int, int]]:
    """Begin and end of each page's part of an extent, relative to its first byte."""
    cuts = range(PAGE_BYTES - address % PAGE_BYTES, size, PAGE_BYTES)
    return list(zip([0, *cuts], [*cuts, size], strict=True))
