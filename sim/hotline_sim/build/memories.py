"""Interleaves memories that are accessed together, so that the simulating processor's cache serves them better."""

from __future__ import annotations

import re
from collections import defaultdict

__all__ = ["interleave_memories"]

_MODULE = re.compile(r"^module .*?^endmodule", re.MULTILINE | re.DOTALL)
_MEMORY = re.compile(r"^  reg \[(\d+):0\] ([a-z_]+?)(\d+) \[(\d+):0\];\n", re.MULTILINE)


def interleave_memories(verilog: str) -> str:
    """Merges a module's memories `name0`, `name1`, ... of one shape into one two-dimensional memory, in Yosys' Verilog.

    The behaviour of every cycle stays the same. The tags of a set, one memory for each way, become neighbours. Before,
    each was in a cache line of its own, and with a megabyte of entries most of the time was spent waiting for them.
    """
    return _MODULE.sub(lambda module: _interleave(module[0]), verilog)


def _interleave(module: str) -> str:
    groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for width, name, number, depth in _MEMORY.findall(module):
        groups[width, name, depth].append(number)
    for (width, name, depth), numbers in groups.items():
        if len(numbers) == 1:
            continue
        rank = {number: index for index, number in enumerate(sorted(numbers, key=int))}
        every = "|".join(numbers)
        declared = re.compile(rf"^  reg \[{width}:0\] {name}({every}) \[{depth}:0\];\n", re.MULTILINE)
        merged = f"{name}{numbers[0]}_interleaved"
        whole = f"  reg [{width}:0] {merged} [{depth}:0][{len(numbers) - 1}:0];\n"
        module = declared.sub(lambda memory: whole if memory[1] == numbers[0] else "", module)  # noqa: B023
        used = re.compile(rf"\b{name}({every})\[((?:[^\[\]]|\[[^\[\]]*\])*)\]")
        module = used.sub(lambda use: f"{merged}[{use[2]}][{rank[use[1]]}]", module)  # noqa: B023
    return module
