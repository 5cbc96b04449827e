"""`TB`: the core with everything around it that a bench needs."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np
from cocotbext.axi import AxiStreamFrame

from hotline_hw.spec.policy import Policy, pack_policy
from hotline_hw.spec.regmap import COUNTERS, Command, Error, Irq, Phase, counter_offset
from hotline_sim.bench.stimulus import key_words

from .coverage import SIDES, Coverage
from .packets import LookupPacket, dense
from .ports import QUIET_CYCLES, CorePorts
from .scoreboard import Scoreboard

__all__ = ["TB"]


class TB(CorePorts):
    """The DUT's ports, and the scoreboard.

    Every packet from the DUT is compared as it arrives, in the background, so that the cocotb test fails at once. A
    bench begins with `await tb.start()` and ends with `await tb.finish()`.

    Args:
        dut: the simulator's handle of hotline_core.
        coverage: counts what is seen; None: a new one.

    Attributes:
        phase: the last value written to CONTROL; a `Phase`, or a code that is none.
    """

    def __init__(self, dut: Any, coverage: Coverage | None = None) -> None:
        super().__init__(dut)
        self.scoreboard = Scoreboard(self.geometry, coverage or Coverage(self.geometry))
        self.coverage = self.scoreboard.coverage
        self.phase: int = Phase.LEARN

    async def start(self) -> None:
        for side in SIDES:
            cocotb.start_soon(self._collect(side))
        await super().start()

    async def reset(self, cycles: int = 4) -> None:
        """Pulses `rst` at any time; results of what was sent before are no longer expected."""
        await super().reset(cycles)
        self.scoreboard.reset()
        self.phase = Phase.LEARN

    # Streams

    async def set_phase(self, phase: int) -> None:
        """Phase of the mini-batches that are sent from now on."""
        if phase != self.phase:
            await self.settle()  # those on their way have started
            await self.write("CONTROL", phase)
            self.phase = phase

    def send(self, packet: LookupPacket | np.ndarray, phase: int | None = None) -> None:
        """Queues a mini-batch, or words to be sent as a dense one, and what must come of it."""
        if isinstance(packet, np.ndarray):
            packet = dense(packet, self.geometry.lanes)
        self.scoreboard.expect(packet, self.phase if phase is None else phase)
        self.lookup.send_nowait(AxiStreamFrame(packet.tdata(), tkeep=packet.tkeep()))

    async def settle(self) -> None:
        """Until all that was sent has come back and the core is idle."""
        outstanding, quiet = self.scoreboard.outstanding, 0
        while outstanding:
            await self.cycles(8)
            quiet = 0 if self.scoreboard.outstanding < outstanding else quiet + 8
            outstanding = self.scoreboard.outstanding
            assert quiet < QUIET_CYCLES, f"{outstanding} result packets due, and none for {quiet} cycles"
        await self.until_idle()

    async def _collect(self, side: str) -> None:
        while True:
            frame = await self.results[side].recv(compact=False)
            self.scoreboard.receive(side, bytes(frame.tdata), frame.tkeep)

    # Commands, each of which waits until the core is idle, before and after

    async def command(self, command: Command) -> None:
        """CLEAR, SNAPSHOT or RESET_COUNTERS."""
        await self.settle()
        await self.write("COMMAND", command)
        self.scoreboard.command(command)
        await self.until_idle()
        if command == Command.RESET_COUNTERS:
            self.rules.output_stall = 0

    async def set_hot_rows(self, hot_rows: int) -> None:
        await self.settle()
        await self.write("HOT_ROWS", hot_rows)
        self.scoreboard.hot_rows(hot_rows)
        await self.until_idle()

    async def dump(self) -> np.ndarray:
        """DUMP: the packet of m_axis_state, uint64 [rows, ways], after comparison with the model."""
        await self.settle()
        await self.write("COMMAND", Command.DUMP)
        rows = await self.receive_state()
        self.scoreboard.command(Command.DUMP)
        want = self.scoreboard.model.dump()
        assert rows.shape == want.shape, f"DUMP has {len(rows)} rows; it must have {len(want)}"
        for row, way in np.argwhere(rows != want).tolist():
            gset, kind = divmod(row, self.geometry.state_rows_per_set)
            where = f"DUMP, {('entry', 'slot')[kind]} word of set {gset} way {way}"
            raise AssertionError(f"{where}: {rows[row, way]:#x}; it must be {want[row, way]:#x}")
        await self.until_idle()
        await self.check_hot_rows()
        return rows

    async def select(self) -> np.ndarray:
        """SELECT: its answer, uint64 [events + 1, ways]; compared with the model, as HOT_COUNT and THRESHOLD are."""
        await self.settle()
        await self.write("COMMAND", Command.SELECT)
        events = await self.receive_events(self.scoreboard.select())
        await self.until_idle()
        await self.check_hot_rows()
        return events

    async def receive_events(self, want: np.ndarray) -> np.ndarray:
        """The answer to a SELECT that was started, which must be `want`."""
        events = await self.receive_state()
        for index, (got, due) in enumerate(zip(events.tolist(), want.tolist(), strict=False)):
            shown, must = ([f"{word:#x}" for word in words] for words in (got, due))
            assert got == due, f"SELECT, beat {index} of {len(want)}: {shown}; it must be {must}"
        assert len(events) == len(want), f"SELECT has {len(events)} beats; it must have {len(want)}"
        return events

    async def check_hot_rows(self) -> None:
        """Compares HOT_COUNT and THRESHOLD of an idle core."""
        for name, want in (
            ("HOT_COUNT", self.scoreboard.model.hot_count), ("THRESHOLD", self.scoreboard.model.threshold),
        ):  # fmt: skip
            value = await self.read(name)
            assert value == want, f"{name} is {value}; it must be {want}"

    async def set_policy(self, policy: Policy) -> None:
        """Writes the registers of the policy, once the core is idle."""
        await self.settle()
        for name, value in pack_policy(policy).items():
            await self.write(name, value)
        self.scoreboard.policy(policy)

    async def make_hot(self, keys: np.ndarray, times: int = 1) -> None:
        """Learns the keys, each `times` in samples of its own, and selects."""
        await self.set_phase(Phase.LEARN)
        for _ in range(times):
            self.send(key_words(self.geometry, keys))
        await self.settle()
        await self.select()

    async def restore(self, rows: np.ndarray) -> None:
        """RESTORE with a packet of `rows`, uint64 [any, ways]."""
        await self.settle()
        await self.write("COMMAND", Command.RESTORE)
        self.send_state(rows)
        self.scoreboard.restore(rows)
        await self.until_idle()

    # Checks

    async def check_errors(self) -> None:
        """Waits for the core to be idle, compares ERROR and IRQ_STATUS, and clears both."""
        await self.settle()
        errors, causes = await self.read("ERROR"), await self.read("IRQ_STATUS")
        assert errors == self.scoreboard.errors, f"ERROR is {errors:#x}; it must be {self.scoreboard.errors!r}"
        assert causes == self.scoreboard.irq, f"IRQ_STATUS is {causes:#x}; it must be {self.scoreboard.irq!r}"
        await self.write("ERROR", errors)
        await self.write("IRQ_STATUS", causes)
        self.scoreboard.errors, self.scoreboard.irq = Error(0), Irq(0)

    async def check(self) -> None:
        """Waits for the core to be idle, and compares all that its registers tell."""
        await self.command(Command.SNAPSHOT)
        await self.check_errors()
        for name in ("ERROR", "IRQ_STATUS"):
            assert await self.read(name) == 0, f"{name} is not zero after all its bits were cleared"

        counters = await self.counters()
        for name, want in self.scoreboard.model.counters.items():
            assert counters[name] == want, f"counter {name} is {counters[name]}; it must be {want}"
        timing = {counter.name: counters[counter.name] for counter in COUNTERS if counter.timing}
        assert timing["output_stall"] == self.rules.output_stall, f"{timing}; seen: {self.rules.output_stall} stalls"
        assert timing["select_cycles"] > 0 or not self.scoreboard.model.counters["promotions"]
        del timing["select_cycles"]
        assert max(timing.values()) == timing["cycles"], f"a counter of some of the cycles exceeds them: {timing}"
        for name, count in timing.items():
            if name in self.coverage.meanings:
                self.coverage.hit(name, count > 0)
        assert timing["split_beats"] == 0 or self.geometry.lanes > self.geometry.bank_ports

    async def counters(self) -> dict[str, int]:
        """Every counter's snapshot."""
        low = {counter.name: counter_offset(counter.name) for counter in COUNTERS}
        reads = {
            offset: cocotb.start_soon(self.read_offset(offset)) for each in low.values() for offset in (each, each + 4)
        }
        halves = {offset: (await read)[0] for offset, read in reads.items()}
        return {name: halves[offset] | halves[offset + 4] << 32 for name, offset in low.items()}

    async def finish(self) -> None:
        """The last checks: registers, tracker, and that nothing is left anywhere."""
        await self.check()
        await self.dump()
        self.set_pauses()
        await self.cycles(100)
        assert self.lookup.idle() and self.state_in.idle(), "an input has not taken all that was sent"
        for name, sink in {**self.results, "state": self.state_out}.items():
            assert sink.empty() and sink.idle(), f"m_axis_{name} has more than was expected"
        assert not self.scoreboard.outstanding
