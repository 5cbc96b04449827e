"""The `cocotb` backend: the hardware in a cocotb simulator, which is a process of its own."""

from .device import CocotbDevice

__all__ = ["CocotbDevice"]
