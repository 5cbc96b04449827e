"""Whether a card has the geometry that is expected."""

from __future__ import annotations

from hotline_device.checks import check_shell
from hotline_device.device import DeviceError
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import REGISTERS
from hotline_hw.spec.shell_registers import SHELL_REGISTERS, WINDOWS

from .registers import RegisterFile

__all__ = ["check_geometry"]


def check_geometry(geometry: Geometry, registers: RegisterFile) -> None:
    """Compares every field of the capability registers.

    Raises:
        DeviceError: one differs, and the message names it; or the geometry has no shell.
    """
    check_shell(geometry)
    expected = geometry.as_dict() | {
        "log2_banks": geometry.bank_bits, "log2_sets": geometry.set_bits, "windows": WINDOWS,
        "log2_axi_bytes": geometry.axi_bytes.bit_length() - 1, "log2_read_tags": geometry.tag_id_bits,
        "log2_read_beats": geometry.read_beats.bit_length() - 1,
    }  # fmt: skip
    for one in (*REGISTERS, *SHELL_REGISTERS):
        if not one.name.startswith("CAP_"):
            continue
        for name, value in one.unpack(registers.read(one.offset)).items():
            if value != expected[name]:
                raise DeviceError(
                    f"the card has {name}={value} ({one.name}), and geometry {geometry.name} has {expected[name]}: "
                    "load that geometry's bitstream, or open the card with its own geometry, or with None"
                )
