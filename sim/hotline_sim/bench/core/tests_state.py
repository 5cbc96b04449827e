"""Commands and the tracker's state: dump, restore, budget, clear, and reset in the middle of everything."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np

from hotline_hw.spec.regmap import Command, Error, Irq, Phase
from hotline_hw.spec.words import ENTRY_VALID
from hotline_sim.bench.rows import random_rows
from hotline_sim.bench.stimulus import key_words, random_batches, random_keys

from .tb import TB
from .tests_csr import assert_reset_values


async def traffic(tb: TB, phase: Phase, batches: int = 4) -> None:
    await tb.set_phase(phase)
    for words in random_batches(np.random.default_rng(7), tb.geometry, batches, hot_keys=12):
        tb.send(words)
    await tb.settle()
    if phase == Phase.LEARN:
        await tb.select()


@cocotb.test()
async def test_dump_and_restore(dut: Any) -> None:
    """After a dump and a restore the core goes on as before, under large and small budgets."""
    tb = TB(dut)
    await tb.start()
    capacity = tb.geometry.hot_capacity
    for hot_rows in (capacity, capacity // 2 - 1, tb.geometry.banks, 1):
        await tb.set_hot_rows(hot_rows)
        await traffic(tb, Phase.LEARN)
        tb.set_pauses(idle=0.3, stall=0.3)
        rows = await tb.dump()
        assert (rows >> ENTRY_VALID.low).any()
        assert len(rows) == tb.geometry.state_rows_per_set << await tb.read("INDEX_BITS")
        await tb.command(Command.CLEAR)
        assert not (await tb.dump()).any()
        await tb.restore(rows)
        assert ((await tb.dump()) == rows).all()
        tb.set_pauses()
        await traffic(tb, Phase.CLASSIFY)
        await traffic(tb, Phase.LEARN)
    await tb.finish()


@cocotb.test()
async def test_restore_of_any_words(dut: Any) -> None:
    """Restores words of random bits, also in entries and slots outside the budget. Then traffic follows."""
    tb = TB(dut)
    await tb.start()
    geometry = tb.geometry
    for hot_rows in (geometry.hot_capacity, geometry.hot_capacity - 3, geometry.banks + 1, 0):
        for outside in (False, True):
            await tb.set_hot_rows(hot_rows)
            rows = random_rows(tb.rng, tb.scoreboard.model, 1 << tb.scoreboard.model.index_bits, outside=outside)
            if outside:
                rows[-geometry.state_rows_per_set, -1] |= np.uint64(1 << ENTRY_VALID.low)  # the first one outside
            await tb.restore(rows)
            assert tb.scoreboard.errors == (Error.RESTORE_ENTRY if outside else Error(0))
            await tb.dump()
            await tb.check()
            await traffic(tb, Phase.LEARN)
    await tb.finish()


@cocotb.test()
async def test_restore_of_wrong_length(dut: Any) -> None:
    """A packet of too few or too many rows leaves an empty tracker. The next RESTORE sees nothing of the packet."""
    tb = TB(dut)
    await tb.start()
    geometry, model = tb.geometry, tb.scoreboard.model
    few = geometry.banks * geometry.ways // geometry.entries_per_hot_row
    for hot_rows in (geometry.hot_capacity, few, few + 1):
        await tb.set_hot_rows(hot_rows)
        sets = 1 << model.index_bits
        beats = geometry.state_rows_per_set * sets
        for length in (1, beats - 1, beats + 1, 2 * beats, 2 * beats + 1):
            await traffic(tb, Phase.LEARN, 1)
            await tb.restore(random_rows(tb.rng, model, 3 * sets, outside=True)[:length])
            assert tb.scoreboard.errors & Error.RESTORE_LENGTH
            await tb.check()
            assert not (await tb.dump()).any()
        good = random_rows(tb.rng, model, sets, outside=False)
        await tb.restore(good)
        await tb.check()
        assert (await tb.dump()).any()
    await tb.finish()


@cocotb.test()
async def test_hot_rows(dut: Any) -> None:
    """Budgets from none to all: INDEX_BITS and the slots that come out. Values out of range change nothing."""
    tb = TB(dut)
    await tb.start()
    geometry = tb.geometry
    most = geometry.hot_capacity
    some = tb.rng.integers(2, most, 2).tolist()
    for hot_rows in (0, 1, geometry.banks - 1, most // 2 + 1, most, *some):
        await tb.set_hot_rows(hot_rows)
        assert await tb.read("HOT_ROWS") == hot_rows
        assert await tb.read("INDEX_BITS") == geometry.index_bits_in_use(hot_rows)
        await traffic(tb, Phase.LEARN, 3)
        await traffic(tb, Phase.CLASSIFY, 2)
        for wrong in (most + 1, 1 << geometry.hot_rows_bits, 1 << 31 | hot_rows):
            await tb.set_hot_rows(wrong)
            assert tb.scoreboard.errors == Error.HOT_ROWS_RANGE
            assert await tb.read("HOT_ROWS") == hot_rows
        await tb.check()
        await traffic(tb, Phase.CLASSIFY, 1)
    await tb.finish()


async def assert_refused(tb: TB) -> None:
    """A busy core refuses HOT_ROWS and all commands but SNAPSHOT."""
    for name, value in [*(("COMMAND", code) for code in (0, *Command, 0x100)), ("HOT_ROWS", 1), ("HOT_ROWS", 1 << 20)]:
        assert (await tb.status())["busy"]
        await tb.write("IRQ_STATUS", int(Irq.ERROR | Irq.COMMAND_DONE))
        await tb.write(name, value)
        errors, causes = await tb.read("ERROR"), await tb.read("IRQ_STATUS")
        if name == "COMMAND" and value == Command.SNAPSHOT:
            assert (errors, causes & ~Irq.BATCH_DONE) == (0, Irq.COMMAND_DONE), "SNAPSHOT is accepted"
            tb.scoreboard.command(Command.SNAPSHOT)
        else:
            assert (errors, causes & ~Irq.BATCH_DONE) == (Error.COMMAND_BUSY, Irq.ERROR), f"{name} {value:#x}"
            tb.scoreboard.error(Error.COMMAND_BUSY)
        await tb.write("ERROR", errors)
        tb.scoreboard.errors = Error(0)
    await tb.write("IRQ_STATUS", int(Irq.ERROR | Irq.COMMAND_DONE))
    tb.scoreboard.irq &= Irq.BATCH_DONE


@cocotb.test()
async def test_commands_while_busy(dut: Any) -> None:
    """While a mini-batch is under way, or DUMP, SELECT or RESTORE waits, commands are refused and disturb nothing."""
    tb = TB(dut)
    await tb.start()
    await traffic(tb, Phase.LEARN)
    await tb.set_phase(Phase.CLASSIFY)
    await tb.check()

    tb.results["nonpopular"].pause = True
    tb.send(key_words(tb.geometry, random_keys(tb.rng, tb.geometry, 3)))
    await tb.cycles(60)
    await assert_refused(tb)
    tb.results["nonpopular"].pause = False
    await tb.settle()

    before = tb.scoreboard.model.dump()
    tb.state_out.pause = True
    await tb.write("COMMAND", Command.DUMP)
    assert (await tb.status())["command"]
    await assert_refused(tb)
    tb.send(key_words(tb.geometry, random_keys(tb.rng, tb.geometry, 40)))  # waits until the command ends
    await tb.cycles(60)
    assert tb.scoreboard.outstanding == 2 and not tb.lookup.idle()
    tb.state_out.pause = False
    assert (await tb.receive_state() == before).all()
    tb.scoreboard.command(Command.DUMP)
    await tb.settle()

    tb.state_out.pause = True
    await tb.write("COMMAND", Command.SELECT)
    want = tb.scoreboard.select()
    await assert_refused(tb)
    tb.state_out.pause = False
    await tb.receive_events(want)
    await tb.settle()

    rows = random_rows(tb.rng, tb.scoreboard.model, 1 << tb.scoreboard.model.index_bits, outside=False)
    await tb.write("COMMAND", Command.RESTORE)
    await assert_refused(tb)
    tb.send_state(rows[:1])
    await tb.until_idle()
    tb.scoreboard.restore(rows[:1])
    await tb.finish()


@cocotb.test()
async def test_reset_in_the_middle(dut: Any) -> None:
    """Reset in the middle of mini-batches, a clearing walk, DUMP, RESTORE and SELECT: the core is as new each time."""
    tb = TB(dut)
    await tb.start()

    async def dump() -> None:
        tb.state_out.pause = True
        await tb.write("COMMAND", Command.DUMP)

    async def restore() -> None:
        await tb.write("COMMAND", Command.RESTORE)
        tb.send_state(random_rows(tb.rng, tb.scoreboard.model, 1 << tb.geometry.index_bits, outside=True)[:-1])

    async def clear() -> None:
        await tb.write("COMMAND", Command.CLEAR)

    async def select() -> None:
        tb.pause(tb.state_out, 0.8)
        await tb.write("COMMAND", Command.SELECT)

    async def mini_batches() -> None:
        tb.set_pauses(stall=0.7)
        for words in random_batches(tb.rng, tb.geometry, 8, index_errors=0.1, long_errors=0.1):
            tb.send(words)

    for begin in (dump, restore, clear, *[mini_batches] * 4, *[select] * 4):
        await tb.set_hot_rows(tb.geometry.hot_capacity - 5)
        await traffic(tb, Phase.LEARN, 2)
        await tb.set_phase(Phase.RELEARN)
        await begin()
        await tb.cycles(int(tb.rng.integers(1, 100)))
        await tb.reset(int(tb.rng.integers(1, 4)))
        tb.set_pauses()
        await assert_reset_values(tb)
        await tb.dump()
        await traffic(tb, Phase.LEARN, 2)
        await traffic(tb, Phase.CLASSIFY, 2)
        await tb.check()
    await tb.finish()
