"""The `verilated` backend: the hardware, compiled by Verilator into a library of this process."""

from .device import VerilatedDevice

__all__ = ["VerilatedDevice"]
