"""A mapped netlist, as Yosys' `write_json` writes it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["PIECE", "Bits", "Cell", "Netlist", "is_made_up", "netlist_of", "read_netlist"]

Bits = list["int | str"]
"""Nets of a port, from bit 0. A string is a constant: "0", "1", "x" or "z"."""

PIECE = re.compile(r"(\.\d+)+$")
"""What Yosys adds to the name of a memory for each cell that it makes of it."""


@dataclass(frozen=True)
class Cell:
    """A cell, or an instance of another netlist.

    Attributes:
        inputs, outputs: the nets of its ports.
    """

    name: str
    type: str
    inputs: dict[str, Bits]
    outputs: dict[str, Bits]
    parameters: dict[str, str] = field(default_factory=dict)

    def nets(self, *ports: str) -> Iterator[int]:
        """Nets of these ports. Constants, and ports that it has not, are left out."""
        for port in ports:
            for bit in self.inputs.get(port) or self.outputs.get(port) or ():
                if isinstance(bit, int):
                    yield bit


@dataclass(frozen=True)
class Netlist:
    """The cells of a unit.

    Attributes:
        inputs, outputs: nets of its ports.
        names: a name of each net that has one in the source, with the path of its instance: `tracker.age[3]`.
    """

    cells: list[Cell]
    inputs: dict[str, Bits]
    outputs: dict[str, Bits]
    names: dict[int, str]

    @property
    def size(self) -> int:
        """Larger than every net."""
        nets = [bit for bits in (*self.inputs.values(), *self.outputs.values()) for bit in bits]
        for cell in self.cells:
            for bits in (*cell.inputs.values(), *cell.outputs.values()):
                nets.extend(bits)
        return 1 + max((bit for bit in nets if isinstance(bit, int)), default=0)


def read_netlist(path: Path, module: str) -> Netlist:
    """Reads one module of a JSON netlist."""
    return netlist_of(json.loads(path.read_text())["modules"][module])


def netlist_of(module: dict) -> Netlist:
    """The netlist in a module of Yosys' JSON."""
    cells = []
    for name, cell in module["cells"].items():
        if cell["type"] == "$scopeinfo":
            continue
        sides: tuple[dict[str, Bits], dict[str, Bits]] = ({}, {})
        for port, bits in cell["connections"].items():
            sides[cell["port_directions"][port] == "output"][port] = bits
        cells.append(Cell(name, cell["type"], *sides, cell.get("parameters", {})))
    ports = module["ports"]
    inputs, outputs = (
        {name: port["bits"] for name, port in ports.items() if port["direction"] == direction}
        for direction in ("input", "output")
    )
    return Netlist(cells, inputs, outputs, _names(module["netnames"]))


def _names(nets: dict[str, dict]) -> dict[int, str]:
    """The best name of each net.

    A net that crosses modules has a name in each. The deepest is taken, which is most often where the net is driven;
    among equals the shortest, that of the signal and not of a port it goes to.
    """
    names: dict[int, str] = {}
    rank: dict[int, tuple[bool, int, int]] = {}
    for name, net in nets.items():
        if net.get("hide_name"):
            continue
        bits = net["bits"]
        worth = (not is_made_up(name), name.count("."), -len(name))
        for index, bit in enumerate(bits):
            if isinstance(bit, int) and worth > rank.get(bit, (False, -1, 0)):
                rank[bit] = worth
                names[bit] = name if len(bits) == 1 else f"{name}[{index}]"
    return names


def is_made_up(name: str) -> bool:
    """Whether a tool made the name up: `port$12$0`, `\\$3`, `_5_[2]`."""
    last = name.rpartition(".")[2]
    return re.match(r"\\?\$|port\$|_\d+_", last) is not None
