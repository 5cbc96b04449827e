"""ReadEngine and WriteEngine are reset while bursts are outstanding, and the memory is not.

What memory was promised it gets, what it still owes is dropped, and what is asked for after the reset is right.
"""

from __future__ import annotations

import random

import pytest
from amaranth.hdl import ResetInserter, Signal

from hotline_hw.shell.bus.read import ReadEngine
from hotline_hw.shell.bus.write import WriteEngine
from hotline_hw.shell.layouts import Fault, ReadTarget
from tests.unit.hw.shell.test_bus_engines import (
    FIRST,
    GEOMETRIES,
    PAGE,
    ReadMemory,
    WriteMemory,
    expected_beats,
    open_window,
    random_requests,
    simulate,
)

CLEARED = GEOMETRIES[128].read_beats  # cycles until ReadEngine has cleared its buffer


def test_a_beat_from_before_the_reset():
    dut, rst, seen = ReadEngine(GEOMETRIES[128]), Signal(), []

    async def request(ctx, address: int, *, wait: bool = True) -> int:
        ctx.set(dut.request.payload, {"address": address, "granules": 1, "target": ReadTarget.ROW})
        ctx.set(dut.request.valid, 1)
        while not ctx.get(dut.request.ready):
            await ctx.tick()
        await ctx.tick()
        ctx.set(dut.request.valid, 0)
        return await asked(ctx) if wait else -1

    async def asked(ctx) -> int:
        ctx.set(dut.arready, 1)
        while not ctx.get(dut.arvalid):
            await ctx.tick()
        tag = ctx.get(dut.arid)
        await ctx.tick()
        return tag

    async def answer(ctx, tag: int, data: int) -> None:
        for name, value in (
            ("rvalid", 1),
            ("rid", tag),
            ("rdata", data),
            ("rlast", 1),
            ("rresp", 2 * (data == 0xDEAD)),
        ):
            ctx.set(getattr(dut, name), value)
        await ctx.tick()
        ctx.set(dut.rvalid, 0)

    async def look(ctx) -> None:
        for _ in range(8):
            if ctx.get(dut.data.valid):
                seen.append(hex(ctx.get(dut.data.payload.data)))
            assert ctx.get(dut.fault.kind) == Fault.NONE, "a late fault is nobody's"
            await ctx.tick()

    async def bench(ctx):
        open_window(ctx, dut, read=1)
        ctx.set(dut.data.ready, 1)
        old = await request(ctx, FIRST)
        ctx.set(rst, 1)
        await ctx.tick()
        ctx.set(rst, 0)
        await request(ctx, FIRST + 0x100, wait=False)
        await look(ctx)
        assert not ctx.get(dut.arvalid) and ctx.get(dut.quiescing) and ctx.get(dut.outstanding)
        await answer(ctx, old, 0xDEAD)
        new = await asked(ctx)
        await look(ctx)
        await answer(ctx, new, 0xBEEF)
        await look(ctx)
        assert seen == ["0xbeef"] and not ctx.get(dut.outstanding) and not ctx.get(dut.quiescing)

    simulate(ResetInserter(rst)(dut), bench)


@pytest.mark.parametrize("engine", ["read", "write"])
def test_when_memory_is_reset_too_nothing_is_awaited(engine):
    rst = Signal()
    dut = ReadEngine(GEOMETRIES[128]) if engine == "read" else WriteEngine(GEOMETRIES[128], 1)

    async def bench(ctx):
        open_window(ctx, dut, read=1, write=1)
        if engine == "read":
            ctx.set(dut.request.payload, {"address": FIRST, "granules": 40, "target": ReadTarget.ROW})
            ctx.set(dut.request.valid, 1)
        else:
            ctx.set(dut.channels[0].target, FIRST)
            ctx.set(dut.channels[0].load, 1)
            await ctx.tick()
            ctx.set(dut.channels[0].load, 0)
            ctx.set(dut.channels[0].beats.payload, {"data": 1, "words": 4, "last": 0})
            ctx.set(dut.channels[0].beats.valid, 1)
        await ctx.tick().repeat(40 + CLEARED)
        assert ctx.get(dut.outstanding) and ctx.get(dut.arvalid if engine == "read" else dut.awvalid)
        ctx.set(rst, 1)
        ctx.set(dut.bus_rst, 1)
        await ctx.tick()
        assert not ctx.get(dut.outstanding)
        assert not ctx.get(dut.arvalid if engine == "read" else dut.awvalid | dut.wvalid)
        ctx.set(rst, 0)
        ctx.set(dut.bus_rst, 0)
        await ctx.tick().repeat(2 + (CLEARED if engine == "read" else 0))
        assert not ctx.get(dut.quiescing)

    simulate(ResetInserter(rst)(dut), bench)


