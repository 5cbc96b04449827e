"""ReadEngine and WriteEngine in Amaranth's simulator: random traffic against a memory that answers in any order, and
how many beats a cycle they move."""

from __future__ import annotations

import random
import warnings
from collections import Counter

import pytest
from amaranth.sim import Simulator

from hotline_hw.shell.bus.read import ReadEngine
from hotline_hw.shell.bus.write import WriteEngine
from hotline_hw.shell.layouts import Fault, ReadTarget
from hotline_hw.spec.params import Geometry

GEOMETRIES = {
    bits: Geometry(
        lanes=8, banks=2, sets=8, ways=8, entries_per_hot_row=2, max_moves=8, axi_bits=bits, working_rows=32,
        read_tags=32, read_beats=64,
    )
    for bits in (128, 512)
}  # fmt: skip
PAGE = 4096
FIRST, PAGES = 0x1234_5678_9000, 4  # the window
PLACES = {
    "low": FIRST, "across 4 GiB": 0xFFFF_E000, "across 2^63": 0x7FFF_FFFF_FFFF_E000, "top": (1 << 64) - PAGES * PAGE,
}  # fmt: skip
CROSSING = 2 * PAGE - 0x300  # from FIRST on: what begins here crosses the boundary that is in the middle of the window
BAD = FIRST + 2 * PAGE + 0x400  # the beat here answers SLVERR


@pytest.fixture(params=[place for place in PLACES if place != "low"])
def elsewhere(request, monkeypatch) -> str:
    """Puts the window where addresses carry beyond bit 31, or end."""
    monkeypatch.setitem(globals(), "BAD", PLACES[request.param] + BAD - FIRST)
    monkeypatch.setitem(globals(), "FIRST", PLACES[request.param])
    return request.param


def simulate(component, bench) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        simulator = Simulator(component)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()


def content(address: int, size: int) -> int:
    """The memory's bytes from `address` on. Each granule is a function of its address."""
    granules = [random.Random(address + at).getrandbits(128) for at in range(0, size, 16)]
    return sum(value << 128 * index for index, value in enumerate(granules))


