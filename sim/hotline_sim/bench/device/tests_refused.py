"""Descriptors that are refused, for every reason there is, and descriptors that are just within the rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cocotb
import numpy as np

from hotline_device.host_memory import PAGE_BYTES
from hotline_device.ring_entries import Descriptor
from hotline_hw.spec.descriptors import MAX_COUNT, MAX_ROW_BYTES, MAX_TABLES32, Flag, Opcode, Status

from .memory import Extent
from .stimulus import Maker, goes_on, words_of
from .tb import DeviceTB

_LIST = Flag.LIST
_ALLOWED = {Opcode.CLASSIFY: Flag.LEARN, Opcode.GATHER: Flag.HELD | Flag.KEYS | _LIST}
_WRONG_GATHERS = (
    Flag.LEARN, 1 << 5, 1 << 6, 1 << 7, _LIST | Flag.HELD, _LIST | Flag.KEYS, _LIST | Flag.LEARN, _LIST | 1 << 7,
)  # fmt: skip
_READS = {Opcode.LEARN, Opcode.FRONT, Opcode.CLASSIFY, Opcode.RESTORE}


def good(maker: Maker) -> dict[Opcode, Descriptor]:
    """One of each opcode; GATHER with keys."""
    maker.begin_group()
    return {
        Opcode.FENCE: Descriptor(opcode=Opcode.FENCE),
        Opcode.LEARN: maker.learn(12, 3),
        Opcode.CLASSIFY: maker.classify(12, 3),
        Opcode.GATHER: maker.gather(flags=Flag.KEYS),
        Opcode.DUMP: maker.dump(),
        Opcode.RESTORE: maker.restore(),
        Opcode.SELECT: maker.select(),
        Opcode.FRONT: maker.front(3, 3),
    }


def buffers_of(it: Descriptor) -> list[str | int]:
    """The buffers that a descriptor uses, in order: `source`, or the number of a target."""
    reads = it.opcode in _READS or bool(it.flags & _LIST and it.opcode == Opcode.GATHER)
    targets = {Opcode.CLASSIFY: 3, Opcode.GATHER: 1 + bool(it.flags & Flag.KEYS), Opcode.DUMP: 1, Opcode.SELECT: 1}
    return [*(["source"] if reads else []), *range(targets.get(Opcode(it.opcode), 0))]


def moved(it: Descriptor, buffer: str | int, address: int) -> Descriptor:
    """The descriptor with this buffer at another address."""
    if isinstance(buffer, str):
        return replace(it, source=address)
    targets = [*it.targets]
    targets[buffer] = address
    return replace(it, targets=(targets[0], targets[1], targets[2]))


def place_of(it: Descriptor, buffer: str | int) -> int:
    return it.source if isinstance(buffer, str) else it.targets[buffer]


def refused(tb: DeviceTB, maker: Maker) -> Iterator[tuple[Descriptor, Status]]:
    """Descriptors with one mistake each, and the status that they must end with."""
    ok = good(maker)
    listed = maker.random_list(8)
    for opcode in (0, 9, 10, 128, 255):
        yield Descriptor(opcode=opcode), Status.OPCODE
    for opcode, it in ok.items():
        for bit in (0, 15, 16, 47, 48, 143):
            yield replace(it, reserved=1 << bit), Status.OPCODE
        for flag in Flag:
            if not flag & (Flag.INTERRUPT | _ALLOWED.get(opcode, Flag(0))) and opcode != Opcode.GATHER:
                yield replace(it, flags=flag), Status.OPCODE
    for flags in _WRONG_GATHERS:
        yield replace(listed, flags=flags), Status.OPCODE

    for it in (*ok.values(), listed):
        for buffer in buffers_of(it):
            for more in (1, 16, 32):
                yield moved(it, buffer, place_of(it, buffer) + more), Status.ALIGNMENT
    for row_bytes in (8, 40, 63):
        yield replace(listed, operand=row_bytes), Status.ALIGNMENT

    for opcode in (Opcode.LEARN, Opcode.CLASSIFY, Opcode.FRONT):
        for count, tables in ((0, 3), (MAX_COUNT + 1, 0), (1 << 31, 0), (12, MAX_TABLES32 + 1), (12, 5), (12, 1 << 16)):
            yield replace(ok[opcode], count=count, operand=tables), Status.LENGTH
    for row_bytes in (0, MAX_ROW_BYTES + 16):
        yield replace(listed, operand=row_bytes), Status.LENGTH
    for count in (0, MAX_COUNT + 1):
        yield replace(listed, count=count), Status.LENGTH
    for count in (0, tb.state_rows - 1, tb.state_rows + 1):
        yield replace(ok[Opcode.RESTORE], count=count), Status.LENGTH

    for it in (*ok.values(), listed):
        for buffer in buffers_of(it):
            without_right = tb.results if isinstance(buffer, str) else tb.table
            for address in (tb.secret.address, without_right.address, 0, (1 << 64) - 64):
                yield moved(it, buffer, address), Status.WINDOW


@cocotb.test()
async def test_refused(dut: Any) -> None:
    """Each mistake is found, nothing is done, and the device goes on."""
    tb = DeviceTB(dut)
    await tb.start()
    maker = Maker(tb, universe=3)
    await tb.run(*good(maker).values())
    cases = list(refused(tb, maker))
    for first in range(0, len(cases), tb.ring_size):
        part = cases[first : first + tb.ring_size]
        for (it, status), done in zip(part, await tb.run(*(it for it, _ in part)), strict=True):
            assert done.status == status, f"{it} ended {Status(done.status).name}; it must end {status.name}"
    await goes_on(tb)
    await tb.run(*good(maker).values())
    await tb.finish()


@cocotb.test()
async def test_what_is_not_used_is_not_looked_at(dut: Any) -> None:
    """Words of a descriptor that its opcode does not use may hold anything."""
    tb = DeviceTB(dut)
    await tb.start()
    maker = Maker(tb, universe=3)
    ok = good(maker)
    junk = {"source": 3, "count": (1 << 32) - 1, "operand": 7, "targets": (1, 2, 3)}
    uses: dict[Opcode, tuple[str, ...]] = {
        Opcode.FENCE: (), Opcode.LEARN: ("source", "count", "operand"), Opcode.GATHER: ("operand", "targets"),
        Opcode.DUMP: ("targets",), Opcode.RESTORE: ("source", "count"), Opcode.SELECT: ("targets",),
        Opcode.FRONT: ("source", "count", "operand"),
    }  # fmt: skip
    for opcode, used in uses.items():
        strange: dict[str, Any] = {name: value for name, value in junk.items() if name not in used}
        if "targets" in used and opcode != Opcode.GATHER:
            strange["targets"] = (ok[opcode].targets[0], 2, 3)
        await tb.one(replace(ok[opcode], flags=ok[opcode].flags | Flag.INTERRUPT, **strange))
    await tb.finish()


@cocotb.test()
async def test_window_edges(dut: Any) -> None:
    """Buffers that fill a window to its end, that go a byte beyond, and that span two windows."""
    tb = DeviceTB(dut)
    await tb.start()
    maker = Maker(tb, universe=3)
    small = maker.classify(16, 1)
    results = 4 * small.count
    begin = tb.results.address
    await tb.window(3, Extent(begin, 2 * PAGE_BYTES), read=False)
    edge = begin + 2 * PAGE_BYTES
    for target in (0, 1):
        await tb.one(moved(small, target, edge - results))
        tb.coverage.hit("window_edges")
        await tb.one(moved(replace(small, count=17), target, edge - results), Status.WINDOW)
        await tb.one(moved(small, target, edge), Status.WINDOW)
    source = tb.source.address + tb.source.size - small.count * 4
    tb.memory.put(source, np.zeros(small.count, np.uint32))
    await tb.one(replace(small, source=source))
    await tb.one(replace(small, source=source, count=17), Status.WINDOW)
    # Adjacent windows are one piece of memory. If there is a gap, a buffer that reaches into it is refused.
    await tb.window(7, Extent(edge, PAGE_BYTES), read=False)
    for target in (0, 1):
        await tb.one(moved(small, target, edge - 64))
        await tb.one(moved(replace(small, count=32), target, edge - 64))
        tb.coverage.hit("windows_adjacent")
    await tb.window(7, Extent(edge + PAGE_BYTES, PAGE_BYTES), read=False)
    await tb.one(moved(small, 0, edge - 64))
    await tb.one(moved(replace(small, count=32), 0, edge - 64), Status.WINDOW)
    await goes_on(tb)
    await tb.finish()


@cocotb.test()
async def test_hole_in_a_buffer(dut: Any) -> None:
    """The first and last byte of a buffer are in windows, a page between is not. It fails when that page is touched."""
    tb = DeviceTB(dut)
    await tb.start()
    maker = Maker(tb, universe=3)
    hole = tb.source.address + PAGE_BYTES
    count = 8 + PAGE_BYTES // 8 + 8
    tb.memory.put(hole - 64, words_of(tb.rng, maker.rows_of(count), last=0.9))
    await tb.window(1, Extent(tb.source.address, PAGE_BYTES), write=False)
    await tb.window(7, Extent(hole + PAGE_BYTES, 2 * PAGE_BYTES), write=False)
    over = Descriptor(opcode=Opcode.LEARN, source=hole - 64, count=count)
    done = await tb.one(over, Status.WINDOW)
    assert done.address == hole
    await tb.window(1, Extent(tb.source.address, tb.source.size), write=False)
    await goes_on(tb)
    await tb.finish()
