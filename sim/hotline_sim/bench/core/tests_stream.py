"""Mini-batches in, result packets out."""

from __future__ import annotations

import itertools
from typing import Any

import cocotb
import numpy as np

from hotline_hw.spec.regmap import Command, Error, Phase
from hotline_sim.bench.stimulus import key_words, random_batches, random_front, random_keys

from .packets import LookupPacket, sparse
from .tb import TB


@cocotb.test()
@cocotb.parametrize(idle=[0.0, 0.6], stall=[0.0, 0.6])
async def test_corners(dut: Any, idle: float, stall: float) -> None:
    """Input is never or often idle, outputs never or often stall. The results are equal, and stream rules are kept."""
    tb = TB(dut)
    await tb.start()
    tb.set_pauses(idle, stall)
    batches = random_batches(tb.rng, tb.geometry, 36, hot_keys=12)
    for index, phase in enumerate((Phase.LEARN, Phase.CLASSIFY, Phase.RELEARN)):
        await tb.set_phase(Phase.FRONT)
        tb.send(random_front(tb.rng, tb.geometry, np.concatenate(batches)))
        await tb.set_phase(phase)
        for words in batches[index::3]:
            tb.send(words)
        await tb.check()
        await tb.select()
    await tb.finish()
    if stall:
        assert all(tb.rules.waits[f"m_axis_{name}"] for name in ("popular", "nonpopular", "state"))


@cocotb.test()
async def test_one_stalled_output(dut: Any) -> None:
    """A result stream that is not drained for long holds up the core. Nothing is lost."""
    tb = TB(dut)
    await tb.start()
    await tb.make_hot(random_keys(tb.rng, tb.geometry, 4))
    await tb.set_phase(Phase.RELEARN)
    for sink in tb.results.values():
        sink.pause = True
        for words in random_batches(tb.rng, tb.geometry, 25):
            tb.send(words)
        await tb.cycles(600)
        assert not tb.lookup.idle(), "an input of many mini-batches was taken, with an output that takes none"
        sink.pause = False
        await tb.check()
    await tb.finish()


@cocotb.test()
async def test_phase_at_the_first_beat(dut: Any) -> None:
    """A write to CONTROL inside a mini-batch takes effect with the next one."""
    tb = TB(dut)
    await tb.start()
    await tb.until_idle()
    keys = random_keys(tb.rng, tb.geometry, 40 * tb.geometry.lanes)

    order = [*Phase, Phase.LEARN]
    for phase, other in itertools.pairwise(order):
        await tb.set_phase(phase)
        tb.send(key_words(tb.geometry, keys))
        while not (await tb.status())["busy"]:
            pass
        tb.lookup.pause = True
        assert not tb.lookup.idle(), "the mini-batch is too short to be caught inside"
        await tb.write("CONTROL", other)
        assert await tb.read("CONTROL") == other
        assert (await tb.status())["phase"] == phase
        tb.lookup.pause = False
        await tb.settle()
        tb.send(key_words(tb.geometry, keys[::-1]), other)
        await tb.settle()
        assert (await tb.status())["phase"] == other
        tb.phase = other
        await tb.check()
    await tb.finish()


@cocotb.test()
async def test_empty_mini_batches(dut: Any) -> None:
    """A mini-batch of null beats gives two empty packets, alone as well as between others. It is an error in all phases
    but FRONT, where it empties the front table."""
    tb = TB(dut)
    await tb.start()
    lanes = tb.geometry.lanes
    some = key_words(tb.geometry, random_keys(tb.rng, tb.geometry, lanes))
    for phase in Phase:
        await tb.set_phase(phase)
        for beats in (1, 2, 5):
            tb.send(LookupPacket(np.zeros((beats, lanes), np.uint64), np.zeros((beats, lanes), np.uint8)))
            assert tb.scoreboard.errors == (0 if phase == Phase.FRONT else Error.EMPTY_BATCH)
            tb.send(some[:1] if phase == Phase.FRONT else some)
        await tb.check()
    await tb.finish()


@cocotb.test()
async def test_where_samples_end(dut: Any) -> None:
    """Samples of about max_lookups and its multiples: with and without `last`, dense and spread out."""
    tb = TB(dut)
    await tb.start()
    limit, lanes = tb.geometry.max_lookups, tb.geometry.lanes
    await tb.set_phase(Phase.CLASSIFY)
    for length in (limit - 1, limit, limit + 1, 2 * limit, 2 * limit + lanes, 3 * limit - 1):
        for last in (False, True):
            words = key_words(tb.geometry, random_keys(tb.rng, tb.geometry, length), last=False)
            words[-1] |= np.uint64(last << 63)
            tb.send(words)
            tb.send(sparse(tb.rng, words, lanes, null_end=1.0))
            await tb.settle()
        assert Error.SAMPLE_TOO_LONG in tb.scoreboard.errors or length <= limit
        await tb.check()
    await tb.finish()


@cocotb.test()
async def test_packets_of_whole_beats(dut: Any) -> None:
    """Result packets of every small length, on either side: the last beat is full or not."""
    tb = TB(dut)
    await tb.start()
    hot, cold = np.split(random_keys(tb.rng, tb.geometry, 8), 2)
    await tb.make_hot(hot)
    await tb.set_phase(Phase.CLASSIFY)
    for popular in range(2 * tb.geometry.lanes + 1):
        for nonpopular in (0, 1, tb.geometry.lanes - 1, tb.geometry.lanes, 2 * tb.geometry.lanes):
            if popular + nonpopular:
                keys = np.concatenate([tb.rng.choice(hot, popular), tb.rng.choice(cold, nonpopular)])
                tb.send(key_words(tb.geometry, tb.rng.permutation(keys)))
    await tb.finish()
    assert tb.coverage.counts["popular_packet_exact"] and tb.coverage.counts["nonpopular_packet_exact"]


@cocotb.test()
async def test_counters_while_busy(dut: Any) -> None:
    """SNAPSHOT inside a mini-batch gives counters of one instant and disturbs nothing."""
    tb = TB(dut)
    await tb.start()
    tb.set_pauses(idle=0.5)
    words = np.concatenate(random_batches(tb.rng, tb.geometry, 8))
    tb.send(words)
    seen = [0]
    while tb.scoreboard.outstanding:
        await tb.write("COMMAND", Command.SNAPSHOT)
        tb.scoreboard.command(Command.SNAPSHOT)
        counters = await tb.counters()
        assert counters["lookup_hits"] <= counters["lookups"]
        assert seen[-1] <= counters["lookups"] <= len(words)
        seen.append(counters["lookups"])
    assert len({*seen} - {0, len(words)}) > 1, f"no SNAPSHOT fell inside the mini-batch: {seen}"
    await tb.finish()
