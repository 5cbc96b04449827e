"""Opens a device by the name of its backend."""

from __future__ import annotations

from typing import Any

from hotline_hw.params import Geometry

from .stream_core import StreamCore

__all__ = ["BACKENDS", "open_core"]

BACKENDS: dict[str, str] = {
    "model": "the bit-exact golden model: fastest, no clock cycles",
    "verilated": "the hardware, compiled by Verilator into this process",
    "cocotb": "the hardware in a cocotb simulator: icarus if it is installed, else verilator",
    "cocotb:icarus": "the hardware in Icarus Verilog, under cocotb",
    "cocotb:verilator": "the hardware in Verilator, under cocotb",
}


def open_core(backend: str, geometry: Geometry, **options: Any) -> StreamCore:
    """A new device.

    Args:
        backend: one of BACKENDS.
        geometry: what the accelerator is built with.
        options: keyword arguments of the backend's class.

    Raises:
        ValueError: an unknown backend; the message names those that exist.
        DeviceError: the backend cannot be built or started; the message says what to do.
    """
    # Each backend imports tools that the others do without.
    if backend == "model":
        from .model_core import ModelCore

        return ModelCore(geometry, **options)
    if backend == "verilated":
        from .verilated import VerilatedCore

        return VerilatedCore(geometry, **options)
    if backend in BACKENDS:
        from .cocotb_backend import CocotbCore

        return CocotbCore(geometry, backend.partition(":")[2] or None, **options)
    raise ValueError(f"unknown backend {backend!r}; the backends are {', '.join(BACKENDS)}")
