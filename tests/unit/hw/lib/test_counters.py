"""CounterBank: counters have 64 bits, none is lost on the way to a snapshot, and a snapshot is of one instant."""

from __future__ import annotations

import random

import pytest

from hotline_hw.lib.counters import CounterBank
from hotline_hw.spec.regmap import Counter
from tests.formal.mutants import mutated
from tests.support.axi_lite import simulate

COUNTERS = Counter("wide", "increments of many bits"), Counter("narrow", "one at a time")
PARTS = "_PARTS = (22, 21, 21)"
MOST = (1 << 22) - 1


def run(bank: type[CounterBank], bits: int, cycles: list[tuple[int, bool, bool]]) -> list[tuple[int, int]]:
    """Drives (increment, snapshot, clear) in each cycle. Snapshots are at least SETTLE cycles apart.

    Returns what each snapshot must be, and what it is.
    """
    dut = bank({"wide": bits}, COUNTERS)
    pairs: list[tuple[int, int]] = []

    async def drive(ctx):
        total, due = 0, []
        for number, (increment, snapshot, clear) in enumerate(cycles):
            ctx.set(dut.wide, increment)
            ctx.set(dut.snapshot, snapshot)
            ctx.set(dut.clear, clear)
            if snapshot:
                due.append((number + dut.SETTLE, total))
            total = 0 if clear else total + increment
            await ctx.tick()
            if due and due[0][0] == number + 1:
                pairs.append((due.pop(0)[1], ctx.get(dut.wide_value)))
        assert ctx.get(dut.narrow_value) == 0

    simulate(dut, drive)
    return pairs


LONG = [(MOST, False, False)] * 2100 + [(0, False, False), (0, True, False)] + [(0, False, False)] * 6


def test_counters_go_on_beyond_32_bits() -> None:
    [(due, found)] = run(CounterBank, 22, LONG)
    assert due == found == 2100 * MOST > 1 << 33


@pytest.mark.parametrize("parts", ["(22, 10, 0)", "(22, 11, 0)"])
def test_counters_with_fewer_bits_are_caught(parts: str) -> None:
    [(due, found)] = run(mutated(CounterBank, PARTS, f"_PARTS = {parts}"), 22, LONG)
    assert due != found


SHORT = PARTS, "_PARTS = (2, 3, 59)"  # so that carries come often


def busy_cycles() -> list[tuple[int, bool, bool]]:
    draw = random.Random(1)
    return [(draw.choice([0, 1, 3]), number % 5 == 0, draw.random() < 0.01) for number in range(2000)]


def test_a_snapshot_is_of_one_instant() -> None:
    pairs = run(mutated(CounterBank, *SHORT), 2, busy_cycles())
    assert len(pairs) > 300 and all(due == found for due, found in pairs) and max(pairs)[0] > 1 << 5


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("with m.If(snapshots[part])", "with m.If(snapshots[0])"),
        ("with m.If(clears[part])", "with m.If(clears[0])"),
        ("over.eq(total[-1])", "over.eq(0)"),
    ],
)
def test_parts_of_different_instants_are_caught(right: str, wrong: str, monkeypatch) -> None:
    broken = mutated(CounterBank, right, wrong)
    monkeypatch.setitem(broken.elaborate.__globals__, "_PARTS", (2, 3, 59))
    assert any(due != found for due, found in run(broken, 2, busy_cycles()))


def test_an_increment_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="wide has increments of 23 bits; a counter takes 22 at most"):
        CounterBank({"wide": 23}, COUNTERS)
