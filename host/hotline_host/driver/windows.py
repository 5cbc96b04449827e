"""The memory windows: which pages the accelerator may touch."""

from __future__ import annotations

from typing import NamedTuple

from hotline_device.device import Device
from hotline_device.host_memory import PAGE_BYTES, Region
from hotline_host.errors import DriverError
from hotline_hw.spec.shell_registers import WINDOWS, window_offset

__all__ = ["Windows"]


class _Extent(NamedTuple):
    begin: int
    end: int
    read: bool
    write: bool


class Windows:
    """Grants the accelerator access to regions, and takes it away. Adjacent extents with equal rights share a window.

    A caller grants no more than the descriptors need: what they read is not to be written, and the other way round.

    Args:
        device: open. No descriptor may be under way when rights change.
        windows: the number of windows it has.
    """

    def __init__(self, device: Device, windows: int = WINDOWS) -> None:
        self._device = device
        self._rights: dict[str, tuple[Region, bool, bool]] = {}
        self._written: list[_Extent | None] = [None] * windows
        for index in range(windows):
            self._set(index, None)

    def expose(self, region: Region, *, read: bool = False, write: bool = False) -> None:
        """Grants these rights to a region, in addition to those it has.

        Raises:
            DriverError: there are more extents than windows. The rights stay as they were.
        """
        key = f"{region.name}@{region.address:x}"
        before = self._rights.get(key)
        if before:
            read, write = read or before[1], write or before[2]
        self._rights[key] = region, read, write
        try:
            self._update()
        except DriverError:
            if before:
                self._rights[key] = before
            else:
                del self._rights[key]
            raise

    def hide(self, region: Region) -> None:
        """Takes all rights to a region away."""
        if self._rights.pop(f"{region.name}@{region.address:x}", None):
            self._update()

    def _update(self) -> None:
        extents: list[_Extent] = []
        for region, read, write in sorted(self._rights.values(), key=lambda right: right[0].address):
            new = _Extent(region.address, region.address + region.size, read, write)
            if extents and extents[-1].end >= new.begin and extents[-1][2:] == new[2:]:
                new = _Extent(extents.pop().begin, new.end, read, write)
            extents.append(new)
        if len(extents) > len(self._written):
            names = ", ".join(right[0].name for right in self._rights.values())
            raise DriverError(
                f"{len(extents)} extents of memory need a window each, and the accelerator has {len(self._written)}: "
                f"{names}; put some of them (tables, say) into one region"
            )
        # An extent that stays keeps its window, so that it is never out of reach.
        free = [index for index, extent in enumerate(self._written) if extent not in extents]
        new_ones = [extent for extent in extents if extent not in self._written]
        for place, index in enumerate(free):
            extent = new_ones[place] if place < len(new_ones) else None
            if extent != self._written[index]:
                self._set(index, extent)

    def _set(self, index: int, extent: _Extent | None) -> None:
        at = window_offset(index)
        self._device.write(at + 12, 0)  # no rights while the address changes
        if extent:
            self._device.write(at, extent.begin & 0xFFFF_FFFF)
            self._device.write(at + 4, extent.begin >> 32)
            self._device.write(at + 8, (extent.end - extent.begin) // PAGE_BYTES)
            self._device.write(at + 12, extent.read | extent.write << 1)
        self._written[index] = extent
