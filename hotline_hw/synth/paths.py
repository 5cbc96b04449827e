"""The longest paths of logic between registers and ports of a whole design, across its units."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from .cells import unpack
from .graph import NEVER, Graph
from .netlist import Netlist, is_made_up

__all__ = ["Path", "Step", "Timings", "longest_paths"]


@dataclass(frozen=True)
class Step:
    """A net on a path.

    Attributes:
        net: its name. Mapping to LUTs leaves few names between registers. Without one, it is "with" and other signals
            that come together here with the path.
        levels: from the start of the path to it.
    """

    net: str
    levels: float


@dataclass(frozen=True)
class Path:
    """A path from a register or an input to a register or an output.

    Attributes:
        start, end: name of the register, memory or port, with its instances in front.
        eighths: weight of the path in eighths of a level.
        luts, muxes, carry_bits: what the path goes through.
        steps: the nets on the way.
    """

    start: str
    end: str
    eighths: int
    luts: int
    muxes: int
    carry_bits: int
    steps: tuple[Step, ...]

    @property
    def levels(self) -> int:
        """Levels of LUTs. Eight bits of a carry chain count as one, as do four wide multiplexers."""
        return math.ceil(self.eighths / 8)

    @property
    def content(self) -> str:
        """What it goes through, in words."""
        parts = [f"{self.luts} LUTs"]
        parts += [f"{self.muxes} wide muxes"] if self.muxes else []
        parts += [f"{self.carry_bits} carry bits"] if self.carry_bits else []
        return ", ".join(parts)

    def __str__(self) -> str:
        return f"{self.levels} levels ({self.content}): {self.start} -> {self.end}"

    def listing(self) -> str:
        """The path on several lines, with the levels up to each net."""
        return "\n".join([str(self), *(f"  {step.levels:6.2f}  {step.net}" for step in self.steps)])


@dataclass(frozen=True)
class Timings:
    """The longest paths of a design.

    Attributes:
        kinds: the longest path of each kind: "register to register", "input to register", "register to output",
            "input to output". A kind without a path is missing.
        modules: the longest path that ends in a register or memory of each module, from a register.
    """

    kinds: dict[str, Path]
    modules: dict[str, Path]

    @property
    def longest(self) -> Path | None:
        """The longest path of any kind. None: there are none, only wires."""
        return max(self.kinds.values(), key=lambda path: path.eighths, default=None)


def longest_paths(units: Mapping[str, Netlist], top: str, module_of: Callable[[str], str]) -> Timings:
    """The longest paths of `top`.

    Args:
        units: netlists by module. A cell whose type is one of them is an instance of it.
        module_of: the module of an instance, by its path.

    Raises:
        SynthesisError: a cell is not known, or there is a combinational loop.
    """
    graph = Graph(units, top)
    kinds: dict[str, Path] = {}
    modules: dict[str, Path] = {}
    outputs = list(graph.outputs)
    starts = {
        "register": (graph.launched[:, 0], graph.launched[:, 1]),
        "input": (np.array(list(graph.inputs), np.int64), np.zeros(len(graph.inputs), np.int64)),
    }
    for start, (nodes, weights) in starts.items():
        arrival = graph.arrivals(nodes, weights)
        for end, candidates in (("register", graph.captured), ("output", np.array(outputs, np.int64))):
            reached = arrival[candidates] if len(candidates) else np.zeros(0, np.int64)
            if len(reached) and reached.max() > NEVER // 2:
                worst = int(reached.argmax())
                name = graph.captors[worst] if end == "register" else graph.outputs[outputs[worst]]
                kinds[f"{start} to {end}"] = _path(graph, arrival, int(candidates[worst]), name)
        if start == "register":
            modules = _by_module(graph, arrival, module_of)
    return Timings(kinds, modules)


def _by_module(graph: Graph, arrival: np.ndarray, module_of: Callable[[str], str]) -> dict[str, Path]:
    worst: dict[str, tuple[int, int]] = {}
    paths: dict[str, str] = {}
    for index, (name, value) in enumerate(zip(graph.captors, arrival[graph.captured].tolist(), strict=True)):
        instance = name.rpartition(".")[0]
        if instance not in paths:
            paths[instance] = module_of(instance)
        if value > worst.get(paths[instance], (-1, 0))[0]:
            worst[paths[instance]] = value, index
    found = {
        module: _path(graph, arrival, int(graph.captured[index]), graph.captors[index])
        for module, (_, index) in worst.items()
    }
    return dict(sorted(found.items(), key=lambda item: -item[1].eighths))


def _path(graph: Graph, arrival: np.ndarray, end: int, end_name: str) -> Path:
    nodes = graph.trace(end, arrival)
    steps: list[Step] = []
    before: int | None = None
    for node in nodes:
        name = graph.net_name(node)
        if before is not None and (name is None or is_made_up(name)):
            others = [other for other in graph.beside(node, before) if not is_made_up(other)]
            name = f"with {', '.join(others[:3])}" if others else "..."
        if name and (not steps or steps[-1].net != name):
            steps.append(Step(name, unpack(int(arrival[node]))[0] / 8))
        before = node
    return Path(graph.start_name(nodes[0]), end_name, *unpack(int(arrival[end])), tuple(steps))
