"""While descriptors run, the host changes windows, tables and the budget, and sends the core commands."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import cocotb
import numpy as np

from hotline_device.host_memory import PAGE_BYTES
from hotline_device.ring_entries import Descriptor
from hotline_hw.spec.descriptors import Flag, Opcode, Status
from hotline_hw.spec.regmap import Command, Error
from hotline_sim.bench.simulator import ICARUS, cases

from .memory import CORNERS, DISORDER, FAST, Extent
from .outputs import outputs
from .stimulus import Maker, goes_on
from .tb import DeviceTB


@cocotb.test()
@cocotb.parametrize(timing=cases("disorder", "slow"))
async def test_window_removed(dut: Any, timing: str) -> None:
    """A window is removed while a GATHER reads there: WINDOW, or OK if it was done. Nothing else is touched."""
    tb = DeviceTB(dut, timing=DISORDER if timing == "disorder" else CORNERS[timing])
    await tb.start()
    table = Extent(tb.table.address, tb.table.size)
    ends = set()
    for wait in (30, 90, 200, 450, 4000):
        maker = Maker(tb, universe=3)
        it = maker.random_list(40, 80)
        named = (await tb.submit(it))[0]
        await tb.cycles(wait)
        await tb.window(5, table, read=False, write=False)
        before = tb.clock.watch.read_bytes
        await tb.until_complete(named.tag)
        most = tb.geometry.read_beats * tb.geometry.axi_bytes
        assert tb.clock.watch.read_bytes - before <= most, "rows are read long after their window was taken away"
        await tb.window(5, table, write=False)
        tb.ring_golden()
        status = tb.completion(named.tag).status
        ends.add(status)
        if status == Status.OK:
            await tb.settle([named])
        else:
            assert status == Status.WINDOW, f"it ended {Status(status).name}"
            tb.coverage.hit("window_removed")
            await tb.settle([named], exact=False)
            await tb.reset_counters()
        await goes_on(tb)
    assert ends == {Status.OK, Status.WINDOW}, f"it ended {ends}"
    await tb.finish()


@cocotb.test()
async def test_commands_beside_descriptors(dut: Any) -> None:
    """CLEAR and HOT_ROWS are accepted beside a GATHER, and refused while a mini-batch is in the core."""
    tb = DeviceTB(dut, timing=CORNERS["slow"])
    await tb.start()
    for name, value in (("COMMAND", Command.CLEAR), ("HOT_ROWS", 5), ("HOT_ROWS", tb.geometry.hot_capacity)):
        maker = Maker(tb, universe=3)
        await tb.run(maker.learn(30, 3), maker.classify(9, 3))
        named = (await tb.submit(maker.random_list(20, 80)))[0]
        await tb.cycles(60)
        assert named.tag not in tb.tags()
        await tb.write(name, value)
        await tb.cycles(40)
        assert await tb.read("ERROR") == 0
        tb.coverage.hit("command_beside_gather", named.tag not in tb.tags())
        await tb.until_complete(named.tag)
        tb.ring_golden()
        await tb.settle([named])
        await tb.run(maker.dump(), maker.learn(30, 3))
    # Beside a mini-batch they are refused, and the completion says so.
    maker = Maker(tb, universe=3)
    named = (await tb.submit(maker.learn(200, 5)))[0]
    while not await tb.read("STATUS") & 1:
        pass
    await tb.tell("COMMAND", Command.CLEAR)
    await tb.until_complete(named.tag)
    assert Error(await tb.read("ERROR")) == Error.COMMAND_BUSY
    tb.coverage.hit("command_refused")
    done = tb.completion(named.tag)
    assert (done.status, done.errors) == (Status.CORE, Error.COMMAND_BUSY)
    tb.ring_golden()
    await tb.settle([named], exact=False)
    await tb.tell("ERROR", Error.COMMAND_BUSY)
    await tb.write("IRQ_STATUS", 0xF)
    await tb.reset_counters()
    await goes_on(tb)
    # DUMP, RESTORE and SELECT exist only as descriptors.
    for command in (Command.DUMP, Command.RESTORE, Command.SELECT):
        await tb.write("COMMAND", command)
        await tb.check_register("ERROR")
        assert await tb.read("ERROR") == Error.COMMAND_CODE
        await tb.write("ERROR", Error.COMMAND_CODE)
    await goes_on(tb)
    await tb.finish()


@cocotb.test()
@cocotb.parametrize(register=["HOT_ROWS", "COMMAND"])
async def test_commands_in_every_cycle(dut: Any, register: str) -> None:
    """A register write meets a SELECT, a DUMP or a RESTORE at any moment. Neither is lost, and nothing hangs.

    The tracker is empty, so both orders have the same outcome.
    """
    tb = DeviceTB(dut, timing=FAST)
    await tb.start()
    values = [tb.geometry.hot_capacity] if register == "HOT_ROWS" else [Command.CLEAR, Command.DUMP]
    maker = Maker(tb)
    await tb.run(maker.dump())
    pairs = list(product(("select", "dump", "restore"), values))
    for wait in range(20, 90):
        for what, value in [pairs[wait % len(pairs)]] if ICARUS else pairs:
            await _write_meets(tb, getattr(Maker(tb), what)(), wait, register, value)
    await tb.write("HOT_ROWS", tb.geometry.hot_capacity)
    await tb.write("IRQ_STATUS", 0xF)
    await tb.reset_counters()
    await goes_on(tb)
    await tb.finish()


async def _write_meets(tb: DeviceTB, it: Descriptor, wait: int, register: str, value: int) -> None:
    """The register is written so many cycles behind the descriptor's doorbell."""
    named = (await tb.submit(it))[0]
    await tb.cycles(wait)
    await tb.tell(register, value)
    await tb.until_complete(named.tag)
    tb.ring_golden()
    errors = Error(await tb.read("ERROR"))
    assert not errors & ~(Error.COMMAND_BUSY | Error.COMMAND_CODE), f"after {wait} cycles: {errors!r}"
    done = tb.completion(named.tag)
    assert done.status in (Status.OK, Status.CORE) and (done.status == Status.OK) == (done.errors == 0)
    await tb.settle([named], exact=done.status == Status.OK)
    await tb.tell("ERROR", int(errors))
    while await tb.read("STATUS") & 1:
        pass
    await tb.tell("IRQ_STATUS", 0xF)


