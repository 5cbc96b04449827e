"""The memory model: data, order, errors, and that it is as slow as its settings say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hotline_device.host_memory import BASE_ADDRESS, HostMemory, Region
from hotline_sim.memory.timing import PRESETS, Latency, MemoryTiming
from tests.support.axi_manager import OKAY, Burst, Manager, guarded, manager
from tests.support.tools import needs

pytestmark = needs("g++")

PAGE = 4096
IDEAL = PRESETS["ideal"]
UNTIDY = MemoryTiming(
    read_latency=Latency(40, "exponential", 80), write_latency=Latency(20, "triangular", 60), read_gb_per_s=3.5,
    write_gb_per_s=3, read_header_bytes=20, read_payload_bytes=64, write_header_bytes=24, write_payload_bytes=128,
    request_header_bytes=24, reads=12, writes=5, interleave=0.4, early_data=0.3, ar_stall=0.3, aw_stall=0.4,
    w_stall=0.2, r_gap=0.2, b_gap=0.5,
)  # fmt: skip


@pytest.fixture
def memory():
    memory = HostMemory()
    yield memory
    memory.close()


@pytest.mark.parametrize("axi_bits", [128, 512])
@pytest.mark.parametrize("timing", ["ideal", "pcie3-x16", "ddr4-local", UNTIDY], ids=lambda t: t if t != UNTIDY else "")
def test_random_traffic(timing, axi_bits):
    """Against a copy. A block (a burst's place) that is written is left alone until B. Reads find it as it was."""
    rng = np.random.default_rng(7)
    memory, everything = guarded(rng, 2)
    expected = everything.copy()
    axi = manager(memory, timing, axi_bits=axi_bits, valid=0.7, ready=0.8)
    wide, block = axi.bytes, 16 * axi.bytes
    count = 2 * PAGE // block
    busy: dict[tuple[int, int], list[Burst]] = {}
    reads: list[tuple[Burst, np.ndarray]] = []
    for _ in range(300):
        place = (int(rng.integers(2)), int(rng.integers(count)))
        writes = rng.random() < 0.5
        while any(b.done < 0 and (writes or b.strobes) for b in busy.get(place, [])):
            axi.step()
        first = int(rng.integers(16))
        beats = int(rng.integers(1, 17 - first))
        offset = place[1] * block + first * wide
        address = BASE_ADDRESS + (place[0] << 20) + offset
        mirror = expected[2 * place[0] + 1].reshape(-1)[offset : offset + beats * wide]
        if writes:
            data = rng.integers(0, 256, beats * wide, dtype=np.uint8)
            strobed = rng.random(beats * wide) < rng.choice([0.5, 1.0])
            strobes = [sum(1 << i for i in range(wide) if strobed[b * wide + i]) for b in range(beats)]
            mirror[strobed] = data[strobed]
            burst = axi.write(address, data.tobytes(), int(rng.integers(16)), strobes)
        else:
            burst = axi.read(address, beats, int(rng.integers(16)))
            reads.append((burst, mirror.copy()))
        busy.setdefault(place, []).append(burst)
    axi.finish()
    for burst, bytes_ in reads:
        assert burst.data == bytes_.tobytes() and set(burst.responses) == {OKAY}
    np.testing.assert_array_equal(everything, expected)
    axi.model.check()
    counted = axi.model.statistics()
    assert counted.read.bursts == len(reads) and counted.write.bursts == 300 - len(reads)
    assert counted.read.bytes == sum(len(bytes_) for _, bytes_ in reads)
    assert counted.cycles == axi.cycle


def test_regions_may_be_added(memory):
    axi = manager(memory)
    region = memory.allocate("late", PAGE)
    region.data[:16] = range(16)
    burst = axi.read(region.address)
    axi.finish()
    assert burst.data == bytes(range(16))


# Latency and bandwidth


def _one_by_one(axi: Manager, count: int, ask) -> np.ndarray:
    bursts = []
    for _ in range(count):
        bursts.append(ask())
        axi.finish()
    return np.array([b.answered - (b.accepted if b.full < 0 else max(b.full, b.accepted)) for b in bursts])


@pytest.mark.parametrize(
    "latency",
    [
        Latency(0), Latency(100), Latency(102), Latency(200, "triangular", 120), Latency(100, "exponential", 150),
        Latency(100, "lognormal", 150, 0.6),
    ],
)  # fmt: skip
def test_latency(memory, latency):
    """A cycle is 4 ns. The cycle in which something is offered is a whole number, hence the additional half cycle."""
    region = memory.allocate("r", PAGE)
    axi = manager(memory, replace(IDEAL, read_latency=latency, write_latency=latency))
    expected = max(1.0, latency.mean / 4)
    rounded = 0.5 if latency.mean % 4 or latency.tail != "none" else 0
    for side, ask in (("read", lambda: axi.read(region.address, 2)),
                      ("write", lambda: axi.write(region.address, bytes(32)))):  # fmt: skip
        seen = _one_by_one(axi, 1500 if latency.tail != "none" else 20, ask)
        assert seen.mean() == pytest.approx(expected + rounded, rel=0.05)
        assert seen.min() >= latency.minimum / 4
        if latency.tail == "none":
            assert seen.min() == seen.max()
        counted = getattr(axi.model.statistics(), side)
        assert (counted.latency_min, counted.latency_max) == (seen.min(), seen.max())
        assert counted.latency_mean == pytest.approx(seen.mean())


def _stream(axi: Manager, region: Region, *, reads: int, writes: int, beats: int = 16) -> None:
    for i in range(max(reads, writes)):
        address = region.address + i * beats * axi.bytes % region.size
        if i < reads:
            axi.read(address, beats, i % 16)
        if i < writes:
            axi.write(address, bytes(beats * axi.bytes), i % 16)


@pytest.mark.parametrize(
    ("timing", "reads", "writes"),
    [
        (MemoryTiming(), 16.0, 16.0),
        (MemoryTiming(read_gb_per_s=1, write_gb_per_s=2.5), 4.0, 10.0),
        (MemoryTiming(read_gb_per_s=2, read_header_bytes=20, read_payload_bytes=64), 8 * 64 / 84, 16.0),
        (MemoryTiming(write_gb_per_s=2, write_header_bytes=24, write_payload_bytes=128), 16.0, 8 * 128 / 152),
        (MemoryTiming(read_gb_per_s=3, shared=True), 6.0, 6.0),
        (MemoryTiming(write_gb_per_s=2, request_header_bytes=24, request_bytes=256), 16.0, 8 - 24 / 16),
    ],
)  # fmt: skip
def test_bandwidth(memory, timing, reads, writes):
    """Both directions at once, 16 bytes a beat, 256 a burst."""
    axi = manager(memory, replace(timing, read_latency=Latency(100), write_latency=Latency(50), reads=64, writes=64))
    _stream(axi, memory.allocate("r", 4 * PAGE), reads=600, writes=600)
    for _ in range(500):
        axi.step()
    axi.model.clear_statistics()
    before = axi.model.statistics()
    assert before.cycles == before.read.beats == 0
    for _ in range(6000 if not timing.shared else 10000):
        axi.step()
        if not (axi._ar and axi._w):
            break
    counted = axi.model.statistics()
    assert counted.cycles > 5000
    assert counted.read.bytes / counted.cycles == pytest.approx(reads, rel=0.05)
    assert counted.write.beats * 16 / counted.cycles == pytest.approx(writes, rel=0.05)
