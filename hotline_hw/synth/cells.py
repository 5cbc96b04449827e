"""Cells of the FPGAs: which outputs depend on which inputs, and by how many levels of logic.

A path is weighed in eighths of a level: a LUT counts one level, so does a read of LUT RAM, a bit of a carry chain an
eighth, and a dedicated multiplexer behind LUTs a quarter. A multiplier without registers counts three. These weights
stand for delays with routing; they are no delays.

A weight is one integer. From its top, it holds the eighths, the LUTs, the multiplexers and the carry bits, 16 bits
each. So weights can be added, and compared by their eighths.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from .netlist import Cell
from .targets import SynthesisError

__all__ = ["CARRY_BIT", "LEVEL", "MULTIPLIER", "MUX", "Timing", "timing", "unpack"]

LEVEL = (8 << 48) + (1 << 32)
MUX = (2 << 48) + (1 << 16)
CARRY_BIT = (1 << 48) + 1
MULTIPLIER = 3 * LEVEL


def unpack(weight: int) -> tuple[int, int, int, int]:
    """Eighths of a level, LUTs, multiplexers and carry bits of a weight."""
    return weight >> 48, weight >> 32 & 0xFFFF, weight >> 16 & 0xFFFF, weight & 0xFFFF


@dataclass(frozen=True)
class Timing:
    """How signals go through a cell.

    Attributes:
        arcs: (input net, output net, weight) where the output follows the input without a clock.
        launched: nets that change with a clock edge, with a weight: 0, or LEVEL where data comes out of a LUT RAM.
        captured: nets that the clock edge samples.
    """

    arcs: list[tuple[int, int, int]] = field(default_factory=list)
    launched: list[tuple[int, int]] = field(default_factory=list)
    captured: list[int] = field(default_factory=list)


_CLOCKS = frozenset(
    ("C", "CK", "CLK", "CLKA", "CLKB", "CLKR", "CLKW", "CLKDR", "CLKARDCLK", "CLKBWRCLK", "WCK", "WCLK", "GSR")
)  # fmt: skip


def timing(cell: Cell) -> Timing:
    """Timing of a cell.

    Raises:
        SynthesisError: the cell's type is not known here.
    """
    for pattern, rule in _RULES:
        if pattern.fullmatch(cell.type):
            return rule(cell)
    raise SynthesisError(f"cell {cell.name} is a {cell.type}, which hotline_hw/synth/cells.py does not know; add it")


def _through(weight: int) -> Callable[[Cell], Timing]:
    def rule(cell: Cell) -> Timing:
        outputs = list(cell.nets(*cell.outputs))
        return Timing(arcs=[(net, output, weight) for net in cell.nets(*cell.inputs) for output in outputs])

    return rule


def _register(cell: Cell) -> Timing:
    """Flip-flops, and memories that are read with the clock."""
    return Timing(
        launched=[(net, 0) for net in cell.nets(*cell.outputs)],
        captured=list(cell.nets(*(port for port in cell.inputs if port not in _CLOCKS))),
    )


def _lut_ram(cell: Cell) -> Timing:
    """Memory of LUTs: data comes out without a clock."""
    return _read_by(cell, {output: _read_address(cell, output) for output in cell.outputs})


def _read_address(cell: Cell, output: str) -> list[str]:
    """The address ports that `output` is read with."""
    if cell.type.startswith(("TRELLIS_DPR", "DPR16")):
        return ["RAD"]
    if output.startswith("DO"):  # DOA of a RAM32M16
        return [f"ADDR{output[2:]}"]
    read = "DPRA" if output.startswith("DPO") else "A"
    return [port for port in cell.inputs if re.fullmatch(rf"{read}\d*", port)]


def _shift_register(cell: Cell) -> Timing:
    return _read_by(cell, {output: [port for port in cell.inputs if re.fullmatch(r"A\d*", port)] for output in ["Q"]})


def _read_by(cell: Cell, addresses: dict[str, list[str]]) -> Timing:
    pure = {port for ports in addresses.values() for port in ports if port.startswith(("RAD", "DPRA"))}
    return Timing(
        arcs=[
            (net, output, LEVEL)
            for port, address in addresses.items()
            for output in cell.nets(port)
            for net in cell.nets(*address)
        ],
        launched=[(net, LEVEL) for net in cell.nets(*cell.outputs)],
        captured=list(cell.nets(*(port for port in cell.inputs if port not in _CLOCKS | pure))),
    )


def _carry_chain(cell: Cell) -> Timing:
    """CARRY4 and CARRY8. A LUT before it makes S."""
    result = Timing()
    sums, carries = cell.outputs.get("O", []), cell.outputs.get("CO", [])
    for i, (out, carry) in enumerate(zip(sums, carries, strict=True)):
        for target in (out, carry):
            if not isinstance(target, int):
                continue
            for net in cell.nets("CI", "CYINIT"):
                result.arcs.append((net, target, (i + 1) * CARRY_BIT))
            for port in ("S", "DI"):
                for j, bit in enumerate(cell.inputs.get(port, [])[: i + 1]):
                    if isinstance(bit, int) and not (port == "DI" and target == out and i == j):
                        result.arcs.append((bit, target, (i - j + 1) * CARRY_BIT))
    return result


def _ccu2(cell: Cell) -> Timing:
    """Lattice's two bits of a carry chain, with their LUTs in front."""
    result = Timing()

    def arcs(inputs: tuple[str, ...], output: str, weight: int) -> None:
        for target in cell.nets(output):
            result.arcs.extend((net, target, weight) for net in cell.nets(*inputs))

    low, high = ("A0", "B0", "C0", "D0"), ("A1", "B1", "C1", "D1")
    arcs(low, "S0", LEVEL)
    arcs(low, "S1", LEVEL + CARRY_BIT)
    arcs(low, "COUT", LEVEL + 2 * CARRY_BIT)
    arcs(high, "S1", LEVEL)
    arcs(high, "COUT", LEVEL + CARRY_BIT)
    arcs(("CIN",), "S0", CARRY_BIT)
    arcs(("CIN",), "S1", 2 * CARRY_BIT)
    arcs(("CIN",), "COUT", 2 * CARRY_BIT)
    return result


