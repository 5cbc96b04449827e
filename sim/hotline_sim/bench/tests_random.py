"""Everything at once: constrained-random traffic and commands, until every coverpoint has been met."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import cocotb
import numpy as np

from hotline_hw.regmap import Command, Error, Phase
from hotline_hw.words import ENTRY_VALID

from ..stimulus import random_batches
from .packets import dense, sparse
from .tb import TB
from .tests_state import random_rows


class RandomBench:
    """Random actions on a TB. A round does each action once, in random order, with mini-batches between them."""

    def __init__(self, tb: TB) -> None:
        self.tb = tb
        self.rng = tb.rng

    async def round(self, hot_rows: int, idle: float, stall: float) -> None:
        """A round with a budget of `hot_rows` and these shares of cycles in which streams are held back."""
        tb = self.tb
        tb.set_pauses(idle, stall)
        await tb.set_hot_rows(hot_rows)
        actions: list[Callable[[], Awaitable[None]]] = [
            self.clear, self.reset_counters, self.restore_a_dump, self.restore_in_budget, self.restore_any_words,
            self.restore_wrong_length, self.too_many_hot_rows, self.unknown_command, self.command_while_busy,
            self.errors_in_words, self.empty_batch,
        ]  # fmt: skip
        for index in self.rng.permutation(len(actions)):
            await self.traffic()
            await actions[index]()
            await tb.check_errors()
        await tb.check()

    async def traffic(self, **errors: Any) -> None:
        """Mini-batches that are learned, and then some of them and others classified."""
        tb = self.tb
        batches = random_batches(self.rng, tb.geometry, 4, samples=6, hot_keys=8, burst_share=0.3, **errors)
        for phase, part in ((Phase.LEARN, batches[:3]), (Phase.CLASSIFY, batches[1:])):
            await tb.set_phase(phase)
            for words in part:
                if self.rng.random() < 0.6:
                    tb.send(dense(words, tb.geometry.lanes))
                else:
                    partial = 0.1 * (self.rng.random() < 0.3)
                    tb.send(sparse(self.rng, words, tb.geometry.lanes, partial=partial))

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
        model = self.tb.scoreboard.model
        rows = random_rows(self.tb, 1 << model.index_bits)
        for gset, row in enumerate(rows):
            row[model.quota(gset) :] &= np.uint64((1 << ENTRY_VALID.low) - 1)
        await self.tb.restore(rows)

    async def restore_any_words(self) -> None:
        await self.tb.restore(random_rows(self.tb, 1 << self.tb.scoreboard.model.index_bits))

    async def restore_wrong_length(self) -> None:
        rows = 1 << self.tb.scoreboard.model.index_bits
        await self.tb.restore(random_rows(self.tb, rows + int(self.rng.choice([-1, 1, 3]))))

    async def too_many_hot_rows(self) -> None:
        await self.tb.set_hot_rows(self.tb.geometry.entries + int(self.rng.integers(1, 1000)))

    async def unknown_command(self) -> None:
        await self.tb.settle()
        await self.tb.write("COMMAND", int(self.rng.integers(len(Command) + 1, 1 << 32)))
        self.tb.scoreboard.error(Error.COMMAND_CODE)

    async def command_while_busy(self) -> None:
        """The core is busy for certain: a result stream is held back."""
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
    """Rounds of random actions, each with another budget and other pauses; then every coverpoint must have been met."""
    tb = TB(dut)
    await tb.start()
    bench = RandomBench(tb)
    entries = tb.geometry.entries
    some, few = tb.rng.integers([entries // 2, 1], [entries, entries // 2]).tolist()
    await bench.round(entries, idle=0.0, stall=0.9)  # everything in front of the outputs fills up
    await bench.round(few, idle=0.0, stall=0.0)
    await bench.round(some, idle=0.6, stall=0.3)
    await bench.round(0, *tb.rng.choice([0.0, 0.3, 0.7], 2))
    tb.set_pauses()
    await bench.too_long_batch()
    await tb.finish()
    Path("coverage.txt").write_text(f"{tb.coverage.table()}\n")  # in the folder of the run
    assert not tb.coverage.missing(), f"coverpoints not met: {', '.join(tb.coverage.missing())}"
