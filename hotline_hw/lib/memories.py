"""Which kind of memory of an FPGA a large memory is meant for."""

from __future__ import annotations

from hotline_hw.spec.params import Geometry

__all__ = ["ULTRA_ENTRIES", "UNCHECKED", "deep"]

UNCHECKED: dict[str, str | int] = {"no_rw_check": 1}
"""Attributes of a memory from which nobody uses what is read while the same row is being written.

Verilog says that the old row is read then. Block RAMs of some parts do not do that by themselves. Without the attribute
Yosys adds registers and multiplexers around them.
"""

ULTRA_ENTRIES = 1 << 18
"""Entries from which a tracker is only for parts that have UltraRAM."""


def deep(geometry: Geometry) -> dict[str, str | int]:
    """Attributes of a memory of thousands of rows with one port that reads and one that writes.

    A tracker of `ULTRA_ENTRIES` entries or more needs a part with UltraRAM (4096 x 72). Tags, which need a second read
    port, take the block RAMs there, so the rest must not. A smaller one gets no attribute: tools choose by size.
    """
    return {"ram_style": "ultra"} if geometry.entries >= ULTRA_ENTRIES else {}