@pytest.mark.long
@pytest.mark.parametrize("bits", GEOMETRIES)
@pytest.mark.parametrize("seed", [1, 2])
def test_reads_after_resets_are_whole(bits, seed):
    """Each round ends with a reset in the middle, but the last. `beats` of a round are the first of those due."""
    draw = random.Random(seed)
    dut, rst = ReadEngine(GEOMETRIES[bits]), Signal()
    memory = ReadMemory(dut, draw, latency=25, calm=False)
    late = []

    async def bench(ctx):
        open_window(ctx, dut, read=1)
        rounds = 24
        for number in range(rounds):
            requests = random_requests(draw, 12)
            expected = expected_beats(bits // 8, requests)
            stop = CLEARED + draw.randint(1, 90) if number < rounds - 1 else 100_000
            waiting, beats, offered = list(requests), [], False
            for _ in range(stop):
                if len(beats) == len(expected):
                    break
                offered = bool(waiting) and (offered or draw.random() < 0.7)
                ctx.set(dut.request.valid, offered)
                if offered:
                    address, granules, target = waiting[0]
                    ctx.set(dut.request.payload, {"address": address, "granules": granules, "target": target})
                ctx.set(dut.data.ready, draw.random() < 0.7)
                memory.drive(ctx)
                if offered and ctx.get(dut.request.ready):
                    waiting.pop(0)
                    offered = False
                if ctx.get(dut.data.valid) and ctx.get(dut.data.ready):
                    beat = ctx.get(dut.data.payload)
                    names = ("data", "first", "count", "target", "last", "fault")
                    beats.append(tuple(getattr(beat, name) for name in names))
                assert ctx.get(dut.outstanding) or not memory.under_way
                memory.watch(ctx)
                await ctx.tick()
            assert beats == expected[: len(beats)], f"round {number}"
            assert number < rounds - 1 or len(beats) == len(expected)
            ctx.set(dut.request.valid, 0)
            ctx.set(rst, 1)
            for _ in range(draw.randint(1, 3)):
                memory.drive(ctx)
                memory.watch(ctx)
                await ctx.tick()
            ctx.set(rst, 0)
            late.append(sum(map(len, memory.under_way.values())))
        while ctx.get(dut.outstanding) or ctx.get(dut.quiescing):
            memory.drive(ctx)
            memory.watch(ctx)
            await ctx.tick()
        await ctx.tick()
        assert not memory.under_way and not ctx.get(dut.quiescing) and ctx.get(dut.idle)

    simulate(ResetInserter(rst)(dut), bench)
    assert sum(count > 0 for count in late) > 10, "resets came in the middle of bursts"


@pytest.mark.parametrize("bits", GEOMETRIES)
@pytest.mark.parametrize("seed", [1, 2])
def test_writes_after_resets_are_whole(bits, seed):
    """Each round writes other bytes. What a reset cut short is written in part, and what was promised is sent."""
    draw = random.Random(seed)
    dut, rst = WriteEngine(GEOMETRIES[bits], 2), Signal()
    memory = WriteMemory(dut, draw, latency=25, calm=False)
    size, meant, late, empty = bits // 8, {}, [], []

    def fresh_packet(start: int) -> list:
        words = [draw.getrandbits(32) for _ in range(draw.randint(1, 500))]
        for index, word in enumerate(words):
            meant.update({start + 4 * index + byte: word >> 8 * byte & 0xFF for byte in range(4)})
        chunks = [words[at : at + size // 4] for at in range(0, len(words), size // 4)]
        return [(chunk, at == len(chunks) - 1) for at, chunk in enumerate(chunks)]

    async def step(ctx) -> None:
        memory.drive(ctx)
        empty.append(bool(ctx.get(dut.wvalid) and ctx.get(dut.wready) and not ctx.get(dut.wstrb)))
        assert ctx.get(dut.outstanding) or not memory.answers
        memory.watch(ctx)
        await ctx.tick()

    async def bench(ctx):
        open_window(ctx, dut, write=1)
        places = [FIRST + at for at in (0, PAGE, 3 * PAGE, 3 * PAGE + 2048)]
        rounds = 16
        for number in range(rounds):
            meant.clear()
            memory.bytes.clear()
            stop = draw.randint(1, 80) if number < rounds - 1 else 100_000
            await step(ctx)
            for port, start in zip(dut.channels, draw.sample(places, 2), strict=True):
                ctx.set(port.target, start)
                ctx.set(port.load, 1)
            await step(ctx)
            streams = [fresh_packet(ctx.get(port.target)) for port in dut.channels]
            offered = [False, False]
            for _ in range(stop):
                if not any(streams) and ctx.get(dut.idle):
                    break
                for index, port in enumerate(dut.channels):
                    ctx.set(port.load, 0)
                    offered[index] = bool(streams[index]) and (offered[index] or draw.random() < 0.8)
                    ctx.set(port.beats.valid, offered[index])
                    if offered[index]:
                        chunk, last = streams[index][0]
                        data = sum(word << 32 * place for place, word in enumerate(chunk))
                        ctx.set(port.beats.payload, {"data": data, "words": len(chunk), "last": last})
                for index, port in enumerate(dut.channels):
                    if offered[index] and ctx.get(port.beats.ready):
                        streams[index].pop(0)
                        offered[index] = False
                await step(ctx)
            if number == rounds - 1:
                break
            for port in dut.channels:
                ctx.set(port.beats.valid, 0)
                ctx.set(port.load, 0)
            ctx.set(rst, 1)
            for _ in range(draw.randint(1, 3)):
                await step(ctx)
            ctx.set(rst, 0)
            late.append(len(memory.addressed) + len(memory.answers))
            while ctx.get(dut.quiescing):
                await step(ctx)
            assert not memory.addressed and not memory.waiting_data and not memory.answers
            assert memory.bytes.items() <= meant.items(), f"round {number}: only what was meant is written"
        assert memory.bytes == meant and not ctx.get(dut.outstanding)

    simulate(ResetInserter(rst)(dut), bench)
    assert sum(count > 0 for count in late) > 6 and any(empty), "resets came in the middle of bursts"
