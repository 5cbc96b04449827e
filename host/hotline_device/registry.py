"""Opens a device, or the stream core alone, by the name of its backend."""

from __future__ import annotations

from typing import Any

from hotline_hw.spec.params import Geometry

from .device import Device
from .stream_core import StreamCore

__all__ = ["BACKENDS", "open_core", "open_device"]

BACKENDS: dict[str, str] = {
    "model": "the bit-exact golden model: fastest, no clock cycles",
    "verilated": "the hardware, compiled by Verilator into this process",
    "cocotb": "the hardware in a cocotb simulator: icarus if it is installed, else verilator",
    "cocotb:icarus": "the hardware in Icarus Verilog, under cocotb",
    "cocotb:verilator": "the hardware in Verilator, under cocotb",
    "xdma": "a card on PCIe, behind the XDMA driver and u-dma-buf",
}


# Each backend imports tools that the others do without.


def open_device(backend: str, geometry: Geometry | None, **options: Any) -> Device:
    """A new device, with memory of its own.

    Args:
        backend: one of BACKENDS.
        geometry: what the accelerator is built with, its shell included; with xdma None: as the card tells it.
        options: keyword arguments of the backend's class.

    Raises:
        ValueError: an unknown backend, or a geometry without a shell; the message names what there is.
        DeviceError: the backend cannot be built or started; the message says what to do.
    """
    if backend == "xdma":
        from .xdma import XdmaDevice

        return XdmaDevice(geometry, **options)
    if geometry is None:
        raise ValueError(f"backend {backend} simulates: it needs a geometry")
    if backend == "model":
        from hotline_sim.model.device import ModelDevice

        return ModelDevice(geometry, **options)
    if backend == "verilated":
        from hotline_sim.verilated import VerilatedDevice

        return VerilatedDevice(geometry, **options)
    if backend in BACKENDS:
        from hotline_sim.cocotb_backend import CocotbDevice

        return CocotbDevice(geometry, backend.partition(":")[2] or None, **options)
    raise _unknown(backend)


def open_core(backend: str, geometry: Geometry, **options: Any) -> StreamCore:
    """A new stream core, without a shell; simulated, for there is no card of one.

    Args, Raises: as `open_device`.
    """
    if backend == "model":
        from hotline_sim.model.core_backend import ModelCore

        return ModelCore(geometry, **options)
    if backend == "verilated":
        from hotline_sim.verilated import VerilatedCore

        return VerilatedCore(geometry, **options)
    if backend in BACKENDS and backend != "xdma":
        from hotline_sim.cocotb_backend import CocotbCore

        return CocotbCore(geometry, backend.partition(":")[2] or None, **options)
    raise _unknown(backend)


def _unknown(backend: str) -> ValueError:
    return ValueError(f"unknown backend {backend!r}; the backends are {', '.join(BACKENDS)}")
