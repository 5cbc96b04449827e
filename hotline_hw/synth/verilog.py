"""The generated Verilog as modules, and cut into units.

A unit is a module with all that it places, except the modules that are units of their own. These are the modules that
are placed more than once, if they are large, and parts that are large by themselves. Yosys synthesizes a repeated unit
once, and several units at the same time.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from .targets import SynthesisError

__all__ = ["Design", "Port", "read_design"]

_MODULE = re.compile(r"^module (\S+?) ?\(.*?^endmodule\n", flags=re.MULTILINE | re.DOTALL)
_INSTANCE = re.compile(r"^  (\w+) (\\\S+ |\w+) ?\($", flags=re.MULTILINE)
_PORT = re.compile(r"^  (input|output) (?:\[(\d+):0\] )?(\\\S+|\w+) ?;$", flags=re.MULTILINE)


@dataclass(frozen=True)
class Port:
    """A port of a module: its name without escapes, whether it is an input, its width."""

    name: str
    is_input: bool
    width: int


@dataclass(frozen=True)
class Design:
    """Modules of Verilog, each of them with what it places.

    Attributes:
        texts: Verilog of each module.
        children: of each module, the module of each instance by its name.
    """

    texts: dict[str, str]
    children: dict[str, dict[str, str]]

    def below(self, top: str) -> list[str]:
        """`top` and all modules that it uses, directly or not, each once."""
        found: dict[str, None] = {top: None}
        queue = [top]
        for module in queue:
            for child in self.children[module].values():
                if child not in found:
                    found[child] = None
                    queue.append(child)
        return list(found)

    def instances(self, top: str) -> dict[str, str]:
        """The module at each path (names of instances with dots between them) below `top`, which is at ""."""
        found = {"": top}
        for name, child in self.children[top].items():
            for path, module in self.instances(child).items():
                found[f"{name}.{path}" if path else name] = module
        return found

    def size(self, module: str) -> int:
        """Characters of Verilog in a module with all that it places."""
        return len(self.texts[module]) + sum(self.size(child) for child in self.children[module].values())

    def units(self, top: str, small: int) -> list[str]:
        """The modules to synthesize one by one; `top` is the first.

        Args:
            small: a module below `top` is a unit if what it adds to the unit around it is larger, in characters of
                Verilog. All instances are counted.
        """
        placed = Counter(self.instances(top).values())
        weight: dict[str, int] = {}
        units = []

        def weigh(module: str) -> int:
            if module not in weight:
                inside = sum(weigh(child) for child in self.children[module].values())
                weight[module] = len(self.texts[module]) + inside
                if module != top and weight[module] * placed[module] > small:
                    units.append(module)
                    weight[module] = 0
            return weight[module]

        weigh(top)
        return [top, *units]

    def unit_text(self, unit: str, units: list[str]) -> str:
        """Verilog of a unit. Other units are black boxes in it."""
        inside: dict[str, None] = {unit: None}
        boxes: dict[str, None] = {}
        queue = [unit]
        for module in queue:
            for child in self.children[module].values():
                if child in units:
                    boxes[child] = None
                elif child not in inside:
                    inside[child] = None
                    queue.append(child)
        return "".join([*(self.texts[module] for module in inside), *(self._black_box(module) for module in boxes)])

    def ports(self, module: str) -> list[Port]:
        """The ports of a module, in the order in which it declares them."""
        return [
            Port(name.removeprefix("\\"), direction == "input", int(high or 0) + 1)
            for direction, high, name in _PORT.findall(self.texts[module])
        ]

    def _black_box(self, module: str) -> str:
        header = self.texts[module].partition(");\n")[0]
        declarations = "".join(line[0] + "\n" for line in _PORT.finditer(self.texts[module]))
        return f"(* blackbox *)\n{header});\n{declarations}endmodule\n"


def read_design(verilog: str) -> Design:
    """Reads the Verilog that `hotline generate` writes; it is not a parser for Verilog in general."""
    texts = {found[1]: found[0] for found in _MODULE.finditer(verilog)}
    children = {
        module: {name.strip().removeprefix("\\"): child for child, name in _INSTANCE.findall(text) if child in texts}
        for module, text in texts.items()
    }
    return Design(texts, children)


def find_module(design: Design, name: str) -> str:
    """The module that a user means by `name`: its name, or its name without `hotline_`.

    Raises:
        SynthesisError: there is none. The message names those that sound alike, or all.
    """
    for candidate in (name, f"hotline_{name}"):
        if candidate in design.texts:
            return candidate
    alike = [module for module in design.texts if name in module] or list(design.texts)
    raise SynthesisError(f"there is no module {name!r}; there are core, device, {', '.join(alike)}")