def _wide_function(cell: Cell) -> Timing:
    """Two LUTs with a multiplexer behind them."""
    inputs = [port for port in cell.inputs if port != "SEL"]
    return Timing(
        arcs=[
            *((net, output, LEVEL + MUX) for output in cell.nets("Z") for net in cell.nets(*inputs)),
            *((net, output, MUX) for output in cell.nets("Z") for net in cell.nets("SEL")),
        ]
    )


_ENABLED = ("AREG", "BREG", "CREG", "MREG", "PREG")


def _multiplier(cell: Cell) -> Timing:
    """A multiplier. With any register inside it is taken for one register."""
    values = cell.parameters
    registered = any(set(values.get(name, "0")) & {"1"} for name in _ENABLED) or any(
        "CLK" in name and value not in ("NONE", "") and name.startswith("REG_") for name, value in values.items()
    )
    return _register(cell) if registered else _through(MULTIPLIER)(cell)


_RULES = [
    (re.compile(pattern), rule)
    for pattern, rule in (
        (r"LUT[1-6]|INV|LUT6_2", _through(LEVEL)),
        (r"PFUMX|L6MUX21|MUXF[789]", _through(MUX)),
        (r"TRELLIS_FF|FD[RSCP]E(_1)?|FD1P3[BDIJ]X", _register),
        (r"DP16KD|PDPW16KD|RAMB(18|36)E[12]|URAM288(_BASE)?|(S|D|PD|PDPSC?|DPSC|SPSC)P?(16|512)K(_MODE)?", _register),
        (r"TRELLIS_DPR16X4|DPR16X4|RAM\d+(X\d+[SD]|M\d*)(_1)?", _lut_ram),
        (r"SRL16E|SRLC32E", _shift_register),
        (r"CARRY[48]", _carry_chain),
        (r"CCU2C?", _ccu2),
        (r"WIDEFN9", _wide_function),
        (r"MULT\w+|DSP48E\d|ALU\w+", _multiplier),
        (r"IBUF|OBUF|BUFG|IB|OB|VHI|VLO|VCC|GND|GSR", _through(0)),
    )
]
