"""Memory for the data of descriptors, reused by one operation after another."""

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
        """A view of `count` elements, from byte `offset` of the buffer on."""
        return self.region.array(count, dtype, self.offset + offset)


class Buffers:
    """Hands out parts of one region that the accelerator may read and write. A region that is too small is replaced.

    Views of a replaced region stay valid, but the accelerator no longer sees it.
    """

    def __init__(self, rings: Rings) -> None:
        self._rings = rings
        self._region = self._allocate(_LEAST_BYTES)

    def take(self, *sizes: int) -> list[Buffer]:
        """Buffers of these sizes in bytes. They overwrite the buffers that were handed out before."""
        places = np.cumsum([0, *(-(-size // BUFFER_ALIGN) * BUFFER_ALIGN for size in sizes)])
        total = int(places[-1])
        if total > self._region.size:
            self._rings.windows.hide(self._region)  # frees its window for the new region
            self._region = self._allocate(1 << (total - 1).bit_length())
        return [Buffer(self._region, offset, size) for offset, size in zip(places.tolist(), sizes, strict=False)]

    def _allocate(self, size: int) -> Region:
        region = self._rings.device.memory.allocate("buffers", size)
        self._rings.windows.expose(region)
        return region
