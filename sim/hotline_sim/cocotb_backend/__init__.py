"""The `cocotb` backend: the hardware in a cocotb simulator, which is a process of its own."""

from .core import CocotbCore

__all__ = ["CocotbCore"]
