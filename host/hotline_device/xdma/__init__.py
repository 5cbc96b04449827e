"""The `xdma` backend: a board on PCIe, behind the XDMA driver and u-dma-buf."""

from .device import XdmaDevice
from .memory import BufferMemory

__all__ = ["BufferMemory", "XdmaDevice"]