@cocotb.test()
async def test_writes_without_a_pause(dut: Any) -> None:
    """Registers of the core are written as fast as the bus takes them. Descriptors begin all the same."""
    tb = DeviceTB(dut, timing=FAST)
    await tb.start()
    ended = False

    async def write_on() -> None:
        while not ended:
            await tb.tell("ERROR", 0)  # not IRQ_STATUS, which takes the interrupt away for a while

    writers = [cocotb.start_soon(write_on()) for _ in range(3)]
    maker = Maker(tb)
    await tb.run(maker.learn(24), maker.select(), maker.dump(), maker.classify(24), maker.gather())
    ended = True
    for writer in writers:
        await writer
    await tb.finish()


@cocotb.test()
async def test_shapes(dut: Any) -> None:
    """Mini-batches of every shape: few and many tables, odd counts, all or no samples popular, full lists."""
    tb = DeviceTB(dut, timing=FAST)
    await tb.start()
    lanes = tb.geometry.lanes
    for tables in (0, 1, lanes - 1 or 1, lanes, lanes + 1, 2 * lanes + 1, 7):
        for count in (1, 2, 3, 7, 8, 9, 33):
            maker = Maker(tb, universe=3)
            await tb.run(maker.learn(count, tables), maker.classify(count, tables), maker.gather(16, Flag.KEYS))
    # All hot: rows that were looked up often and then selected.
    maker = Maker(tb)
    hot = np.zeros(40, np.uint32)
    await tb.write("COMMAND", Command.CLEAR)
    await tb.run(Descriptor(opcode=Opcode.LEARN, source=maker.put(hot), count=40, operand=1), maker.select())
    done = await tb.run(maker.classify_at(maker.put(hot), 40, 1), maker.gather(), maker.gather(flags=Flag.HELD))
    assert done[0].popular_words == 40 and done[1].listed == done[2].listed == 0
    # Rows that are looked up again: they are held, and are gathered twice.
    maker = Maker(tb)
    rows = maker.put(np.arange(50, 60, dtype=np.uint32))
    classify = maker.classify_at(rows, 10, 1)
    gather = maker.gather(flags=Flag.KEYS | Flag.HELD)
    await tb.run(classify, maker.gather(flags=Flag.KEYS), classify, gather, gather, classify)
    assert (await tb.run(classify, gather))[0].held == 10
    # More rows than the lists have places.
    maker = Maker(tb)
    many = maker.put(np.arange(100, 100 + 2 * tb.geometry.working_rows, dtype=np.uint32))
    full = maker.classify_at(many, 2 * tb.geometry.working_rows, 1)
    await tb.one(full, Status.WORKING)
    await tb.one(full, Status.WORKING)
    await tb.run(maker.gather(16, Flag.KEYS), maker.gather(16, Flag.KEYS | Flag.HELD))
    await goes_on(tb)
    await tb.finish()


