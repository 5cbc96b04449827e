"""Everything at once: constrained-random traffic and commands, until every coverpoint is met."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, RisingEdge

from hotline_hw.spec.policy import Policy
from hotline_hw.spec.regmap import WEIGHTS, Command, Error, Phase
from hotline_hw.spec.words import LAST_FIELD
from hotline_sim.bench.rows import random_rows
from hotline_sim.bench.settings import bench_geometry
from hotline_sim.bench.simulator import ICARUS
from hotline_sim.bench.stimulus import key_words, keys_of_set, random_batches, random_front, random_keys

from .coverage import Coverage
from .packets import dense, sparse
from .tb import TB
from .tests_select import random_policy


class RandomBench:
    """Random actions on a TB. A round does each action once, in random order, with mini-batches between them."""

    def __init__(self, tb: TB) -> None:
        self.tb = tb
        self.rng = tb.rng
        self.seen = [key_words(tb.geometry, random_keys(tb.rng, tb.geometry, 8))]  # the newest mini-batches

    async def round(self, hot_rows: int, idle: float, stall: float) -> None:
        """A round with a budget of `hot_rows` and these shares of cycles in which streams are held back."""
        tb = self.tb
        tb.set_pauses(idle, stall)
        await tb.set_hot_rows(hot_rows)
        actions: list[Callable[[], Awaitable[None]]] = [
            self.clear, self.reset_counters, self.restore_a_dump, self.restore_in_budget, self.restore_any_words,
            self.restore_wrong_length, self.too_many_hot_rows, self.unknown_command, self.command_while_busy,
            self.errors_in_words, self.empty_batch, *[self.front] * 3, self.front_limits,
            self.full_sets, self.level_field, self.long_samples, self.neighbours, *[self.change_of_taste] * 3,
        ]  # fmt: skip
        for index in self.rng.permutation(len(actions)):
            await self.traffic()
            await actions[index]()
            await tb.check_errors()
        await tb.check()

    async def traffic(self, **errors: Any) -> None:
        """The core learns mini-batches. Then it classifies some of them, and others."""
        geometry = self.tb.geometry
        batches = random_batches(self.rng, geometry, 4, samples=6, hot_keys=8, burst_share=0.3, **errors)
        self.seen = [*self.seen, *batches][-8:]
        await self.send(Phase.LEARN, batches[:3])
        if self.rng.random() < 0.5:
            await self.select()
        await self.send(int(self.rng.choice([Phase.CLASSIFY, Phase.RELEARN])), batches[1:])

    async def send(self, phase: int, batches: list[np.ndarray]) -> None:
        """Mini-batches in a phase, laid out in beats at random."""
        lanes = self.tb.geometry.lanes
        await self.tb.set_phase(phase)
        for words in batches:
            if self.rng.random() < 0.6:
                self.tb.send(dense(words, lanes))
            else:
                partial = 0.1 * (self.rng.random() < 0.3)
                self.tb.send(sparse(self.rng, words, lanes, partial=partial))

    # The tracker

    async def select(self) -> None:
        """SELECT under another policy."""
        await self.tb.set_policy(random_policy(self.rng, self.tb.geometry.sets))
        await self.tb.select()

    async def full_sets(self) -> None:
        """Makes every way of a set hot, if the budget allows. Then more keys of that set are looked up."""
        tb = self.tb
        if self.rng.random() < 0.5:
            await tb.command(Command.CLEAR)
        quotas = [tb.scoreboard.model.tracker.quota(gset) for gset in range(1 << tb.scoreboard.model.index_bits)]
        gset = int(self.rng.choice(np.flatnonzero(np.array(quotas) == max(quotas))))
        keys = keys_of_set(tb.geometry, gset, max(quotas) + 3)
        await tb.set_policy(Policy(hysteresis=1, age_period=int(self.rng.integers(1, 4))))
        await self.send(Phase.LEARN, [key_words(tb.geometry, np.repeat(keys[: max(quotas)], 18))])
        await tb.select()
        await self.send(Phase.RELEARN, [key_words(tb.geometry, self.rng.permutation(keys))])
        # The set ages with the new keys. Then its rows are looked up again.
        await self.send(Phase.RELEARN, [key_words(tb.geometry, np.roll(keys, 3))])

    async def level_field(self) -> None:
        """Keys that all have the same counter: fewer than may be hot, and more."""
        tb = self.tb
        await tb.set_policy(Policy())
        for share in (0.8, 4):
            await tb.command(Command.CLEAR)
            keys = random_keys(self.rng, tb.geometry, 1 + int(share * tb.scoreboard.model.hot_rows))
            await self.send(Phase.LEARN, [key_words(tb.geometry, keys)])
            await tb.select()

    async def neighbours(self) -> None:
        """As many rows become hot as may be, evenly over the sets. Then other rows of these sets surpass them."""
        tb = self.tb
        rows, sets = tb.scoreboard.model.hot_rows, 1 << tb.scoreboard.model.index_bits
        await tb.command(Command.CLEAR)
        start = int(self.rng.integers(tb.geometry.sets))
        await tb.set_policy(Policy(weights=(1,) * 16, age_period=0, hysteresis=15, select_start=start))
        keys = np.stack([keys_of_set(tb.geometry, gset, 2 * -(-rows // sets)) for gset in range(sets)])
        first, second = (part.T.ravel()[:rows] for part in np.split(keys, 2, axis=1))
        for _ in range(-(-rows // tb.geometry.max_moves)):
            await self.send(Phase.LEARN, [key_words(tb.geometry, first[2:])])  # two slots stay free
            await tb.select()
        await self.send(Phase.LEARN, [key_words(tb.geometry, np.repeat(second, 14))])
        for hysteresis in (15, 1, 0):
            await tb.set_policy(replace(tb.scoreboard.model.policy, hysteresis=hysteresis))
            await tb.select()

    async def change_of_taste(self) -> None:
        """Some rows become hot. Then other rows are looked up and replace them."""
        tb = self.tb
        rows = max(2, tb.scoreboard.model.hot_rows)
        for _ in range(3):
            batch = random_batches(self.rng, tb.geometry, 2, samples=20, hot_keys=rows, hot_share=0.95, burst_share=0)
            await self.send(Phase.LEARN, batch[:1])
            await self.select()
            await self.send(Phase.RELEARN, batch[1:])

    async def long_samples(self) -> None:
        """Samples over many beats: some are all hot, and some have more misses than the weights can tell apart."""
        tb = self.tb
        hot = random_keys(self.rng, tb.geometry, min(3, tb.scoreboard.model.hot_rows) or 1)
        if self.rng.random() < 0.5:
            await tb.command(Command.CLEAR)
        await tb.set_policy(replace(random_policy(self.rng, tb.geometry.sets), weights=WEIGHTS, move_limit=9))
        await self.send(Phase.LEARN, [key_words(tb.geometry, np.tile(hot, 30))])
        await tb.select()
        for keys in (self.rng.choice(hot, 3 * tb.geometry.lanes), random_keys(self.rng, tb.geometry, 19)):
            words = key_words(tb.geometry, keys, last=False)
            words[-1] |= np.uint64(1 << LAST_FIELD.low)
            await self.send(Phase.RELEARN, [words])

    # Errors and commands

    async def errors_in_words(self) -> None:
        await self.traffic(index_errors=0.1, long_errors=0.1, open_errors=0.5)

    async def empty_batch(self) -> None:
        self.tb.send(sparse(self.rng, np.empty(0, np.uint64), self.tb.geometry.lanes))

    async def too_long_batch(self) -> None:
        await self.tb.set_phase(Phase.CLASSIFY)
        self.tb.send(random_batches(self.rng, self.tb.geometry, 1, overfull_errors=1.0)[0])

    async def clear(self) -> None:
        await self.tb.command(Command.CLEAR)

    async def reset_counters(self) -> None:
        await self.tb.check()
        await self.tb.command(Command.RESET_COUNTERS)

    async def restore_a_dump(self) -> None:
        rows = await self.tb.dump()
        await self.tb.restore(rows)

    async def restore_in_budget(self) -> None:
        await self.tb.restore(self.rows(outside=False))

    async def restore_any_words(self) -> None:
        await self.tb.restore(self.rows(outside=True))

    async def restore_wrong_length(self) -> None:
        length = len(self.rows(outside=True)) + int(self.rng.choice([-1, 1, 3]))
        await self.tb.restore(self.rows(outside=True, more=2)[:length])

    def rows(self, outside: bool, more: int = 0) -> np.ndarray:
        """Random contents of the sets in use, and of `more` others."""
        model = self.tb.scoreboard.model
        return random_rows(self.rng, model, (1 << model.index_bits) + more, outside=outside)

    async def too_many_hot_rows(self) -> None:
        await self.tb.set_hot_rows(self.tb.geometry.hot_capacity + int(self.rng.integers(1, 1000)))

    async def unknown_command(self) -> None:
        await self.tb.settle()
        await self.tb.write("COMMAND", int(self.rng.integers(len(Command) + 1, 1 << 32)))
        self.tb.scoreboard.error(Error.COMMAND_CODE)

    async def front(self) -> None:
        """Other rows for the front table: hot ones, or others that are frequent in what was sent. Then they are looked
        up, beside keys that miss, and one of them so often that its gain saturates."""
        geometry, model = self.tb.geometry, self.tb.scoreboard.model
        if self.rng.random() < 0.8:
            await self.select()  # else few rows are hot where the action before has cleared the tracker
        last = np.uint64(1 << LAST_FIELD.low)
        seen = np.unique(np.concatenate(self.seen) & ~last)
        places = [(word, model.place(word)) for word in seen.tolist()]
        hot = [word for word, place in places if place and model.tracker.lookup(place) is not None]
        words = random_front(self.rng, geometry, np.concatenate(self.seen), errors=0.3)
        if hot and self.rng.random() < 0.7:
            words = self.rng.permutation(np.array(hot, np.uint64))[: geometry.front_rows] | last
        await self.send(Phase.FRONT, [words])
        batches = self.seen[-4:]
        if hot and len(words):
            misses = key_words(geometry, random_keys(self.rng, geometry, len(words)))
            beside = np.stack([words & ~last, misses], axis=1).ravel()
            batches = [*batches, np.concatenate([beside, np.repeat(words[:1], 40)])]
        await self.send(int(self.rng.choice([Phase.LEARN, Phase.RELEARN])), batches)
        await self.select()  # of the table's rows some become hot, or cold

    async def front_limits(self) -> None:
        """More rows than the front table holds, one twice; then no row."""
        keys = random_keys(self.rng, self.tb.geometry, self.tb.geometry.front_rows + 2)
        words = key_words(self.tb.geometry, np.concatenate([keys[:1], keys]))
        await self.send(Phase.FRONT, [words, words[:0]])

    async def command_while_busy(self) -> None:
        """The core is certainly busy, because a result stream is held back."""
        tb = self.tb
        await tb.settle()
        sink = tb.results["popular"]
        tb.pause(sink, 0)
        sink.pause = True
        await self.traffic_of_one()
        await tb.write("COMMAND", int(self.rng.choice([code for code in Command if code != Command.SNAPSHOT])))
        tb.scoreboard.error(Error.COMMAND_BUSY)
        sink.pause = False

    async def traffic_of_one(self) -> None:
        for words in random_batches(self.rng, self.tb.geometry, 1):
            self.tb.send(words)
        while not (await self.tb.status())["busy"]:
            pass


@cocotb.test()
async def test_random(dut: Any) -> None:
    """Each round of random actions has another budget and other pauses. At the end every coverpoint must be met."""
    tb = TB(dut, Coverage(bench_geometry(), ICARUS))
    await tb.start()
    if ICARUS:
        watch_updates(dut, tb)
    bench = RandomBench(tb)
    most = tb.geometry.hot_capacity
    some, few = tb.rng.integers([most // 2, 1], [most, most // 2]).tolist()
    await bench.round(most, idle=0.0, stall=0.9)  # everything before the outputs fills up
    await bench.round(few, idle=0.0, stall=0.0)
    await bench.round(some, idle=0.6, stall=0.3)
    await bench.round(0, *tb.rng.choice([0.0, 0.3, 0.7], 2))
    tb.set_pauses()
    await bench.too_long_batch()
    await tb.finish()
    Path("coverage.txt").write_text(f"{tb.coverage.table()}\n")  # in the folder of the run
    assert not tb.coverage.missing(), f"coverpoints not met: {', '.join(tb.coverage.missing())}"


def watch_updates(dut: Any, tb: TB) -> None:
    """Counts events at the banks' update queues, forever. Works only where the simulator shows internal signals."""

    async def watch(bank: Any) -> None:
        waiting = bank.updates.head_valid
        while True:
            await FallingEdge(bank.updates.pop)  # the tracker does not take an update
            await RisingEdge(dut.clk)
            tb.coverage.hit("tag_write_holds_update", waiting.value == 1)

    async def watch_room(bank: Any) -> None:
        while True:
            await FallingEdge(bank.update_room)
            await RisingEdge(dut.clk)
            tb.coverage.hit("update_queue_full", bank.update_room.value == 0)

    for number in range(tb.geometry.banks):
        bank = getattr(dut, f"bank{number}")
        cocotb.start_soon(watch(bank))
        cocotb.start_soon(watch_room(bank))
