"""Memory for the data of descriptors, reused by one operation after another."""

from __future__ import annotations

from collections.abc import Sequence
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
    """Hands out parts of two regions: one that the accelerator may only read, and one that it may only write.

    A region that is too small is replaced. Views of a replaced region stay valid, but the accelerator no longer sees
    it.
    """

    def __init__(self, rings: Rings) -> None:
        self._sources = _Pool(rings, "sources", read=True)
        self._targets = _Pool(rings, "targets", write=True)

    def sources(self, *sizes: int) -> list[Buffer]:
        """Buffers of these sizes in bytes, for descriptors to read. They overwrite the sources handed out before."""
        return self._sources.take(sizes)

    def targets(self, *sizes: int) -> list[Buffer]:
        """Buffers of these sizes in bytes, for descriptors to write. They overwrite the targets handed out before."""
        return self._targets.take(sizes)


class _Pool:
    """One region of `Buffers`, and the rights to it."""

    def __init__(self, rings: Rings, name: str, **rights: bool) -> None:
        self._rings, self._name, self._rights = rings, name, rights
        self._region = self._allocate(_LEAST_BYTES)

    def take(self, sizes: Sequence[int]) -> list[Buffer]:
        places = np.cumsum([0, *(-(-size // BUFFER_ALIGN) * BUFFER_ALIGN for size in sizes)])
        total = int(places[-1])
        if total > self._region.size:
            self._rings.windows.hide(self._region)  # frees its window for the new region
            self._region = self._allocate(1 << (total - 1).bit_length())
        return [Buffer(self._region, offset, size) for offset, size in zip(places.tolist(), sizes, strict=False)]

    def _allocate(self, size: int) -> Region:
        region = self._rings.device.memory.allocate(self._name, size)
        self._rings.windows.expose(region, **self._rights)
        return region