@cocotb.test()
async def test_rows(dut: Any) -> None:
    """Rows of every size up to a page, at every granule and across pages. Buffers and the state cross pages too."""
    tb = DeviceTB(dut, timing=DISORDER)
    await tb.start()
    sizes = ((16, 30), (32, 12), (48, 12), (240, 6), (256, 6), (272, 6), (1008, 4), (4096, 2))
    for number, (row_bytes, count) in enumerate(sizes):
        for stride in (row_bytes, row_bytes + 16)[number % 2 :]:
            rows = min(256, tb.table.size // stride)
            await tb.set_table(1, tb.table.address + 16, rows - 1, stride)
            maker = Maker(tb)
            words = tb.rng.integers(0, rows - 1, count).astype(np.uint64) | np.uint64(1 << 32 | 1 << 63)
            it = maker.gather_list(words, row_bytes)
            tb.watch_rows(it)
            across = tb.rows.address + 8 * PAGE_BYTES - 64
            await tb.run(it, replace(it, targets=(across, 0, 0)))
    for table in (0, 1):
        await tb.set_table(table, tb.table_at(table))
    maker = Maker(tb, universe=3)
    state = tb.state.address + PAGE_BYTES - 256
    await tb.run(
        maker.learn(40, 4), Descriptor(opcode=Opcode.DUMP, targets=(state, 0, 0)),
        Descriptor(opcode=Opcode.RESTORE, source=state, count=tb.state_rows),
    )  # fmt: skip
    await goes_on(tb)
    await tb.finish()


@cocotb.test()
async def test_random_errors(dut: Any) -> None:
    """Any burst may fail. Every descriptor completes, or the rings stop and say so. Nothing else is touched."""
    tb = DeviceTB(dut)
    await tb.start()
    await tb.run(Maker(tb).dump())
    for share in (0.01, 0.03, 0.1):
        tb.clock.use(replace(DISORDER, error=share))
        for _ in range(4):
            its = Maker(tb).group(spoiled=0)
            named = await tb.submit(*its)
            while named[-1].tag not in tb.tags() and not await tb.read("DMA_ERROR"):
                await tb.cycles(16)
            await tb.cycles(300)
            await tb.disable()
            for it in named:
                if it.tag in tb.tags():
                    tb.follow(it)
                tb.memory.follow(outputs(it, tb.geometry, tb.state_rows))
            tb.memory.compare()
            await tb.write("DMA_ERROR", 0xF)
            await tb.write("DMA_CONTROL", 1)
            tb.produced = 0
        tb.clock.use(FAST)
        await tb.reset()
        tb.forget()
        await tb.set_up()
        await goes_on(tb)
    await tb.finish()
