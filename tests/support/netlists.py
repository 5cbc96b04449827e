"""Small netlists, written by hand."""

from __future__ import annotations

from hotline_hw.synth.netlist import Cell, Netlist

__all__ = ["carry4", "ccu2", "ff", "lut", "netlist"]


def lut(inputs: list[int], output: int) -> Cell:
    names = ["A", "B", "C", "D"]
    return Cell(f"lut{output}", "LUT4", dict(zip(names, [[bit] for bit in inputs], strict=False)), {"Z": [output]})


def ff(data: int, output: int, clock: int = 1) -> Cell:
    return Cell(f"ff{output}", "TRELLIS_FF", {"DI": [data], "CLK": [clock]}, {"Q": [output]})


def carry4(propagate: list[int], carry_in: int | str, sums: list[int], carries: list[int]) -> Cell:
    inputs = {"S": propagate, "DI": ["0"] * 4, "CI": [carry_in], "CYINIT": ["0"]}
    return Cell("carry", "CARRY4", inputs, {"O": sums, "CO": carries})


def ccu2(a0: int, a1: int, carry_in: int | str, outputs: tuple[int, int, int]) -> Cell:
    inputs = {"A0": [a0], "A1": [a1], "CIN": [carry_in]}
    return Cell("ccu2", "CCU2C", inputs, {"S0": [outputs[0]], "S1": [outputs[1]], "COUT": [outputs[2]]})


def netlist(cells: list[Cell], names: dict[int, str] | None = None, **ports: list[int]) -> Netlist:
    """Ports whose name begins with `out` are outputs."""
    outputs = {name: bits for name, bits in ports.items() if name.startswith("out")}
    inputs = {name: bits for name, bits in ports.items() if name not in outputs}
    return Netlist(cells, inputs, outputs, names or {})