def open_window(ctx, dut, *, read: int = 0, write: int = 0) -> None:
    window = dut.windows[3]
    for name, value in (("page", FIRST // PAGE), ("pages", PAGES), ("read", read), ("write", write)):
        ctx.set(getattr(window, name), value)


class ReadMemory:
    """Answers the engine's reads, at most one beat a cycle: `latency` cycles later, in order or out of order."""

    def __init__(self, dut: ReadEngine, draw: random.Random, *, latency: int, calm: bool) -> None:
        self.dut, self.draw, self.latency, self.calm = dut, draw, latency, calm
        self.size = dut.geometry.axi_bits // 8
        self.under_way: dict[int, list[tuple[int, int, bool]]] = {}  # id -> (cycle, address, last) of its beats
        self.now = self.beats = 0

    def drive(self, ctx) -> None:
        dut = self.dut
        ready = [i for i, beats in self.under_way.items() if beats[0][0] <= self.now]
        answer = bool(ready) and (self.calm or self.draw.random() < 0.7)
        ctx.set(dut.rvalid, answer)
        if answer:
            chosen = ready[0] if self.calm else self.draw.choice(ready)
            _, address, last = self.under_way[chosen].pop(0)
            if last:
                del self.under_way[chosen]
            ctx.set(dut.rid, chosen)
            ctx.set(dut.rdata, content(address, self.size))
            ctx.set(dut.rresp, 2 * (address == BAD))
            ctx.set(dut.rlast, last)
            self.beats += 1
        ctx.set(dut.arready, self.calm or self.draw.random() < 0.7)

    def watch(self, ctx) -> None:
        dut = self.dut
        if ctx.get(dut.arvalid) and ctx.get(dut.arready):
            address, count, tag = ctx.get(dut.araddr), ctx.get(dut.arlen) + 1, ctx.get(dut.arid)
            assert tag not in self.under_way, "an id of its own"
            assert address % self.size == 0 and ctx.get(dut.arsize) == self.size.bit_length() - 1
            assert ctx.get(dut.arburst) == 1 and ctx.get(dut.arcache) == 3
            end = address + count * self.size
            assert FIRST <= address and end <= FIRST + PAGES * PAGE, "inside the window"
            assert address // (16 * self.size) == (end - 1) // (16 * self.size)
            due = self.now + self.latency
            self.under_way[tag] = [(due, at, at + self.size == end) for at in range(address, end, self.size)]
        self.now += 1


def read(dut: ReadEngine, requests: list, *, latency: int, calm: bool, seed: int = 1, abort_at: int = -1):
    """Runs the requests: (address, granules, target) each. Returns their beats, the faults, and the cycles from the
    first beat to the last."""
    draw = random.Random(seed)
    subordinate = ReadMemory(dut, draw, latency=latency, calm=calm)
    beats, faults, times = [], [], []

    async def bench(ctx):
        open_window(ctx, dut, read=1)
        waiting, left, now = list(requests), len(requests), 0
        offered = False
        while left:
            offered = bool(waiting) and (offered or calm or draw.random() < 0.7)
            ctx.set(dut.request.valid, offered)
            if offered:
                address, granules, target = waiting[0]
                ctx.set(dut.request.payload, {"address": address, "granules": granules, "target": target})
            ctx.set(dut.data.ready, calm or draw.random() < 0.7)
            ctx.set(dut.abort, 0 <= abort_at <= len(beats))
            subordinate.drive(ctx)
            assert len(waiting) == len(requests) or not ctx.get(dut.idle)
            assert ctx.get(dut.outstanding) or not subordinate.under_way
            if ctx.get(dut.fault.kind) != Fault.NONE:
                faults.append((ctx.get(dut.fault.kind), ctx.get(dut.fault.address)))
            if offered and ctx.get(dut.request.ready):
                waiting.pop(0)
                offered = False
            if ctx.get(dut.data.valid) and ctx.get(dut.data.ready):
                beat = ctx.get(dut.data.payload)
                names = ("data", "first", "count", "target", "last", "fault")
                beats.append(tuple(getattr(beat, name) for name in names))
                left -= beat.last
                times.append(now)
            subordinate.watch(ctx)
            now += 1
            assert now < 200 * (len(requests) + 40), "it hangs"
            await ctx.tick()
        assert ctx.get(dut.idle) and not ctx.get(dut.outstanding)

    simulate(dut, bench)
    return beats, faults, times[-1] - times[0] + 1


def expected_beats(size: int, requests: list) -> list:
    """What `read` must return if nothing is aborted."""
    expected = []
    for address, granules, target in requests:
        end = address + 16 * granules
        for at in range(address // size * size, end, size):
            low, high = max(at, address), min(at + size, end)
            fault = int(at == BAD or not FIRST <= at < FIRST + PAGES * PAGE)
            data = 0 if fault else content(at, size)
            expected.append((data, (low - at) // 16, (high - low) // 16, target, int(high == end), fault))
    return expected


def random_requests(draw: random.Random, count: int) -> list:
    requests = []
    for _ in range(count):
        granules = draw.choice((1, 1, 2, draw.randint(1, 12), draw.randint(1, 150)))
        # From a page before the window to a page after it.
        address = FIRST + 16 * draw.randint(-256, 256 * (PAGES + 1))
        requests.append((address, granules, draw.choice(list(ReadTarget))))
    return requests


@pytest.mark.parametrize("bits", GEOMETRIES)
@pytest.mark.parametrize("seed", [1, 2])
def test_reads_arrive_whole_and_in_order(bits, seed):
    requests = [(BAD, 1, ReadTarget.ROW), *random_requests(random.Random(seed), 80)]
    dut = ReadEngine(GEOMETRIES[bits])
    beats, faults, _ = read(dut, requests, latency=20, calm=False, seed=seed)
    assert beats == expected_beats(bits // 8, requests)
    kinds = Counter(kind for kind, _ in faults)
    assert kinds[Fault.BUS] and kinds[Fault.WINDOW] and not kinds[Fault.ABORT]
    for kind, address in faults:
        if kind == Fault.BUS:
            assert 0 <= BAD - address < 16 * bits // 8
        else:
            assert not FIRST <= address < FIRST + PAGES * PAGE


@pytest.mark.long
@pytest.mark.parametrize("bits", GEOMETRIES)
def test_reads_across_4_gib(elsewhere, bits):
    """A request that crosses the boundary brings what is behind it. At the top, one ends with the last byte."""
    draw, whole = random.Random(6), PAGES * PAGE // 16
    requests = [(FIRST, whole, ReadTarget.STREAM), (FIRST + CROSSING, 100, ReadTarget.ROW)]
    for _ in range(12):
        start = draw.randrange(whole)
        requests.append((FIRST + 16 * start, min(draw.randint(1, 300), whole - start), ReadTarget.LIST))
    beats, faults, _ = read(ReadEngine(GEOMETRIES[bits]), requests, latency=20, calm=False)
    assert beats == expected_beats(bits // 8, requests)
    assert {kind for kind, _ in faults} == {Fault.BUS}
    assert all(0 <= BAD - address < 2 * bits for _, address in faults), "the fault's address is whole"


def test_abort_ends_reads_and_loses_no_beat():
    draw = random.Random(3)
    requests = [(FIRST + 16 * draw.randint(0, 255), draw.randint(1, 100), ReadTarget.STREAM) for _ in range(20)]
    beats, faults, _ = read(ReadEngine(GEOMETRIES[128]), requests, latency=20, calm=False, abort_at=100)
    expected = expected_beats(16, requests)
    assert [beat[1:5] for beat in beats] == [beat[1:5] for beat in expected]
    assert all(beat == there or (beat[0] == 0 and beat[5]) for beat, there in zip(beats, expected, strict=True))
    assert beats[:100] == expected[:100] and beats[-1][5] == 1
    assert {kind for kind, _ in faults} == {Fault.ABORT}


@pytest.mark.parametrize("bits", GEOMETRIES)
def test_a_burst_and_a_beat_a_cycle(bits):
    size, draw = bits // 8, random.Random(4)
    scattered = [(FIRST + draw.randrange(0, PAGE, 16), 1, ReadTarget.ROW) for _ in range(400)]
    straight = [(FIRST + 16, 4 * PAGE // 16 - 1, ReadTarget.STREAM)]
    for requests in (scattered, straight):
        beats, _, cycles = read(ReadEngine(GEOMETRIES[bits]), requests, latency=20, calm=True)
        assert beats == expected_beats(size, requests)
        assert len(beats) / cycles >= 0.95, f"{len(beats)} beats in {cycles} cycles"


class WriteMemory:
    """Takes the engine's writes into `bytes`, and answers in any order of ids."""

    def __init__(self, dut: WriteEngine, draw: random.Random, *, latency: int, calm: bool) -> None:
        self.dut, self.draw, self.latency, self.calm = dut, draw, latency, calm
        self.size = dut.geometry.axi_bits // 8
        self.bytes: dict[int, int] = {}
        self.addressed: list[tuple[int, int, int]] = []  # id, address, beats: data is due
        self.answers: list[tuple[int, int, int]] = []  # cycle, id, BRESP
        self.now = self.total = 0
        self.waiting_data: list[tuple[int, int, bool]] = []

    def drive(self, ctx) -> None:
        dut = self.dut
        ctx.set(dut.awready, self.calm or self.draw.random() < 0.5)
        ctx.set(dut.wready, self.calm or self.draw.random() < 0.7)
        ids = {}
        for answer in self.answers:  # the answers of one id keep their order
            ids.setdefault(answer[1], answer)
        ready = [answer for answer in ids.values() if answer[0] <= self.now]
        ctx.set(dut.bvalid, bool(ready))
        if ready:
            answer = ready[0] if self.calm else self.draw.choice(ready)
            self.answers.remove(answer)
            ctx.set(dut.bid, answer[1])
            ctx.set(dut.bresp, answer[2])

    def watch(self, ctx) -> None:
        dut = self.dut
        if ctx.get(dut.awvalid) and ctx.get(dut.awready):
            address, count = ctx.get(dut.awaddr), ctx.get(dut.awlen) + 1
            end = address + count * self.size
            assert address % self.size == 0 and ctx.get(dut.awsize) == self.size.bit_length() - 1
            assert ctx.get(dut.awburst) == 1 and ctx.get(dut.awcache) == 3
            assert FIRST <= address and end <= FIRST + PAGES * PAGE, "inside the window"
            assert address // (16 * self.size) == (end - 1) // (16 * self.size)
            self.addressed.append((ctx.get(dut.awid), address, count))
        if ctx.get(dut.wvalid) and ctx.get(dut.wready):
            self.waiting_data.append((ctx.get(dut.wdata), ctx.get(dut.wstrb), bool(ctx.get(dut.wlast))))
            self.total += 1
            pending = sum(count for _, _, count in self.addressed)
            if ctx.get(dut.awvalid) and not ctx.get(dut.awready):
                pending += ctx.get(dut.awlen) + 1
            assert len(self.waiting_data) <= pending, "no data before its address"
        while self.addressed and len(self.waiting_data) >= self.addressed[0][2]:
            tag, address, count = self.addressed.pop(0)
            bad = False
            for index in range(count):
                data, strobes, last = self.waiting_data.pop(0)
                assert last == (index == count - 1)
                for byte in range(self.size):
                    if strobes >> byte & 1:
                        at = address + index * self.size + byte
                        assert at not in self.bytes, "no byte twice"
                        self.bytes[at] = data >> 8 * byte & 0xFF
                bad |= address + index * self.size == BAD
            self.answers.append((self.now + self.latency, tag, 2 * bad))
        self.now += 1


def write(dut: WriteEngine, packets: list, *, latency: int, calm: bool, seed: int = 1, abort_at: int = -1):
    """Runs packets, for each channel a list of (address or None, words, empty last beat). Returns the memory, the
    faults, the cycles, and what each channel's words were: lists of (address, value)."""
    draw = random.Random(seed)
    memory = WriteMemory(dut, draw, latency=latency, calm=calm)
    faults: list = []
    size = dut.geometry.axi_bits // 8
    meant: list = []
    span = [0, 0]

    async def bench(ctx):
        open_window(ctx, dut, write=1)
        waiting = [list(channel) for channel in packets]
        streams: list[list] = [[] for _ in packets]
        nexts, moved, now = [0] * len(packets), 0, 0
        offered = [False] * len(packets)
        while any(waiting) or any(streams) or not ctx.get(dut.idle) or memory.answers:
            for number, port in enumerate(dut.channels):
                ctx.set(port.load, 0)
                if not streams[number] and waiting[number] and (ctx.get(dut.channel_idle) >> number & 1):
                    address, words, empty = waiting[number].pop(0)
                    if address is not None:
                        nexts[number] = address
                        ctx.set(port.load, 1)
                        ctx.set(port.target, address)
                    values = [draw.getrandbits(32) for _ in range(words)]
                    at = nexts[number]
                    meant.extend((at + 4 * index, value) for index, value in enumerate(values))
                    per = size // 4
                    chunks = [values[i : i + per] for i in range(0, words, per)]
                    if empty and not words % per:
                        chunks.append([])
                    nexts[number] = at + size * -(-words // per)
                    streams[number] = [(chunk, index == len(chunks) - 1) for index, chunk in enumerate(chunks)]
                offered[number] = bool(streams[number]) and (offered[number] or calm or draw.random() < 0.7)
                ctx.set(port.beats.valid, offered[number])
                if offered[number]:
                    chunk, last = streams[number][0]
                    data = sum(value << 32 * index for index, value in enumerate(chunk))
                    ctx.set(port.beats.payload, {"data": data, "words": len(chunk), "last": last})
            ctx.set(dut.abort, 0 <= abort_at <= moved)
            memory.drive(ctx)
            if ctx.get(dut.fault.kind) != Fault.NONE:
                known = ctx.get(dut.fault.known)
                faults.append((ctx.get(dut.fault.kind), ctx.get(dut.fault.address) if known else None))
            for number, port in enumerate(dut.channels):
                if offered[number] and ctx.get(port.beats.ready):
                    streams[number].pop(0)
                    offered[number] = False
                    moved += 1
            before = memory.total
            memory.watch(ctx)
            if memory.total > before:
                span[0] = span[0] or now
                span[1] = now + 1
            assert ctx.get(dut.outstanding) or not memory.answers
            now += 1
            assert now < 40_000, "it hangs"
            await ctx.tick()
        assert not ctx.get(dut.outstanding) and ctx.get(dut.channel_idle) == (1 << len(packets)) - 1
        assert not memory.addressed and not memory.waiting_data

    simulate(dut, bench)
    return memory, faults, span[1] - span[0], meant


def as_bytes(words: list) -> dict[int, int]:
    inside = ((at, value) for at, value in words if FIRST <= at < FIRST + PAGES * PAGE)
    return {at + byte: value >> 8 * byte & 0xFF for at, value in inside for byte in range(4)}


@pytest.mark.parametrize("bits", GEOMETRIES)
@pytest.mark.parametrize("seed", [1, 2])
def test_writes_arrive_once_where_they_belong(bits, seed):
    draw = random.Random(seed)
    # From a page before the window on, but where memory fails; two packets fit a place.
    places = [at for at in range(FIRST - PAGE, FIRST + PAGES * PAGE, 2048) if not BAD - 2048 < at <= BAD]
    draw.shuffle(places)
    packets: list = []
    for _ in range(3):
        channel: list = []
        for _ in range(3):
            start = places.pop() + 64 * draw.randint(0, 4)
            channel.append((start, draw.randint(1, 120), draw.random() < 0.5))
            channel.append((None, draw.choice((16, 64, draw.randint(1, 100))), True))
        packets.append(channel)
    packets[0].append((BAD - 64, 40, False))
    packets[1].insert(0, (FIRST + PAGES * PAGE, 40, False))
    dut = WriteEngine(GEOMETRIES[bits], 3)
    memory, faults, _, meant = write(dut, packets, latency=10, calm=False, seed=seed)
    assert memory.bytes == as_bytes(meant)
    kinds = Counter(kind for kind, _ in faults)
    assert kinds[Fault.BUS] and kinds[Fault.WINDOW] and not kinds[Fault.ABORT]
    assert all((address is None) == (kind == Fault.BUS) for kind, address in faults)


@pytest.mark.parametrize("bits", GEOMETRIES)
def test_writes_across_4_gib(elsewhere, bits):
    packets = [
        [(FIRST, CROSSING // 4 - 64, False), (FIRST + CROSSING, 200, False), (None, 40, True)],
        [(FIRST + 3 * PAGE - 0x800, 300, False), (FIRST + PAGES * PAGE - 0x400, 0x400 // 4, False)],
    ]
    memory, faults, _, meant = write(WriteEngine(GEOMETRIES[bits], 2), packets, latency=10, calm=False)
    assert memory.bytes == as_bytes(meant) and not faults


def test_abort_ends_writes():
    packets = [[(FIRST, 400, False)], [(FIRST + PAGE, 300, True)]]
    memory, faults, _, meant = write(WriteEngine(GEOMETRIES[128], 2), packets, latency=10, calm=False, abort_at=100)
    there = as_bytes(meant)
    assert 0 < len(memory.bytes) < len(there)
    assert memory.bytes.items() <= there.items()
    assert {kind for kind, _ in faults} == {Fault.ABORT}


@pytest.mark.parametrize("bits", GEOMETRIES)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_beat_written_a_cycle(bits, channels):
    packets = [[(FIRST + PAGE * index, PAGE // 4, False)] for index in range(channels)]
    memory, _, cycles, meant = write(WriteEngine(GEOMETRIES[bits], channels), packets, latency=20, calm=True)
    assert memory.bytes == as_bytes(meant)
    assert memory.total == channels * PAGE * 8 // bits
    assert memory.total / cycles >= 0.95, f"{memory.total} beats in {cycles} cycles"


def test_more_channels_than_ids_are_refused(monkeypatch):
    monkeypatch.setattr(WriteEngine, "_MustUse__silence", True)  # a refused engine is never used
    with pytest.raises(ValueError, match="channels=33 must be 1 to 32"):
        WriteEngine(GEOMETRIES[128], channels=33)
