"""A tracker's policy as register values."""

from __future__ import annotations

from hotline_hw.spec.regmap import register
from hotline_sim.model.sample_aware import Policy

from .packets import DriverError

__all__ = ["Policy", "policy_registers"]

_NAMES = ("AGE_PERIOD", "HYSTERESIS", "MOVE_LIMIT", "SELECT_START", *(f"WEIGHTS_{index}" for index in range(4)))


def policy_registers(policy: Policy) -> dict[str, int]:
    """The registers that hold a policy, by name.

    Raises:
        DriverError: a value does not fit its field.
    """
    if len(policy.weights) != 16:
        raise DriverError(f"there must be 16 weights, for 0 to 15 other misses, and not {len(policy.weights)}")
    values = {f"weight_{index}": weight for index, weight in enumerate(policy.weights)} | {
        "lookups": policy.age_period, "shift": policy.hysteresis, "rows": policy.move_limit, "set": policy.select_start,
    }  # fmt: skip
    registers = {}
    for name in _NAMES:
        fields = register(name).fields
        for field in fields:
            most = (1 << field.width) - 1
            if not 0 <= values[field.name] <= most:
                raise DriverError(f"{values[field.name]} does not fit {field.name} of {name}; choose 0 to {most}")
        registers[name] = sum(values[field.name] << field.low for field in fields)
    return registers
