"""The `verilated` backends: the hardware, compiled by Verilator into a library of this process."""

from .core import VerilatedCore
from .device import VerilatedDevice

__all__ = ["VerilatedCore", "VerilatedDevice"]
