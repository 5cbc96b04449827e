"""`TB`: the core with everything around it that a bench needs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, Timer, with_timeout
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiResp,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)
from cocotbext.axi.axil_channels import AxiLiteAWTransaction, AxiLiteWTransaction

from hotline_hw.spec.policy import Policy, pack_policy
from hotline_hw.spec.regmap import COUNTERS, Command, Error, Irq, Phase, counter_offset, register
from hotline_sim.bench.settings import bench_geometry, bench_seed
from hotline_sim.bench.stimulus import key_words

from .coverage import SIDES, Coverage
from .packets import LookupPacket, dense
from .protocol import OutputRules
from .scoreboard import Scoreboard

__all__ = ["TB"]

# cocotbext-axi uses what cocotb 2.1 would have others use no longer.
warnings.filterwarnings("ignore", category=DeprecationWarning, module="cocotbext")

_CLOCK_NS = 10
_QUIET_CYCLES = 20_000  # without a result packet, while one is due


class TB:
    """The DUT with clock, reset, stream sources and sinks, registers by name, and the scoreboard.

    Every packet that comes out is compared as it comes, and every output is held to AXI's rules, in the background:
    the cocotb test fails at once. A bench begins with `await tb.start()` and ends with `await tb.finish()`.

    Args:
        dut: the simulator's handle of hotline_core.
        coverage: gathers what is seen; a new one without.

    Attributes:
        rng: the randomness of the bench, of SEED.
        phase: what CONTROL was last told; a `Phase`, or what is none.
    """

    def __init__(self, dut: Any, coverage: Coverage | None = None) -> None:
        logging.getLogger("cocotb.hotline_core").setLevel(logging.ERROR)  # the bus models log every frame
        self.dut = dut
        self.geometry = bench_geometry()
        self.rng = np.random.default_rng(bench_seed())
        self.scoreboard = Scoreboard(self.geometry, coverage or Coverage(self.geometry))
        self.coverage = self.scoreboard.coverage
        self.phase: int = Phase.LEARN

        dut.rst.value = 1
        dut.clk.value = 0
        entry = {"byte_size": 64}
        self.lookup = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis_lookup"), dut.clk, dut.rst)
        self.state_in = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis_state"), dut.clk, dut.rst, **entry)
        self.results = {
            side: AxiStreamSink(AxiStreamBus.from_prefix(dut, f"m_axis_{side}"), dut.clk, dut.rst) for side in SIDES
        }
        self.state_out = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis_state"), dut.clk, dut.rst, **entry)
        self.axil = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
        self.rules = OutputRules(dut)

    # Clock and reset

    async def start(self) -> None:
        """Starts the clock and what runs in the background, and resets the core."""
        await Timer(1, "ns")
        cocotb.start_soon(Clock(self.dut.clk, _CLOCK_NS, "ns").start())
        cocotb.start_soon(self.rules.watch())
        for side in SIDES:
            cocotb.start_soon(self._collect(side))
        await self.reset()

    async def reset(self, cycles: int = 4) -> None:
        """Pulses `rst`, whatever goes on; nothing of what was sent is expected any more."""
        self.dut.rst.value = 1
        await ClockCycles(self.dut.clk, cycles)
        for port in (self.lookup, self.state_in, *self.results.values(), self.state_out):
            port.clear()
        self.scoreboard.reset()
        self.phase = Phase.LEARN
        self.rules.output_stall = 0
        self.dut.rst.value = 0
        await RisingEdge(self.dut.clk)

    async def cycles(self, count: int) -> None:
        await ClockCycles(self.dut.clk, count)

    # Registers

    async def read(self, name: str) -> int:
        """A register by name; the answer must be OKAY."""
        value, response = await self.read_offset(register(name).offset)
        assert response == AxiResp.OKAY, f"read of {name}: {response!r}"
        return value

    async def write(self, name: str, value: int) -> None:
        """A register by name; the answer must be OKAY."""
        response = await self.write_offset(register(name).offset, value)
        assert response == AxiResp.OKAY, f"write of {name}: {response!r}"

    async def read_offset(self, offset: int) -> tuple[int, AxiResp]:
        answer = await self.axil.read(offset, 4)
        return int.from_bytes(answer.data, "little"), answer.resp

    async def write_offset(self, offset: int, value: int) -> AxiResp:
        answer = await self.axil.write(offset, value.to_bytes(4, "little"))
        return answer.resp

    async def write_strobed(self, offset: int, value: int, strobes: int) -> AxiResp:
        """Writes the bytes that `strobes` has bits for, any of them, while no other write goes on."""
        port = self.axil.write_if
        await port.aw_channel.send(AxiLiteAWTransaction(awaddr=offset, awprot=0))
        await port.w_channel.send(AxiLiteWTransaction(wdata=value, wstrb=strobes))
        return AxiResp(int((await port.b_channel.recv()).bresp))

    async def status(self) -> dict[str, int]:
        return register("STATUS").unpack(await self.read("STATUS"))

    async def until_idle(self) -> None:
        """Reads STATUS until the core is idle."""
        for _ in range(_QUIET_CYCLES):
            if not (await self.status())["busy"]:
                return
        raise AssertionError(f"STATUS.busy stays set: {await self.status()}")

    # Streams

    def set_pauses(self, idle: float = 0.0, stall: float = 0.0) -> None:
        """Share of the cycles in which inputs are held back (`idle`) and outputs are (`stall`), at random."""
        for source in (self.lookup, self.state_in):
            self.pause(source, idle)
        for sink in (*self.results.values(), self.state_out):
            self.pause(sink, stall)

    def pause(self, port: Any, share: float) -> None:
        """Holds one source, sink or channel back in a share of the cycles."""
        if share:
            port.set_pause_generator(_random_pauses(np.random.default_rng(self.rng.integers(1 << 32)), share))
        else:
            port.clear_pause_generator()
            port.pause = False

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
            assert quiet < _QUIET_CYCLES, f"{outstanding} result packets due, and none for {quiet} cycles"
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

    async def receive_state(self) -> np.ndarray:
        """The next packet of m_axis_state, uint64 [rows, ways]."""
        frame = await with_timeout(self.state_out.recv(), _CLOCK_NS * _QUIET_CYCLES, "ns")
        return np.array(frame.tdata, np.uint64).reshape(-1, self.geometry.ways)

    async def restore(self, rows: np.ndarray) -> None:
        """RESTORE with a packet of `rows`, uint64 [any, ways]."""
        await self.settle()
        await self.write("COMMAND", Command.RESTORE)
        self.send_state(rows)
        self.scoreboard.restore(rows)
        await self.until_idle()

    def send_state(self, rows: np.ndarray) -> None:
        self.state_in.send_nowait(AxiStreamFrame(rows.ravel().tolist()))

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


def _random_pauses(rng: np.random.Generator, share: float) -> Iterator[bool]:
    while True:
        yield from (rng.random(1024) < share).tolist()
