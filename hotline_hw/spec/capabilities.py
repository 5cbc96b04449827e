"""The capability registers and the geometry that they describe, in both directions.

A field is named after the parameter whose value it holds. `log2_` before the name says that the field holds the
logarithm. The field for the bus holds bytes, and `windows` is no parameter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .params import Geometry
from .regmap import REGISTERS, Register
from .shell_registers import SHELL_REGISTERS, WINDOWS

__all__ = ["CAPABILITIES", "capability_fields", "capability_values", "parameters"]

CAPABILITIES: tuple[Register, ...] = tuple(
    register for register in (*REGISTERS, *SHELL_REGISTERS) if register.name.startswith("CAP_")
)
_LOG2 = "log2_"


def capability_fields(register: Register, geometry: Geometry) -> dict[str, int]:
    """What the fields of one of CAPABILITIES hold in an accelerator with this geometry."""
    return {field.name: _held(field.name, geometry) for field in register.fields}


def capability_values(geometry: Geometry, registers: Iterable[Register] = CAPABILITIES) -> dict[str, int]:
    """The values of those of the registers that are CAPABILITIES, by name."""
    return {
        register.name: sum(_held(field.name, geometry) << field.low for field in register.fields)
        for register in registers
        if register in CAPABILITIES
    }


def parameters(values: Mapping[str, int]) -> dict[str, int]:
    """A geometry's parameters, from the values of all CAPABILITIES."""
    found = {}
    for register in CAPABILITIES:
        for name, value in register.unpack(values[register.name]).items():
            found[name.removeprefix(_LOG2)] = 1 << value if name.startswith(_LOG2) else value
    del found["windows"]
    return found | {"axi_bits": 8 * found.pop("axi_bytes")}


def _held(name: str, geometry: Geometry) -> int:
    if name == "windows":
        return WINDOWS
    value = int(getattr(geometry, name.removeprefix(_LOG2)))
    return value.bit_length() - 1 if name.startswith(_LOG2) else value
