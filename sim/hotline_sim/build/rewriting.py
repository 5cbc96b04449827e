"""What is rewritten in the generated Verilog so that Verilator makes a fast simulator of it."""

from __future__ import annotations

import functools

from .memories import interleave_memories
from .resets import clock_resets
from .sharing import share_instances

__all__ = ["verilog_for_verilator"]


@functools.lru_cache(maxsize=4)  # a device is opened many times
def verilog_for_verilator(verilog: str) -> tuple[str, str]:
    """Verilog of the same behaviour in every cycle, and the Verilator configuration (.vlt) for it."""
    return share_instances(interleave_memories(clock_resets(verilog)))
