"""The policy and the registers that hold it."""

from __future__ import annotations

import pytest
from hypothesis import given

from hotline_hw.spec.policy import Policy, pack_policy, unpack_policy
from hotline_hw.spec.regmap import POLICY_REGISTERS, register
from tests.support.strategies import policies


def test_registers_hold_the_default_policy_after_reset() -> None:
    assert unpack_policy({name: register(name).reset or 0 for name in POLICY_REGISTERS}) == Policy()


def test_bits_are_where_software_outside_expects_them() -> None:
    policy = Policy((*range(1, 13), 31, 14, 15, 16), 200, 5, 70_000, 0x8000_0001)
    assert pack_policy(policy) == {
        "AGE_PERIOD": 200, "HYSTERESIS": 5, "MOVE_LIMIT": 70_000, "SELECT_START": 0x8000_0001,
        "WEIGHTS_0": 0x04030201, "WEIGHTS_1": 0x08070605, "WEIGHTS_2": 0x0C0B0A09, "WEIGHTS_3": 0x100F0E1F,
    }  # fmt: skip


@given(policies)
def test_unpacking_reverses_packing(policy: Policy) -> None:
    policy.weights = tuple(policy.weights)
    assert unpack_policy(pack_policy(policy)) == policy


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (Policy(age_period=256), "256 does not fit lookups of AGE_PERIOD; choose 0 to 255"),
        (Policy(weights=[1] * 15), "there must be 16 weights, for 0 to 15 other misses, and not 15"),
    ],
)
def test_what_does_not_fit_is_named(policy: Policy, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pack_policy(policy)
