"""CounterBank: counters have 64 bits, and none is lost on the way to a snapshot."""

from __future__ import annotations

import pytest

from hotline_hw.lib.counters import CounterBank
from hotline_hw.spec.regmap import Counter
from tests.formal.mutants import mutated
from tests.support.axi_lite import simulate

COUNTERS = Counter("wide", "increments of 40 bits"), Counter("narrow", "one at a time")
QUIET = 8  # cycles until an increment is in the snapshot, at most


def total(bank: type[CounterBank], increments: list[int]) -> list[int]:
    """Snapshots of `wide` after each increment, from a bank that has begun at 0."""
    dut = bank({"wide": 40}, COUNTERS)
    found = []

    async def drive(ctx):
        for increment in increments:
            ctx.set(dut.wide, increment)
            await ctx.tick()
            ctx.set(dut.wide, 0)
            await ctx.tick().repeat(QUIET)
            ctx.set(dut.snapshot, 1)
            await ctx.tick()
            ctx.set(dut.snapshot, 0)
            await ctx.tick().repeat(QUIET)
            found.append(ctx.get(dut.wide_value))
        assert ctx.get(dut.narrow_value) == 0

    simulate(dut, drive)
    return found


INCREMENTS = [(1 << 31) - 1, 1, 1 << 31, 1, (1 << 40) - 1, (1 << 32) - 1, 1, 0xA5_A5A5_A5A5]
EXPECTED = [sum(INCREMENTS[: at + 1]) for at in range(len(INCREMENTS))]


def test_counters_go_on_beyond_32_bits() -> None:
    assert total(CounterBank, INCREMENTS) == EXPECTED and EXPECTED[-1] > 1 << 40


@pytest.mark.parametrize("bits", [32, 33, 40])
def test_counters_with_fewer_bits_are_caught(bits: int) -> None:
    short = mutated(CounterBank, "live = Signal(64,", f"live = Signal({bits},")
    assert total(short, INCREMENTS) != EXPECTED
