"""Checks that every device makes in the same way, and limits that follow from the geometry."""

from __future__ import annotations

from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import ADDRESS_BITS

from .device import BusError, DeviceError

__all__ = ["bus_error", "check_register", "check_shell", "quiet_limit"]


def check_register(access: str, offset: int, value: int = 0, *, address_bits: int = ADDRESS_BITS) -> None:
    """Checks a register access, a `read` or a `write`. Offsets have `address_bits` bits.

    Raises:
        BusError: the offset is outside the address space.
        ValueError: the value does not fit 32 bits.
    """
    if not 0 <= offset < 1 << address_bits:
        raise BusError(f"{access} of offset {offset:#05x}: the registers' address space has {address_bits} bits")
    if not 0 <= value < 1 << 32:
        raise ValueError(f"{value:#x} does not fit the register at {offset:#05x}, which has 32 bits")


def bus_error(access: str, offset: int) -> BusError:
    reason = "no such register" if access == "read" else "no such register, or a read-only one"
    return BusError(f"{access} of offset {offset:#05x} was answered with SLVERR: {reason}")


def check_shell(geometry: Geometry) -> None:
    """Raises DeviceError if a geometry is that of a stream core alone, which no host can drive."""
    if not geometry.axi_bits:
        raise DeviceError(
            f"geometry {geometry.name} has no AXI manager (axi_bits=0), so it is a stream core and not a device; "
            "choose axi_bits=128 or more"
        )


def quiet_limit(geometry: Geometry) -> int:
    """Clock cycles without any transfer after which a simulator gives up.

    The longest silence of a working core is that of SELECT before its first event: a walk over the sets of a bank for
    each bit of the threshold, some that count, and one that makes rows cold.
    """
    return 4 * (1 + geometry.counter_bits) * geometry.sets + 16 * geometry.max_moves + 10_000
