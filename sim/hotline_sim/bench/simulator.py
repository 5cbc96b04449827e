"""What the benches need to know of the simulator that they run in."""

from __future__ import annotations

from typing import TypeVar

import cocotb

__all__ = ["ICARUS", "cases"]

Case = TypeVar("Case")

ICARUS: bool = cocotb.SIM_NAME.startswith("Icarus")
"""Icarus shows signals inside the design, where Verilator shows the ports alone. A cycle takes ten times as long."""


def cases(*all_of_them: Case) -> list[Case]:
    """Cases that differ in the timing of memory and clocks alone: all in Verilator, the first in Icarus.

    Icarus is there for values that are unknown and for another reading of the Verilog's rules. Both show in one case.
    """
    return list(all_of_them[:1] if ICARUS else all_of_them)
