"""What a design uses of an FPGA: cells by kind, and memories by their name in the source."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from .netlist import PIECE, Netlist

__all__ = ["RESOURCES", "Memory", "Usage", "usage"]

RESOURCES = {
    "luts": "LUTs, all uses",
    "ffs": "flip-flops",
    "carries": "carry cells",
    "lut_rams": "LUTs that are memory",
    "block_rams": "block RAMs",
    "ultra_rams": "UltraRAMs",
    "dsps": "multipliers",
}

_COSTS: list[tuple[str, dict[str, float]]] = [
    (r"LUT[1-6]|INV", {"luts": 1}),
    (r"TRELLIS_FF|FD[RSCP]E(_1)?|FD1P3[BDIJ]X", {"ffs": 1}),
    (r"CARRY[48]", {"carries": 1}),
    (r"CCU2C?", {"carries": 1, "luts": 2}),
    (r"WIDEFN9", {"luts": 2}),
    (r"(TRELLIS_)?DPR16X4", {"luts": 6, "lut_rams": 6}),  # four to read, two that carry the write port
    (r"RAM32M16|RAM64M8|SRLC32E8", {"luts": 8, "lut_rams": 8}),
    (r"RAM(32|64)M", {"luts": 4, "lut_rams": 4}),
    (r"RAM(32|64)X1D", {"luts": 2, "lut_rams": 2}),
    (r"RAM128X1D", {"luts": 4, "lut_rams": 4}),
    (r"RAM256X1D", {"luts": 8, "lut_rams": 8}),
    (r"RAM(32|64)X1S", {"luts": 1, "lut_rams": 1}),
    (r"RAM128X1S", {"luts": 2, "lut_rams": 2}),
    (r"RAM256X1S", {"luts": 4, "lut_rams": 4}),
    (r"RAM512X1S", {"luts": 8, "lut_rams": 8}),
    (r"SRL16E|SRLC32E", {"luts": 1, "lut_rams": 1}),
    (r"DP16KD|PDPW16KD|(D|PD|PDPSC|DPSC|SP|SPSC)P?16K(_MODE)?", {"block_rams": 1}),
    (r"RAMB36E[12]", {"block_rams": 1}),
    (r"RAMB18E[12]", {"block_rams": 0.5}),
    (r"URAM288(_BASE)?|\w*512K(_MODE)?", {"ultra_rams": 1}),
    (r"MULT18X18D|MULT18X18|DSP48E\d", {"dsps": 1}),
    (r"MULT9X9\w*", {"dsps": 0.5}),
    (r"MULT\d+X\d+\w*", {"dsps": 2}),
]


@dataclass(frozen=True)
class Memory:
    """A memory of the source, in all its copies.

    Attributes:
        name: path of the memory below the unit it is in, whose module is in front: `popularity_bank: tracker.tags`.
        cells: number of cells of each type.
    """

    name: str
    cells: dict[str, int]


@dataclass(frozen=True)
class Usage:
    """Resources of a design.

    Attributes:
        resources: by the keys of RESOURCES. Block RAMs are counted in their full size, so halves occur.
        cells: number of cells of each type.
        modules: resources of each unit of synthesis, with how often it is placed under "placed".
    """

    resources: dict[str, float]
    cells: dict[str, int]
    modules: dict[str, dict[str, float]]
    memories: list[Memory]


def usage(units: Mapping[str, Netlist], placed: Mapping[str, int]) -> Usage:
    """What `units` use, each of them placed as often as `placed` says."""
    cells: Counter[str] = Counter()
    memories: dict[str, Counter[str]] = {}
    modules = {}
    for unit, netlist in units.items():
        own = Counter(cell.type for cell in netlist.cells if cell.type not in units)
        cells.update({kind: count * placed[unit] for kind, count in own.items()})
        modules[unit] = {"placed": float(placed[unit]), **_resources(own)}
        for cell in netlist.cells:
            if {"lut_rams", "block_rams", "ultra_rams"} & _cost(cell.type).keys() and not cell.type.startswith("SRL"):
                name = f"{unit.removeprefix('hotline_')}: {PIECE.sub('', cell.name)}"
                memories.setdefault(name, Counter())[cell.type] += placed[unit]
    found = [Memory(name, dict(kinds)) for name, kinds in memories.items()]
    return Usage(_resources(cells), dict(cells.most_common()), modules, sorted(found, key=_weight, reverse=True))


def _weight(memory: Memory) -> tuple[float, float]:
    total = _resources(memory.cells)
    return total["ultra_rams"] * 8 + total["block_rams"], total["lut_rams"]


def _cost(kind: str) -> dict[str, float]:
    return next((costs for pattern, costs in _COSTS if re.fullmatch(pattern, kind)), {})


def _resources(cells: Mapping[str, int]) -> dict[str, float]:
    total = dict.fromkeys(RESOURCES, 0.0)
    for kind, count in cells.items():
        for resource, amount in _cost(kind).items():
            total[resource] += amount * count
    return total
