"""Blocks that name rows and ask for them, in Amaranth's simulator."""

from __future__ import annotations

import random

import pytest

from hotline_hw.shell.layouts import ReadTarget
from hotline_hw.shell.rows.names import LIST_WORDS, ListNames, MemoryNames
from hotline_hw.shell.rows.walker import RowWalker
from hotline_hw.spec.feistel import unmix
from hotline_hw.spec.params import preset
from tests.support.streams import Reads, collect, feed, pulse, until_done

GEOMETRIES = {name: preset(name) for name in ("tiny", "edge", "kaggle")}

geometries = pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES.keys())
stalls = pytest.mark.parametrize("stall", [0, 0.4])


def names(rows: list) -> list[tuple[int, int]]:
    return [(name.table, name.row) for name in rows]


class Lists:
    """The core's lists: mixed keys above the bank's bits, for each kind and bank. Latencies are as in HotlineCore."""

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

    def names(self, held: int) -> list[tuple[int, int]]:
        g = self.dut.geometry
        keys = [
            int(unmix(self.key(held, bank, number), g.key_bits))
            for bank in range(g.banks)
            for number in range(len(self.tags[held][bank]))
        ]
        return [(key >> g.row_bits, key & (1 << g.row_bits) - 1) for key in keys]

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


def list_in_memory(draw: random.Random, count: int, source: int):
    """`count` random lookup words at `source`, as the content of granules, and their names."""
    words = [
        draw.getrandbits(64) & ~(0x7FFF << 40) if draw.random() < 0.8 else draw.getrandbits(40) for _ in range(count)
    ]

    def word(at: int) -> int:
        index = (at - source) // 8
        return words[index] if 0 <= index < count else 0xDEAD_BEEF

    expected = [(w >> 32 & 0xFF, w & 0xFFFF_FFFF) for w in words]
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
    """It ends when everything that was asked for has come. The next list is whole."""
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
        return {"table": table, "row": row}

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
        while ctx.get(dut.clearing):
            await ctx.tick()
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
    requests = [(r.address, r.granules, r.target) for r in found["rows"]]
    expected = []
    for row in good:
        base, _, stride = tables[row["table"]]
        address = 16 * (base + row["row"] * stride) % (1 << 64)
        expected.append((address, granules, ReadTarget.ROW))
    assert requests == expected * 2
    if want_keys and bad is None:
        assert names(found["keys"]) == [(n["table"], n["row"]) for n in sends] * 2
    elif not want_keys:
        assert not found["keys"]
