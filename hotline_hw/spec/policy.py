"""The policy: how the tracker is set at run time, and the registers that hold the settings.

Plain data, importable without Amaranth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .regmap import POLICY_REGISTERS, WEIGHTS, register

__all__ = ["Policy", "pack_policy", "unpack_policy"]


@dataclass
class Policy:
    """Run-time settings, as the registers of the same names hold them. CLEAR does not change them.

    Attributes:
        weights: 16 update weights, indexed by the number of a sample's other misses. The last stands for 15 or more.
            A lookup of weight 0 is not learned.
        age_period: a set's counters shrink after so many lookups of keys without an entry. 0: never.
        hysteresis: a hot row stays while its counter is at least threshold - (threshold >> hysteresis).
        move_limit: most rows that one SELECT makes hot. geometry.max_moves is a limit too.
        select_start: the set of every bank at which SELECT begins to look for rows to move, modulo the sets in use.
    """

    weights: Sequence[int] = WEIGHTS
    age_period: int = 32
    hysteresis: int = 3
    move_limit: int = 0xFFFF_FFFF
    select_start: int = 0


def pack_policy(policy: Policy) -> dict[str, int]:
    """The values of `POLICY_REGISTERS`, by name.

    Raises:
        ValueError: a value does not fit its field; the message names the register and the range.
    """
    if len(policy.weights) != len(WEIGHTS):
        raise ValueError(f"there must be 16 weights, for 0 to 15 other misses, and not {len(policy.weights)}")
    values = {f"weight_{index}": weight for index, weight in enumerate(policy.weights)} | {
        "lookups": policy.age_period, "shift": policy.hysteresis, "rows": policy.move_limit, "set": policy.select_start,
    }  # fmt: skip
    registers = {}
    for name in POLICY_REGISTERS:
        fields = register(name).fields
        for field in fields:
            most = (1 << field.width) - 1
            if not 0 <= values[field.name] <= most:
                raise ValueError(f"{values[field.name]} does not fit {field.name} of {name}; choose 0 to {most}")
        registers[name] = sum(values[field.name] << field.low for field in fields)
    return registers


def unpack_policy(registers: Mapping[str, int]) -> Policy:
    """The policy that the values of `POLICY_REGISTERS` hold."""
    values: dict[str, int] = {}
    for name in POLICY_REGISTERS:
        values |= register(name).unpack(registers[name])
    return Policy(
        weights=tuple(values[f"weight_{index}"] for index in range(len(WEIGHTS))),
        age_period=values["lookups"],
        hysteresis=values["shift"],
        move_limit=values["rows"],
        select_start=values["set"],
    )
