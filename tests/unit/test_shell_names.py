"""What names rows, asks for them and for descriptors, and tells of completions, in Amaranth's simulator."""

from __future__ import annotations

import random
from collections import deque

import pytest

from hotline_hw.dma.completion import CompletionWriter
from hotline_hw.dma.descriptors import ENTRY_BYTES, GRANULE_BYTES
from hotline_hw.dma.fetch import DescriptorFetch
from hotline_hw.dma.layouts import ReadTarget
from hotline_hw.dma.names import LIST_WORDS, ListNames, MemoryNames
from hotline_hw.dma.ring_control import RingControl
from hotline_hw.dma.walker import RowWalker
from hotline_hw.feistel import unmix
from hotline_hw.params import preset
from hotline_sim.ring_entries import Completion
from tests.unit.streams import collect, feed, pulse

GEOMETRIES = {name: preset(name) for name in ("tiny", "edge", "kaggle")}

geometries = pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES.keys())
stalls = pytest.mark.parametrize("stall", [0, 0.4])


def names(rows: list) -> list[tuple[int, int, int]]:
    return [(name.table, name.row, name.bag_last) for name in rows]


async def until_done(ctx, port, limit: int = 20000) -> int:
    cycles = 0
    while not ctx.get(port):
        await ctx.tick()
        cycles += 1
        assert cycles < limit, "done in the end"
    return cycles


class Lists:
    """The core's lists: of each kind and bank, mixed keys above the bank's bits. Latencies as in HotlineCore."""

    def __init__(self, dut: ListNames, draw: random.Random, most: int) -> None:
        self.dut = dut
        g = dut.geometry
        self.tags = [
            [[draw.getrandbits(g.tag_bits) for _ in range(draw.randint(0, most))] for _ in range(g.banks)]
            for _ in range(2)
        ]

    def key(self, held: int, bank: int, number: int) -> int:
        tags = self.tags[held][bank]
        return (tags[number] if number < len(tags) else 0) << self.dut.geometry.bank_bits | bank

    def names(self, held: int) -> list[tuple[int, int, int]]:
        g = self.dut.geometry
        keys = [
            int(unmix(self.key(held, bank, number), g.key_bits))
            for bank in range(g.banks)
            for number in range(len(self.tags[held][bank]))
        ]
        return [(key >> g.row_bits, key & (1 << g.row_bits) - 1, 1) for key in keys]

    async def serve(self, ctx) -> None:
        dut, read = self.dut, 0
        while True:
            _, _, bank, held, number = await ctx.tick().sample(dut.list_bank, dut.list_held, dut.list_number)
            ctx.set(dut.list_count, len(self.tags[held][bank]))
            ctx.set(dut.list_key, read)
            read = self.key(held, bank, number)


@stalls
@geometries
def test_rows_of_the_lists_are_named_in_order(geometry, stall):
    draw = random.Random(stall)
    dut = ListNames(geometry)
    lists = Lists(dut, draw, min(9, 1 << geometry.local_bits))
    lists.tags[0][0] = []
    lists.tags[1][geometry.banks - 1] = []
    lists.tags[0][1] = [draw.getrandbits(geometry.tag_bits) for _ in range(1 << min(geometry.local_bits, 6))]
    cycles = []

    async def drive(ctx):
        for held in (0, 1, 0):
            await pulse(ctx, dut.start, held=(dut.held, held))
            cycles.append(await until_done(ctx, dut.done))

    found = collect(dut, drive, {"names": dut.output}, draw, stall, lists.serve)["names"]
    assert names(found) == lists.names(0) + lists.names(1) + lists.names(0)
    if not stall:
        assert cycles[0] <= len(lists.names(0)) + 3 * geometry.banks + 16, "a name a cycle, three more for each list"


@stalls
def test_a_walk_that_is_stopped_ends_and_the_next_one_is_whole(stall):
    draw = random.Random(1)
    dut = ListNames(GEOMETRIES["edge"])
    lists = Lists(dut, draw, 9)

    async def drive(ctx):
        await pulse(ctx, dut.start, held=(dut.held, 0))
        await ctx.tick().repeat(25)
        ctx.set(dut.stop, 1)
        await until_done(ctx, dut.done)
        ctx.set(dut.stop, 0)
        await pulse(ctx, dut.start, held=(dut.held, 1))
        await until_done(ctx, dut.done)

    found = names(collect(dut, drive, {"names": dut.output}, draw, stall, lists.serve)["names"])
    first = len(found) - len(lists.names(1))
    assert 0 < first < len(lists.names(0))
    assert found == lists.names(0)[:first] + lists.names(1)


