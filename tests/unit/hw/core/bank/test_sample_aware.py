"""How often the tracker takes an update: each cycle, but for what the contract of `SampleAwareTracker` excepts."""

from __future__ import annotations

import warnings

import pytest
from amaranth.sim import Simulator, SimulatorContext

from hotline_hw.core.bank.sample_aware import SampleAwareTracker
from hotline_hw.spec.params import preset

TINY = preset("tiny")
SETS = TINY.sets
COUNT = 60


def cycles(updates: list[tuple[int, bool]]) -> int:
    """Cycles in which a tracker takes updates, each a tag and whether its key is hot. Set 0 has hot keys only."""
    dut = SampleAwareTracker(TINY)
    taken: list[int] = []

    async def drive(ctx: SimulatorContext) -> None:
        ctx.set(dut.budget.set_mask, SETS - 1)
        ctx.set(dut.budget.ways_low, (1 << TINY.ways) - 1)
        ctx.set(dut.row_access, 1)
        ctx.set(dut.row_write, 1)
        ctx.set(dut.row_in.valid, (1 << TINY.ways) - 1)
        await ctx.tick()
        ctx.set(dut.row_write, 0)
        ctx.set(dut.entry_write, 1)
        ctx.set(dut.make_hot, 1)
        for way in range(TINY.ways):
            ctx.set(dut.row_way, way)
            ctx.set(dut.tag_in, way * SETS)
            await ctx.tick()
        ctx.set(dut.row_access, 0)
        ctx.set(dut.entry_write, 0)
        ctx.set(dut.update_weight, 1)
        ctx.set(dut.update_valid, 1)
        waiting = list(updates)
        for cycle in range(20 * len(updates)):
            if not waiting:
                return
            tag, hot = waiting[0]
            ctx.set(dut.update_tag, tag)
            ctx.set(dut.update_hot, hot)
            if ctx.get(dut.update_ready):
                taken.append(cycle)
                waiting.pop(0)
            await ctx.tick()
        raise AssertionError("an update waits for ever")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(drive)
    simulator.run()
    return taken[-1] + 1


@pytest.mark.parametrize(("tag", "taken_in"), [(1, 1), (100 * SETS, 0)], ids=["taken-in", "never-taken-in"])
def test_the_same_cold_key_again_and_again(tag, taken_in):
    assert cycles([(tag, False)] * COUNT) == COUNT + taken_in


def test_keys_of_other_sets():
    assert cycles([(1 + index % (SETS - 1), False) for index in range(COUNT)]) <= COUNT + SETS


def test_hot_keys_of_one_set():
    assert cycles([(index % TINY.ways * SETS, True) for index in range(COUNT)]) == COUNT


def test_another_key_of_the_set_waits():
    taken = cycles([(index % 2 * SETS + 1, False) for index in range(COUNT)])
    assert COUNT * SampleAwareTracker.STAGES < taken <= COUNT * (SampleAwareTracker.STAGES + 1)
