"""Blocks that fetch descriptors and report completions, in Amaranth's simulator."""

from __future__ import annotations

import random

import pytest

from hotline_device.ring_entries import Completion
from hotline_hw.shell.layouts import ReadTarget
from hotline_hw.shell.rings.completion import CompletionWriter
from hotline_hw.shell.rings.fetch import DescriptorFetch
from hotline_hw.shell.rings.ring_control import RingControl
from hotline_hw.spec.descriptors import ENTRY_BYTES
from hotline_hw.spec.params import preset
from tests.support.streams import Reads, collect, pulse, until_done

GEOMETRIES = {name: preset(name) for name in ("tiny", "edge", "kaggle")}

geometries = pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES.keys())
stalls = pytest.mark.parametrize("stall", [0, 0.4])


class Ring:
    """The part of a ring that DescriptorFetch sees. It has `size` entries, all of them ready at first."""

    def __init__(self, dut: DescriptorFetch, draw: random.Random, size: int, ready: int) -> None:
        self.dut, self.draw, self.size, self.ready = dut, draw, size, ready
        self.consumer = 0

    async def serve(self, ctx) -> None:
        dut = self.dut
        while True:
            ctx.set(dut.entry, self.consumer % self.size)
            ctx.set(dut.available, self.consumer < self.ready)
            _, _, fetched = await ctx.tick().sample(dut.fetched)
            self.consumer += fetched
            assert self.consumer <= self.ready


@stalls
@geometries
@pytest.mark.parametrize("faulty", [False, True])
def test_descriptors_are_fetched_in_order(faulty, geometry, stall):
    draw = random.Random(stall)
    dut = DescriptorFetch(geometry)
    base, size = 0x7_0000_1000, 8
    entries = [draw.getrandbits(8 * ENTRY_BYTES) for _ in range(size)]

    def content(at: int) -> int:
        entry, place = divmod(at - base, ENTRY_BYTES)
        return entries[entry] >> 8 * place & (1 << 128) - 1

    bad = base + 5 * ENTRY_BYTES + (ENTRY_BYTES - geometry.axi_bytes)
    reads = Reads(dut, draw, stall, content, frozenset([bad] if faulty else []))
    ring = Ring(dut, draw, size, 21)
    failures = 0

    async def watch(ctx):
        nonlocal failures
        while True:
            _, _, failed = await ctx.tick().sample(dut.failed)
            failures += failed

    async def drive(ctx):
        ctx.set(dut.base, base)
        ctx.set(dut.enable, 1)
        await ctx.tick().repeat(1500)
        assert not ctx.get(dut.busy)
        if faulty:
            assert ring.consumer == 6, "what could not be read came out of the ring; none behind it did"
            reads.fault = frozenset()
            ctx.set(dut.enable, 0)
            await ctx.tick().repeat(2)
            ring.consumer = 0
            ctx.set(dut.enable, 1)
            await ctx.tick().repeat(1500)
        assert ring.consumer == 21

    found = collect(dut, drive, {"output": dut.output}, draw, stall, ring.serve, reads.serve, watch)["output"]
    expected = [entries[at % size] for at in range(21)]
    assert [int(entry.as_bits()) for entry in found] == (expected[:5] if faulty else []) + expected
    assert failures == faulty
    assert all(granules == 4 and target == ReadTarget.DESCRIPTOR for _, granules, target in reads.requests)


def test_a_descriptor_that_waits_is_dropped_when_disabled():
    draw = random.Random(0)
    dut = DescriptorFetch(GEOMETRIES["tiny"])
    reads = Reads(dut, draw, 0, lambda at: at)
    ring = Ring(dut, draw, 4, 4)

    async def drive(ctx):
        ctx.set(dut.enable, 1)
        await ctx.tick().repeat(30)
        assert ctx.get(dut.output.valid) and ring.consumer == 1, "one ahead, no more"
        ctx.set(dut.enable, 0)
        await ctx.tick().repeat(2)
        assert not ctx.get(dut.output.valid) and not ctx.get(dut.busy)

    collect(dut, drive, {}, draw, 0, ring.serve, reads.serve)


@stalls
def test_a_completion_is_written_and_then_told(stall):
    draw = random.Random(stall)
    dut = CompletionWriter()
    entries = [
        Completion(tag=draw.getrandbits(32), opcode=3, status=draw.randrange(12), samples=draw.getrandbits(32),
                   generation=at & 1, errors=5, cycles=draw.getrandbits(32), address=draw.getrandbits(64))
        for at in range(6)
    ]  # fmt: skip

    async def drive(ctx):
        for entry in entries:
            value = sum(int(word) << 32 * at for at, word in enumerate(entry.pack()))
            await pulse(ctx, dut.start, completion=(dut.completion.as_value(), value), idle=(dut.channel_idle, 0))
            await ctx.tick().repeat(120)
            assert not ctx.get(dut.done), "not before it is visible"
            ctx.set(dut.channel_idle, 1)
            assert ctx.get(dut.done)
            await ctx.tick()
            assert not ctx.get(dut.done)

    found = collect(dut, drive, {"words": dut.words}, draw, stall)["words"]
    assert [word.word for word in found] == [int(word) for entry in entries for word in entry.pack()]
    assert [at % 16 for at, word in enumerate(found) if word.last] == [15] * 6
    assert all(word.some for word in found)


@pytest.mark.parametrize(("before", "after", "waits"), [(1000, 20, 1), (1000, 60, 22), (0, 30, 31)])
def test_a_new_delay_counts_for_completions_that_wait(before, after, waits):
    """The new delay may have passed already. If there was no delay before, it begins when it is set."""
    dut = RingControl()

    async def drive(ctx):
        for port, value in ((dut.log2_size, 3), (dut.coalesce, 9), (dut.delay, before)):
            ctx.set(port, value)
        await pulse(ctx, dut.completed)
        for _ in range(40):
            assert not ctx.get(dut.interrupt)
            await ctx.tick()
        ctx.set(dut.delay, after)
        assert await until_done(ctx, dut.interrupt) == waits
        await ctx.tick()
        for _ in range(2000):
            assert not ctx.get(dut.interrupt), "once"
            await ctx.tick()

    collect(dut, drive, {}, random.Random(), 0)
