"""Bus errors wherever the manager reads or writes; rows that cannot be accessed; tables that are not set up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cocotb
import numpy as np

from hotline_device.host_memory import PAGE_BYTES
from hotline_device.ring_entries import Descriptor
from hotline_hw.spec.descriptors import Flag, Opcode, Status
from hotline_hw.spec.shell_registers import DmaError
from hotline_hw.spec.words import TABLE_FIELD
from hotline_sim.bench.rows import random_rows

from .memory import DISORDER, FAST, Extent
from .registers import TABLE_ROWS, TABLE_STRIDE
from .stimulus import Maker, goes_on, words_of
from .tb import DeviceTB

_RESPONSES = {"slverr": 2, "decerr": 3}


def cases(tb: DeviceTB, maker: Maker) -> dict[str, list[tuple[Descriptor, Extent, Status]]]:
    """For each kind of access that fails: descriptors, the page to fail, and how they must end. Some of what is read or
    written lies before that page."""
    source, state, results, rows = (
        region.address + PAGE_BYTES for region in (tb.source, tb.state, tb.results, tb.rows)
    )
    words = words_of(tb.rng, maker.rows_of(32))
    tb.memory.put(source - 128, words)
    learn = Descriptor(opcode=Opcode.LEARN, source=source - 128, count=32)
    classify = maker.classify(40, 1)
    gather = maker.gather(flags=Flag.KEYS)
    listed = Descriptor(
        opcode=Opcode.GATHER, flags=Flag.LIST, source=source - 128, count=32, operand=64,
        targets=(tb.rows.address + 8 * PAGE_BYTES, 0, 0),
    )  # fmt: skip
    state_bytes = tb.state_rows * tb.geometry.ways * 8
    dump = Descriptor(opcode=Opcode.DUMP, targets=(state - state_bytes // 2, 0, 0))
    restore = Descriptor(opcode=Opcode.RESTORE, source=state - state_bytes // 2, count=tb.state_rows)
    select = maker.select()

    def page(address: int) -> Extent:
        return Extent(address, PAGE_BYTES)

    def at(it: Descriptor, target: int, address: int) -> Descriptor:
        targets = [*it.targets]
        targets[target] = address
        return replace(it, targets=(targets[0], targets[1], targets[2]))

    rows_by = listed_rows(tb, maker)
    return {
        "lookups": [
            (learn, page(source), Status.READ), (learn, page(source - PAGE_BYTES), Status.READ),
            (maker.classify_at(source - 128, 32), page(source), Status.READ),
            (maker.classify_at(source - 128, 32, 0, Flag.LEARN), page(source - PAGE_BYTES), Status.READ),
            (replace(learn, source=source), page(source), Status.READ),
            (replace(learn, opcode=Opcode.FRONT), page(source), Status.READ),
        ],
        "state_read": [(restore, page(state), Status.READ), (restore, page(state - PAGE_BYTES), Status.READ)],
        "list": [(listed, page(source), Status.READ)],
        "rows": [(rows_by, page(tb.table.address + PAGE_BYTES), Status.READ)],
        "results": [
            (at(classify, 1, results - 64), page(results), Status.WRITE),
            (at(classify, 1, results), page(results), Status.WRITE),
        ],
        "summary": [
            (at(classify, 2, results - 1024), page(results), Status.WRITE),
            (at(classify, 2, results), page(results), Status.WRITE),
        ],
        "keys": [(at(gather, 1, rows), page(rows), Status.WRITE)],
        "gathered": [
            (at(gather, 0, rows - 64), page(rows), Status.WRITE), (at(listed, 0, rows - 64), page(rows), Status.WRITE),
        ],
        "state_written": [(dump, page(state), Status.WRITE), (dump, page(state - PAGE_BYTES), Status.WRITE)],
        "events": [(at(select, 0, results), page(results), Status.WRITE)],
    }  # fmt: skip


def listed_rows(tb: DeviceTB, maker: Maker) -> Descriptor:
    """A GATHER of rows on both sides of a page boundary. One row crosses it."""
    first = PAGE_BYTES // TABLE_STRIDE
    return maker.gather_list(words_of(tb.rng, np.arange(first - 5, first + 5, dtype=np.uint64), tables=1), 80)


@cocotb.test()
@cocotb.parametrize((("response", "ordered"), [("slverr", True), ("decerr", False)]))
async def test_bus_errors(dut: Any, response: str, ordered: bool) -> None:
    """Every kind of access is answered with an error, and the device goes on."""
    tb = DeviceTB(dut, timing=FAST if ordered else DISORDER)
    await tb.start()
    names = list(cases(tb, Maker(tb, universe=3)))
    for name in names:
        count = len(cases(tb, Maker(tb, universe=3))[name])
        for number in range(count):
            maker = Maker(tb, universe=3, base=int(tb.rng.integers(3, 250)))  # rows that are new, so they are not held
            await tb.run(maker.classify(20, 4))
            it, page, status = cases(tb, maker)[name][number]
            await tb.fail(page, _RESPONSES[response])
            done = (await tb.run(it))[0]
            assert done.status == status, f"{name} {number}: {it} ended {done}"
            tb.coverage.hit(f"{name}_{response}", done.status in (Status.READ, Status.WRITE))
            tb.heal()
        await goes_on(tb)
    await tb.finish()


async def stop_rings(tb: DeviceTB, error: DmaError) -> None:
    """A ring fails. The device reports it and does nothing more until a restart, even if memory works again."""
    fence = Descriptor(opcode=Opcode.FENCE)
    await tb.submit(fence, fence, fence)
    while not await tb.read("DMA_ERROR"):
        await tb.cycles(8)
    await tb.cycles(200)
    tb.ring_golden()
    await tb.check_errors(error)
    await tb.check_register("CPL_PRODUCER")
    if error == DmaError.DESCRIPTOR_READ:
        await tb.check_register("RING_CONSUMER")


@cocotb.test()
@cocotb.parametrize(response=list(_RESPONSES))
async def test_errors_of_the_rings(dut: Any, response: str) -> None:
    """A descriptor that cannot be read; a completion that cannot be written."""
    tb = DeviceTB(dut)
    await tb.start()
    for name, at, error in (
        ("descriptor", 0, DmaError.DESCRIPTOR_READ), ("completion", tb.completions_at, DmaError.COMPLETION_WRITE),
    ):  # fmt: skip
        await tb.run(Descriptor(opcode=Opcode.FENCE))
        await tb.fail(Extent(tb.rings.address + at, PAGE_BYTES), _RESPONSES[response])
        await stop_rings(tb, error)
        tb.coverage.hit(f"{name}_{response}")
        tb.heal()
        await tb.cycles(100)
        await tb.check_register("CPL_PRODUCER")
        await tb.restart()
        await goes_on(tb)
    await tb.finish()


@cocotb.test()
async def test_rings_outside_windows(dut: Any) -> None:
    """The window of the rings lacks a right. Nothing is read or written there."""
    tb = DeviceTB(dut)
    await tb.start()
    rings = Extent(tb.rings.address, tb.rings.size)
    for right, error in (("read", DmaError.DESCRIPTOR_READ), ("write", DmaError.COMPLETION_WRITE)):
        await tb.window(0, rings, **{right: False})
        await stop_rings(tb, error)
        await tb.window(0, rings)
        await tb.restart()
        await goes_on(tb)
    await tb.finish()


@cocotb.test()
async def test_no_memory(dut: Any) -> None:
    """A window without memory behind it: the bus answers DECERR."""
    tb = DeviceTB(dut)
    await tb.start()
    maker = Maker(tb, universe=3)
    nowhere = tb.nowhere.address
    classify = maker.classify(24, 3)
    await tb.one(replace(maker.learn(9), source=nowhere), Status.READ)
    await tb.one(replace(classify, targets=(nowhere, nowhere + 512, nowhere + 1024)), Status.WRITE)
    await tb.one(Descriptor(opcode=Opcode.DUMP, targets=(nowhere, 0, 0)), Status.WRITE)
    await tb.one(Descriptor(opcode=Opcode.RESTORE, source=nowhere, count=tb.state_rows), Status.READ)
    await tb.set_table(1, nowhere)
    words = np.arange(5, dtype=np.uint64) | np.uint64(1 << TABLE_FIELD.low)
    await tb.one(maker.gather_list(words), Status.READ)
    await tb.set_table(1, tb.table_at(1))
    await goes_on(tb)
    await tb.finish()


@cocotb.test()
async def test_rows_that_are_nowhere(dut: Any) -> None:
    """Tables not set up, rows beyond a table, rows outside every window: in a list, and in the lists on chip."""
    tb = DeviceTB(dut)
    await tb.start()

    def listed(maker: Maker, bad: int) -> Descriptor:
        words = words_of(tb.rng, tb.rng.integers(0, TABLE_ROWS, 20), tables=1)
        words[int(tb.rng.integers(20))] = np.uint64(bad)
        return maker.gather_list(words)

    async def set_outside() -> None:
        await tb.set_table(2, tb.secret.address)

    async def set_across() -> None:
        """Row 9 ends outside the window."""
        await tb.set_table(2, tb.table.address + tb.table.size - 9 * TABLE_STRIDE - 32)

    async def take_away() -> None:
        await tb.set_table(2, tb.table.address, rows=0)

    kinds: list[tuple[Callable[[], Any] | None, int, Status]] = [
        (None, 77 << TABLE_FIELD.low, Status.TABLE),
        (None, TABLE_ROWS, Status.ROW),
        (None, 0xFFFF_FFFF, Status.ROW),
        (set_outside, 2 << TABLE_FIELD.low | 3, Status.WINDOW),
        (set_across, 2 << TABLE_FIELD.low | 9, Status.WINDOW),
        (take_away, 2 << TABLE_FIELD.low | 3, Status.TABLE),
    ]
    for prepare, bad, status in kinds:
        if prepare:
            await prepare()
        maker = Maker(tb, universe=3)
        await tb.one(listed(maker, bad), status)
        words = np.array([1, 5, bad, 2], np.uint64) | np.uint64(1 << 63)
        await tb.run(maker.classify_at(maker.put(words), 4))
        await tb.one(maker.gather(flags=Flag.KEYS), status)
        await tb.set_table(2, tb.table_at(2))
        await goes_on(tb)
    await tb.finish()


@cocotb.test()
async def test_errors_of_the_core(dut: Any) -> None:
    """Lookups out of range, samples that are too long, and a state that is not one."""
    tb = DeviceTB(dut)
    await tb.start()
    maker = Maker(tb, universe=3)
    for flags in (0, Flag.LEARN):
        words = maker.errors(words_of(tb.rng, maker.rows_of(30)))
        await tb.one(maker.classify_at(maker.put(words), 30, 0, flags), Status.CORE)
        await tb.run(maker.gather(flags=Flag.KEYS))
    words = maker.errors(words_of(tb.rng, maker.rows_of(30)))
    for opcode in (Opcode.LEARN, Opcode.FRONT):
        await tb.one(Descriptor(opcode=opcode, source=maker.put(words), count=30), Status.CORE)
    long = np.arange(tb.geometry.max_lookups + 3, dtype=np.uint64) % 7
    await tb.one(maker.classify_at(maker.put(long), len(long)), Status.CORE)
    await tb.write("HOT_ROWS", 5)
    model = tb.golden.core
    tb.memory.put(tb.state.address, random_rows(tb.rng, model, 1 << model.index_bits, outside=True))
    await tb.one(maker.restore(), Status.CORE)
    await tb.write("ERROR", await tb.read("ERROR"))
    await goes_on(tb)
    await tb.finish()
