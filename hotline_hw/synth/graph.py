"""The timing graph of a whole design.

It has a node for each net of each instance of a unit, and an edge from a cell's input to each of its outputs that
follow it without a clock. A unit is turned into nodes and edges once; its instances are copies, joined by edges of
weight 0 at their ports. So the paths are those of the flat design, which is never made.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .cells import timing
from .netlist import PIECE, Bits, Cell, Netlist
from .targets import SynthesisError

__all__ = ["NEVER", "Graph"]

NEVER = -(1 << 62)
"""Arrival at a node that nothing reaches. Whatever is added on the way, it stays below NEVER / 2."""


@dataclass(frozen=True)
class _Part:
    """The graph of a unit. Nodes are its nets.

    Attributes:
        edges: rows of source, target, weight.
        launched: rows of net, weight.
        captured: net and name of the register.
        instances: name, unit, and pairs of nets that are joined: from source to target, outside and inside.
    """

    netlist: Netlist
    size: int
    edges: np.ndarray
    launched: np.ndarray
    captured: list[tuple[int, str]]
    registers: dict[int, str]
    instances: list[tuple[str, str, list[tuple[int, int]], list[tuple[int, int]]]]


class Graph:
    """Nodes and edges of a design whose top is one of `units`.

    Attributes:
        inputs, outputs: names of the top's ports by node.
        launched: rows of node and weight: where paths from registers begin.
        captured: nodes at which paths to registers end.
        captors: the name of the register at each of them.

    Raises:
        SynthesisError: a cell is not known, or there is a combinational loop.
    """

    def __init__(self, units: Mapping[str, Netlist], top: str) -> None:
        parts = {name: _part(netlist, units) for name, netlist in units.items()}
        self._paths: list[str] = []
        self._parts: list[_Part] = []
        self._firsts: list[int] = []
        self.size = 0
        self._place("", top, parts)
        first_of = dict(zip(self._paths, self._firsts, strict=True))
        edges, launched, captured = [], [], []
        self.captors: list[str] = []
        for path, part, first in zip(self._paths, self._parts, self._firsts, strict=True):
            edges.append(part.edges + np.array([first, first, 0]))
            launched.append(part.launched + np.array([first, 0]))
            captured += [net + first for net, _ in part.captured]
            self.captors += [_join(path, name) for _, name in part.captured]
            for name, _, into, out in part.instances:
                inner = first_of[_join(path, name)]
                edges.append(_rows([(a + first, b + inner, 0) for a, b in into], 3))
                edges.append(_rows([(a + inner, b + first, 0) for a, b in out], 3))
        self.launched = np.concatenate(launched)
        self.captured = np.array(captured, np.int64)
        self.inputs, self.outputs = _bit_names(units[top].inputs), _bit_names(units[top].outputs)
        self._edges = np.concatenate(edges)
        self._by_target = np.argsort(self._edges[:, 1], kind="stable")
        self._into = np.searchsorted(self._edges[self._by_target, 1], np.arange(self.size + 1))
        self._groups = self._levelled()

    def _place(self, path: str, unit: str, parts: Mapping[str, _Part]) -> None:
        self._paths.append(path)
        self._parts.append(parts[unit])
        self._firsts.append(self.size)
        self.size += parts[unit].size
        for name, kind, _, _ in parts[unit].instances:
            self._place(_join(path, name), kind, parts)

    def _levelled(self) -> list[np.ndarray]:
        """Edges in groups. Edges that end at the source of another are in an earlier group."""
        order = np.argsort(self._edges[:, 0], kind="stable")
        begin = np.searchsorted(self._edges[order, 0], np.arange(self.size + 1))
        targets = self._edges[:, 1]
        waiting = np.bincount(targets, minlength=self.size)
        ready = np.flatnonzero(waiting == 0)
        groups, done = [], 0
        while len(ready):
            counts = begin[ready + 1] - begin[ready]
            before = np.concatenate(([0], np.cumsum(counts)[:-1]))
            group = order[np.repeat(begin[ready] - before, counts) + np.arange(counts.sum())]
            groups.append(group)
            done += len(group)
            reached, times = np.unique(targets[group], return_counts=True)
            waiting[reached] -= times
            ready = reached[waiting[reached] == 0]
        if done < len(self._edges):
            stuck = [name for node in np.flatnonzero(waiting > 0).tolist() if (name := self.net_name(node))]
            raise SynthesisError(f"there is a combinational loop at or before one of: {', '.join(stuck[:5])}")
        return groups

    def arrivals(self, starts: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The largest weight with which a path from `starts`, which begin with `weights`, comes to each node."""
        arrival = np.full(self.size, NEVER, np.int64)
        np.maximum.at(arrival, starts, weights)
        sources, targets, weight = self._edges.T
        for group in self._groups:
            np.maximum.at(arrival, targets[group], arrival[sources[group]] + weight[group])
        return arrival

    def trace(self, end: int, arrival: np.ndarray) -> list[int]:
        """The nodes of a longest path to `end`, from its start. `arrival` is what `arrivals` returned."""
        nodes = [end]
        while True:
            edges = self._edges[self._by_target[self._into[nodes[-1]] : self._into[nodes[-1] + 1]]]
            reached = arrival[edges[:, 0]]
            fits = edges[(reached > NEVER // 2) & (reached + edges[:, 2] == arrival[nodes[-1]])]
            if not len(fits):
                return nodes[::-1]
            nodes.append(int(fits[0, 0]))

    def net_name(self, node: int) -> str | None:
        """The name of a net in the source, with its instances in front. None: it has none."""
        path, part, net = self._find(node)
        name = part.netlist.names.get(net)
        return None if name is None else _join(path, name)

    def beside(self, node: int, source: int) -> list[str]:
        """Named nets that come together at a node, other than `source`."""
        edges = self._edges[self._by_target[self._into[node] : self._into[node + 1]]]
        others = dict.fromkeys(edges[:, 0].tolist())
        return [name for other in others if other != source and (name := self.net_name(other))]

    def start_name(self, node: int) -> str:
        """The name of the register or input at which a path begins."""
        if node in self.inputs:
            return self.inputs[node]
        path, part, net = self._find(node)
        return _join(path, part.registers.get(net) or part.netlist.names.get(net) or f"net {net}")

    def _find(self, node: int) -> tuple[str, _Part, int]:
        index = bisect_right(self._firsts, node) - 1
        return self._paths[index], self._parts[index], node - self._firsts[index]


def _part(netlist: Netlist, units: Mapping[str, Netlist]) -> _Part:
    edges: list[tuple[int, int, int]] = []
    launched: list[tuple[int, int]] = []
    captured: list[tuple[int, str]] = []
    registers: dict[int, str] = {}
    instances = []
    for cell in netlist.cells:
        if cell.type in units:
            unit = units[cell.type]
            into = _pairs(cell.inputs, unit.inputs)
            out = [(inner, outer) for outer, inner in _pairs(cell.outputs, unit.outputs)]
            instances.append((cell.name, cell.type, into, out))
            continue
        found = timing(cell)
        edges += found.arcs
        launched += found.launched
        if found.launched or found.captured:
            name = _register_name(cell, found.launched, netlist.names)
            captured += [(net, name) for net in found.captured]
            registers |= {net: name for net, _ in found.launched}
    return _Part(netlist, netlist.size, _rows(edges, 3), _rows(launched, 2), captured, registers, instances)


def _register_name(cell: Cell, launched: list[tuple[int, int]], names: Mapping[int, str]) -> str:
    """A flip-flop has the name of its output, and a memory its own, without the numbers of its pieces."""
    if len(launched) == 1 and launched[0][0] in names:
        return names[launched[0][0]]
    return PIECE.sub("", cell.name)


def _pairs(outer: Mapping[str, Bits], inner: Mapping[str, Bits]) -> list[tuple[int, int]]:
    """Nets on both sides of the ports of an instance, without constants."""
    return [
        (a, b)
        for port, bits in outer.items()
        for a, b in zip(bits, inner[port], strict=True)
        if isinstance(a, int) and isinstance(b, int)
    ]


def _bit_names(ports: Mapping[str, Bits]) -> dict[int, str]:
    return {
        bit: port if len(bits) == 1 else f"{port}[{index}]"
        for port, bits in ports.items()
        for index, bit in enumerate(bits)
        if isinstance(bit, int)
    }


def _rows(rows: list, width: int) -> np.ndarray:
    return np.array(rows, np.int64).reshape(-1, width)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
