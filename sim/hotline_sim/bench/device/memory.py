"""The memory of a device bench: the DUT's, and a copy for the golden model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from hotline_device.host_memory import PAGE_BYTES, HostMemory, Region
from hotline_sim.memory.timing import Latency, MemoryTiming

__all__ = ["CANARY", "CORNERS", "DISORDER", "FAST", "LIMITED", "Extent", "TwoMemories"]

CANARY = 0xA5

FAST = MemoryTiming()
_SLOW_READS: dict[str, Any] = {"read_latency": Latency(160, "exponential", 80), "r_gap": 0.5, "ar_stall": 0.5}
_SLOW_WRITES: dict[str, Any] = {
    "write_latency": Latency(160, "exponential", 80), "b_gap": 0.5, "aw_stall": 0.5, "w_stall": 0.6, "late_writes": 1.0,
}  # fmt: skip
CORNERS = {
    "fast": FAST,
    "slow_reads": replace(FAST, **_SLOW_READS),
    "slow_writes": replace(FAST, **_SLOW_WRITES),
    "slow": replace(FAST, **_SLOW_READS, **_SLOW_WRITES),
}
"""Reads with and without gaps, writes with and without stalls."""
DISORDER = replace(
    CORNERS["slow"],
    r_gap=0.1,
    ar_stall=0.1,
    interleave=0.5,
    early_data=0.3,
    read_latency=Latency(40, "exponential", 160),
)
"""Reads overtake each other, their beats are interleaved, write data is accepted before its address."""
LIMITED = {1: replace(DISORDER, reads=1, writes=1), 2: replace(DISORDER, reads=2, writes=2)}
"""Limits on outstanding bursts."""


class Extent(NamedTuple):
    """A range of the accelerator's address space."""

    address: int
    size: int

    @property
    def end(self) -> int:
        return self.address + self.size


class TwoMemories:
    """Both memories, with the same regions at the same addresses.

    Args:
        ours: the golden model's. theirs: the DUT's.

    Attributes:
        bad: whole pages. Accesses to them are answered with an error; the golden model finds no memory there.
    """

    def __init__(self, ours: HostMemory, theirs: HostMemory) -> None:
        self.ours, self.theirs = ours, theirs
        self.bad: list[Extent] = []
        self._whole: list[Region] = []  # the golden model's regions, without holes
        self._by_name: dict[str, tuple[Region, Region]] = {}

    def allocate(self, name: str, size: int, fill: int = CANARY, *, at: int | None = None) -> Region:
        """Adds a region to both memories, filled with `fill`. Returns the DUT's: of it, `size` bytes from address `at`
        on, if that is given. Then the region has pages before and behind them as needed."""
        before = 0 if at is None else at % PAGE_BYTES
        page = None if at is None else at - before
        pair = self.ours.allocate(name, before + size, at=page), self.theirs.allocate(name, before + size, at=page)
        assert pair[0].address == pair[1].address, "the memories are not of one layout"
        for region in pair:
            region.data[:] = fill
        self._whole = list(self.ours.regions)
        self._by_name[name] = pair
        return pair[1] if at is None else replace(pair[1], address=at, data=pair[1].data[before : before + size])

    def put(self, address: int, data: np.ndarray) -> None:
        """Writes bytes to both memories."""
        raw = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
        for extent in self._pair(Extent(address, len(raw))):
            extent[:] = raw

    def get(self, address: int, size: int) -> np.ndarray:
        """The DUT's bytes, uint8 [size]."""
        return self._pair(Extent(address, size))[1]

    def due(self, address: int, size: int) -> np.ndarray:
        """The golden model's bytes, uint8 [size]."""
        return self._pair(Extent(address, size))[0]

    def follow(self, extents: Iterable[Extent]) -> None:
        """Copies the DUT's bytes to the golden model's memory."""
        for extent in extents:
            for ours, theirs in self._by_name.values():
                low, high = max(extent.address, ours.address), min(extent.end, ours.address + ours.size)
                if low < high:
                    ours.data[low - ours.address : high - ours.address] = theirs.data[
                        low - ours.address : high - ours.address
                    ]

    def compare(self) -> None:
        """Compares every byte of every region."""
        for name, (ours, theirs) in self._by_name.items():
            if np.array_equal(ours.data, theirs.data):
                continue
            differs = np.flatnonzero(ours.data != theirs.data)
            at = int(differs[0])
            raise AssertionError(
                f"memory at {ours.address + at:#x} ({name} + {at:#x}) holds {theirs.data[at]:#04x}; it must hold "
                f"{ours.data[at]:#04x}; {len(differs)} bytes differ, the last at +{int(differs[-1]):#x}"
            )

    def punch(self, extent: Extent) -> None:
        """Marks pages as bad."""
        assert extent.address % PAGE_BYTES == 0 == extent.size % PAGE_BYTES, "the golden model fails by whole pages"
        self.bad.append(extent)
        self._show()

    def heal(self) -> None:
        """Marks all pages as good."""
        self.bad.clear()
        self._show()

    def is_bad(self, address: int) -> bool:
        """Whether an access to this address is answered with an error. That is also so where there is no memory."""
        return any(extent.address <= address < extent.end for extent in self.bad) or self.theirs.find(address) is None

    def _show(self) -> None:
        """The golden model's regions, cut at bad pages."""
        parts = list(self._whole)
        for hole in self.bad:
            parts = [piece for part in parts for piece in _without(part, hole)]
        self.ours.regions[:] = parts

    def _pair(self, extent: Extent) -> tuple[np.ndarray, np.ndarray]:
        for ours, theirs in self._by_name.values():
            at = extent.address - ours.address
            if 0 <= at and at + extent.size <= ours.size:
                return ours.data[at : at + extent.size], theirs.data[at : at + extent.size]
        raise AssertionError(f"no region holds {extent.size} bytes at {extent.address:#x}")


def _without(region: Region, hole: Extent) -> list[Region]:
    """The parts of a region before and after a hole."""
    begin, end = region.address, region.address + region.size
    pieces = ((begin, min(end, hole.address)), (max(begin, hole.end), end))
    return [
        replace(region, address=low, data=region.data[low - begin : high - begin]) for low, high in pieces if low < high
    ]
