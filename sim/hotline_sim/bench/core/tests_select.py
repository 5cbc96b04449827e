"""SELECT, RELEARN, and learning that goes on after the result packets have left."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cocotb
import numpy as np

from hotline_hw.spec.policy import Policy
from hotline_hw.spec.regmap import WEIGHTS, Command, Error, Irq, Phase
from hotline_sim.bench.stimulus import crowded_keys, key_words, keys_of_set, random_batches, random_front, random_keys

from .tb import TB

_ALL = 0xFFFF_FFFF


def random_policy(rng: np.random.Generator, sets: int) -> Policy:
    """Settings that reach every case: frequent aging or none, few moves or many, weights of zero."""
    weights = rng.integers(0, 32, 16) * (rng.random(16) < 0.8)
    return Policy(
        weights=WEIGHTS if rng.random() < 0.5 else tuple(weights.tolist()),
        age_period=int(rng.choice([0, 1, 2, 3, 6, 32, 255])),
        hysteresis=int(rng.choice([0, 1, 2, 3, 15])),
        move_limit=int(rng.choice([0, 1, 3, 1 << 16, _ALL])),
        select_start=int(rng.choice([0, int(rng.integers(1, sets)), int(rng.integers(sets, 1 << 32))])),
    )


@cocotb.test()
async def test_what_select_does(dut: Any) -> None:
    """One by one: free slots, a threshold that no row reaches, hysteresis, slots that change hands."""
    tb = TB(dut)
    await tb.start()
    await tb.set_hot_rows(2)
    keys = np.concatenate([keys_of_set(tb.geometry, gset, 1) for gset in range(4)])  # all fit, with any number of ways
    policy = Policy(weights=(2,) * 16, age_period=0, hysteresis=1)
    await tb.set_policy(policy)
    closing = (await tb.select())[-1]
    assert closing[:2].tolist() == [0, 1], "of an empty tracker: nothing is hot, the threshold is one"

    await tb.make_hot(keys[:2])
    assert tb.scoreboard.model.hot_count == 2
    await tb.make_hot(keys[2:])
    assert tb.scoreboard.model.threshold == 3, "four entries have a counter of 2, and two may be hot"
    await tb.make_hot(keys[2:3])
    assert tb.scoreboard.model.threshold == 3, "2 is not behind 3 - (3 >> 1)"
    assert tb.scoreboard.model.counters["demotions"] == 0
    await tb.make_hot(keys[2:3])
    assert tb.scoreboard.model.counters["demotions"] == 0, "with one that reaches 3 the threshold stays there"
    await tb.set_policy(replace(policy, hysteresis=15))
    await tb.select()
    assert tb.scoreboard.model.counters["demotions"] == 1, "without hysteresis one of them makes room"
    await tb.finish()


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.5])
async def test_policies(dut: Any, stall: float) -> None:
    """Random budgets and policies, mini-batches in every phase, SELECT between them."""
    tb = TB(dut)
    await tb.start()
    capacity = tb.geometry.hot_capacity
    tb.set_pauses(idle=stall, stall=stall)
    for hot_rows in (capacity, capacity // 2 + 1, tb.geometry.banks + 1, 1):
        await tb.set_hot_rows(hot_rows)
        for words in random_batches(tb.rng, tb.geometry, 8, samples=12, hot_keys=2 * hot_rows, burst_share=0.3):
            await tb.set_policy(random_policy(tb.rng, tb.geometry.sets))
            if tb.rng.random() < 0.5:
                await tb.set_phase(Phase.FRONT)
                tb.send(random_front(tb.rng, tb.geometry, words))
            await tb.set_phase(int(tb.rng.choice([Phase.LEARN, Phase.CLASSIFY, Phase.RELEARN])))
            tb.send(words)
            await tb.select()
        await tb.check()
        await tb.dump()
    await tb.finish()


@cocotb.test()
async def test_sets_full_of_hot_rows(dut: Any) -> None:
    """Every way of a set is hot. The set takes in no key, and its rows are still counted."""
    tb = TB(dut)
    await tb.start()
    ways = tb.geometry.ways
    keys = keys_of_set(tb.geometry, 1, 3 * ways)
    await tb.make_hot(keys[:ways], times=3)
    while tb.scoreboard.model.hot_count < ways:  # at most max_moves at a time
        await tb.select()
    inserts = tb.scoreboard.model.counters["inserts"]
    await tb.set_phase(Phase.RELEARN)
    tb.send(key_words(tb.geometry, tb.rng.permutation(keys)))
    await tb.dump()
    assert tb.scoreboard.model.counters["inserts"] == inserts
    assert tb.coverage.counts["insert_refused"] == 2 * ways
    await tb.finish()


@cocotb.test()
async def test_commands_while_updates_go_on(dut: Any) -> None:
    """The result packets have left and the banks still learn. The core is busy and refuses a command."""
    tb = TB(dut)
    await tb.start()
    shared = tb.geometry.index_bits
    for command in (Command.CLEAR, Command.SELECT, Command.DUMP, Command.RESTORE, Command.RESET_COUNTERS):
        keys = crowded_keys(tb.rng, tb.geometry, tb.geometry.max_lookups, shared_bits=shared, different=1000)
        words = key_words(tb.geometry, keys, last=False)
        words[-1] |= np.uint64(1 << 63)
        tb.send(words)  # a long sample, all of it for one bank: each key that is taken in costs two cycles
        while tb.scoreboard.outstanding:
            await tb.cycles(1)
        await tb.write("COMMAND", command)
        assert (await tb.read("ERROR")) == Error.COMMAND_BUSY, f"{command!r} was taken with updates under way"
        tb.scoreboard.error(Error.COMMAND_BUSY)
        await tb.check()
        await tb.dump()
    await tb.finish()


@cocotb.test()
async def test_select_that_waits(dut: Any) -> None:
    """An answer that is not fetched holds up the command and the mini-batch behind it. Nothing is lost."""
    tb = TB(dut)
    await tb.start()
    tb.send(key_words(tb.geometry, random_keys(tb.rng, tb.geometry, 12)))
    await tb.settle()
    for share in (0.5, 0.9):
        tb.pause(tb.state_out, 0)
        tb.state_out.pause = True
        await tb.write("COMMAND", Command.SELECT)
        want = tb.scoreboard.select()
        tb.send(key_words(tb.geometry, random_keys(tb.rng, tb.geometry, 9)))
        await tb.cycles(500)
        assert (await tb.status())["command"] and tb.scoreboard.outstanding == 2
        assert not await tb.read("IRQ_STATUS") & Irq.COMMAND_DONE
        tb.pause(tb.state_out, share)
        await tb.receive_events(want)
        await tb.settle()
        await tb.write("IRQ_STATUS", _ALL)
        tb.scoreboard.irq = Irq(0)
    await tb.finish()
