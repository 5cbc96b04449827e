"""Checks that a card has the expected geometry."""

from __future__ import annotations

from hotline_device.checks import check_shell
from hotline_device.device import DeviceError
from hotline_hw.spec.capabilities import CAPABILITIES, capability_fields
from hotline_hw.spec.params import Geometry

from .registers import RegisterFile

__all__ = ["check_geometry"]


def check_geometry(geometry: Geometry, registers: RegisterFile) -> None:
    """Compares every field of the capability registers with a geometry.

    Raises:
        DeviceError: one differs, and the message names it; or the geometry has no shell.
    """
    check_shell(geometry)
    for one in CAPABILITIES:
        expected = capability_fields(one, geometry)
        for name, value in one.unpack(registers.read(one.offset)).items():
            if value != expected[name]:
                raise DeviceError(
                    f"the card has {name}={value} ({one.name}), and geometry {geometry.name} has {expected[name]}: "
                    "load that geometry's bitstream, or open the card with its own geometry, or with None"
                )
