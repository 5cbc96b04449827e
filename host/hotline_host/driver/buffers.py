"""Memory for what descriptors read and write, one operation after another."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hotline_device.host_memory import Region
from hotline_hw.spec.descriptors import BUFFER_ALIGN

from .rings import Rings

__all__ = ["Buffer", "Buffers"]

_LEAST_BYTES = 1 << 20


class Buffer(NamedTuple):
    """`size` bytes of a region, from `offset` on."""

    region: Region
    offset: int
    size: int

    @property
    def address(self) -> int:
        return self.region.address + self.offset

    def array(self, count: int, dtype: Any, offset: int = 0) -> np.ndarray:
        """A view of `count` elements, from a byte of the buffer on."""
        return self.region.array(count, dtype, self.offset + offset)


class Buffers:
    """Hands out parts of one region that the accelerator may read and write; it is replaced where it is too small.

    Views of a region that was replaced stay valid, but the accelerator sees them no longer.
    """

    def __init__(self, rings: Rings) -> None:
        self._rings = rings
        self._region = self._allocate(_LEAST_BYTES)

    def take(self, *sizes: int) -> list[Buffer]:
        """Buffers of so many bytes. They take the place of those that were handed out before."""
        places = np.cumsum([0, *(-(-size // BUFFER_ALIGN) * BUFFER_ALIGN for size in sizes)])
        total = int(places[-1])
        if total > self._region.size:
            self._rings.windows.hide(self._region)  # its window is the new one's
            self._region = self._allocate(1 << (total - 1).bit_length())
        return [Buffer(self._region, offset, size) for offset, size in zip(places.tolist(), sizes, strict=False)]

    def _allocate(self, size: int) -> Region:
        region = self._rings.device.memory.allocate("buffers", size)
        self._rings.windows.expose(region)
        return region
