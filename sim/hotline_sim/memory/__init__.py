"""Memory on the far side of the accelerator's AXI manager: its contents, and how long it takes."""

from .host import PAGE_BYTES, HostMemory, Region

__all__ = ["PAGE_BYTES", "HostMemory", "Region"]
