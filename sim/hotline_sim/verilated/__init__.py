"""The `verilated` backend: the hardware, compiled by Verilator into a library of this process."""

from .core import VerilatedCore

__all__ = ["VerilatedCore"]
