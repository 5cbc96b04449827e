"""Keeps resets out of combinational logic, where a simulator evaluates them again and again."""

from __future__ import annotations

import re
from collections import Counter

__all__ = ["clock_resets"]

_MODULE = re.compile(r"^module .*?^endmodule", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"\\\S+")
_DECLARED = re.compile(r"^  reg (?:\[\d+:0\] )?(\\\S+) ;$", re.MULTILINE)
_ASSIGNED = re.compile(r"^ +(\\\S+) (?:\[[\d:]+\])? = ", re.MULTILINE)
_RESET = re.compile(r"^    if \(rst\) begin\n      (\\\S+)  = (\S+);\n    end\n(?=  end$)", re.MULTILINE)
_REGISTERED = re.compile(r"^    (\S+ ?) <= (\\\S+) ;$", re.MULTILINE)


def clock_resets(verilog: str) -> str:
    """Moves synchronous resets by `rst` from the next values of registers to their clock edges, in Yosys' Verilog.

    The behaviour of every cycle stays the same. Verilator evaluates a next value whenever one of the clocks that it
    depends on ticks. The reset of the gated core depends on the clock that always runs. So before, most of the core's
    logic was evaluated in cycles in which the core stands still, and those took four times as long.

    A next value that is read by anything but one register stays as it is.
    """
    return _MODULE.sub(lambda module: _clocked(module[0]), verilog)


def _clocked(module: str) -> str:
    reads = Counter(_NAME.findall(module))
    for elsewhere in (_DECLARED, _ASSIGNED):
        reads.subtract(elsewhere.findall(module))
    registered = {value for _, value in _REGISTERED.findall(module)}
    initial = {name: value for name, value in _RESET.findall(module) if reads[name] == 1 and name in registered}

    def to_edge(register: re.Match[str]) -> str:
        name, value = register.groups()
        if value not in initial:
            return register[0]
        return f"    if (rst) {name} <= {initial[value]}; else {name} <= {value} ;"

    module = _RESET.sub(lambda reset: "" if reset[1] in initial else reset[0], module)
    return _REGISTERED.sub(to_edge, module)