class Reads:
    """Takes read requests and brings their beats, a request at a time, in order.

    Args:
        content: the granule at an address. fault: addresses whose beat is a fault.
    """

    def __init__(self, dut, draw: random.Random, stall: float, content, fault: frozenset[int] = frozenset()) -> None:
        self.dut, self.draw, self.stall = dut, draw, stall
        self.content, self.fault = content, fault
        self.requests: list[tuple[int, int, ReadTarget]] = []
        self.most_due = 0
        self._due: deque[dict] = deque()

    async def serve(self, ctx) -> None:
        dut, size = self.dut, self.dut.geometry.axi_bytes
        asked = None
        while True:
            ready = self.draw.random() >= self.stall
            ctx.set(dut.request.ready, ready)
            bring = bool(self._due) and self.draw.random() >= self.stall
            ctx.set(dut.data.valid, bring)
            if bring:
                ctx.set(dut.data.payload, self._due.popleft())
            _, _, valid, request, data_ready = await ctx.tick().sample(
                dut.request.valid, dut.request.payload, dut.data.ready
            )
            assert data_ready, "takes its data whenever it comes"
            assert asked is None or (valid and request == asked), "a request that is offered stays"
            asked = request if valid and not ready else None
            if valid and ready:
                self._take(request.address, request.granules, request.target)
                self.most_due = max(self.most_due, len(self._due) * size)

    def _take(self, address: int, granules: int, target: ReadTarget) -> None:
        size = self.dut.geometry.axi_bytes
        assert granules > 0 and address % size == 0
        self.requests.append((address, granules, target))
        end = address + granules * GRANULE_BYTES
        for at in range(address, end, size):
            parts = range(at, at + size, GRANULE_BYTES)
            fault = at in self.fault
            value = sum(self.content(part) << 128 * place for place, part in enumerate(parts))
            self._due.append({"data": 0 if fault else value, "last": at + size >= end, "fault": fault})


def list_in_memory(draw: random.Random, count: int, source: int):
    """`count` random lookup words at `source`, as a granule's content; and their names."""
    words = [
        draw.getrandbits(64) & ~(0x7FFF << 40) if draw.random() < 0.8 else draw.getrandbits(40) for _ in range(count)
    ]

    def word(at: int) -> int:
        index = (at - source) // 8
        return words[index] if 0 <= index < count else 0xDEAD_BEEF

    expected = [(w >> 32 & 0xFF, w & 0xFFFF_FFFF, int(w >> 63 or at == count - 1)) for at, w in enumerate(words)]
    return (lambda at: word(at) | word(at + 8) << 64), expected


@stalls
@geometries
@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 700])
def test_rows_of_a_list_in_memory(count, geometry, stall):
    draw = random.Random(count)
    dut = MemoryNames(geometry)
    source = 0xABCD_0000_0040
    content, expected = list_in_memory(draw, count, source)
    reads = Reads(dut, draw, stall, content)

    async def drive(ctx):
        for _ in range(2):
            await pulse(ctx, dut.start, source=(dut.source, source), count=(dut.count, count))
            assert not ctx.get(dut.done)
            await until_done(ctx, dut.done)

    found = collect(dut, drive, {"names": dut.output}, draw, stall, reads.serve)["names"]
    assert names(found) == expected * 2
    assert sum(granules for _, granules, _ in reads.requests) == 2 * -(-count // 2)
    assert {target for _, _, target in reads.requests} == {ReadTarget.LIST}
    assert reads.most_due <= 8 * LIST_WORDS


@stalls
@pytest.mark.parametrize("why", ["stop", "fault"])
def test_a_list_in_memory_that_is_given_up(why, stall):
    """It ends when all that was asked for has come; the next list is whole."""
    draw = random.Random(4)
    geometry = GEOMETRIES["tiny"]
    dut = MemoryNames(geometry)
    source, count = 0x1000, 500
    content, expected = list_in_memory(draw, count, source)
    faults = [source + 16 * 100] if why == "fault" else []
    reads = Reads(dut, draw, stall, content, frozenset(faults))
    other = 0x9000
    other_content, other_expected = list_in_memory(draw, 40, other)

    async def drive(ctx):
        await pulse(ctx, dut.start, source=(dut.source, source), count=(dut.count, count))
        if why == "stop":
            await ctx.tick().repeat(90)
            ctx.set(dut.stop, 1)
        await until_done(ctx, dut.done)
        ctx.set(dut.stop, 0)
        reads.content = other_content
        await pulse(ctx, dut.start, source=(dut.source, other), count=(dut.count, 40))
        await until_done(ctx, dut.done)

    streams = {"names": dut.output}
    found = names(collect(dut, drive, streams, draw, stall, reads.serve, withdrawn=("names",))["names"])
    first = len(found) - 40
    assert first < 200 or (why == "stop" and first < count)
    assert found == expected[:first] + other_expected


@stalls
@pytest.mark.parametrize("want_keys", [0, 1])
@pytest.mark.parametrize("bad", [None, "unknown", "beyond", "taken away"])
def test_where_rows_lie(bad, want_keys, stall):
    draw = random.Random(f"{bad} {want_keys} {stall}")
    dut = RowWalker(GEOMETRIES["tiny"])
    tables = {t: (draw.getrandbits(60), draw.choice([1, 7, 1 << 20, (1 << 32) - 1]), draw.getrandbits(16))
              for t in (0, 1, 77, 254)}  # fmt: skip
    granules = draw.randint(1, 256)

    def name(table: int, row: int) -> dict:
        return {"table": table, "row": row, "bag_last": draw.getrandbits(1)}

    good = []
    for _ in range(60):
        table = draw.choice(list(tables))
        rows = tables[table][1]
        good.append(name(table, draw.choice([0, rows - 1, draw.randrange(rows)])))
    fails = {"unknown": name(3, 0), "beyond": name(77, tables[77][1]), "taken away": name(255, 0)}
    sends = good if bad is None else [*good, fails[bad], *good[:10]]

    async def set_up(ctx, table: int, base: int, rows: int, stride: int) -> None:
        entry = {"base": base, "rows": rows, "stride": stride}
        await pulse(ctx, dut.table_write, index=(dut.table_index, table), table=(dut.table, entry))

    async def drive(ctx):
        await set_up(ctx, 255, 1, 9, 1)
        await set_up(ctx, 255, 1, 0, 1)
        for table, entry in tables.items():
            await set_up(ctx, table, *entry)
        ctx.set(dut.row_granules, granules)
        ctx.set(dut.want_keys, want_keys)
        for _ in range(2):
            await pulse(ctx, dut.start)
            await feed(ctx, dut.names, sends, draw, stall)
            await ctx.tick().repeat(4)
            await until_done(ctx, dut.idle)
            assert ctx.get(dut.unknown_table) == (bad in ("unknown", "taken away"))
            assert ctx.get(dut.beyond_table) == (bad == "beyond")

    found = collect(dut, drive, {"rows": dut.output, "keys": dut.keys}, draw, stall, withdrawn=("keys",))
    requests = [
        (r.read.address, r.read.granules, r.read.target, r.bag_last) for r in found["rows"]
    ]  # fmt: skip
    expected = []
    for row in good:
        base, _, stride = tables[row["table"]]
        address = 16 * (base + row["row"] * stride) % (1 << 64)
        expected.append((address, granules, ReadTarget.ROW, row["bag_last"]))
    assert requests == expected * 2
    if want_keys and bad is None:
        assert names(found["keys"]) == [(n["table"], n["row"], n["bag_last"]) for n in sends] * 2
    elif not want_keys:
        assert not found["keys"]


class Ring:
    """What DescriptorFetch sees of a ring with `size` entries, all of them ready at first."""

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


@pytest.mark.parametrize(("before", "after", "waits"), [(1000, 20, 0), (1000, 60, 20), (0, 30, 30)])
def test_a_new_delay_counts_for_completions_that_wait(before, after, waits):
    """It may have passed already. Where there was none, it begins when it is set."""
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
