"""The memory model: the order of bursts, how many there may be, and when bytes are seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hotline_device.host_memory import PAGE_BYTES, HostMemory
from hotline_sim.memory.timing import PRESETS, Latency, MemoryTiming
from tests.support.axi_manager import Burst, Manager, manager
from tests.support.tools import needs

pytestmark = needs("g++")

IDEAL = PRESETS["ideal"]
JITTER = replace(IDEAL, read_latency=Latency(40, "exponential", 200), write_latency=Latency(40, "exponential", 200))


@pytest.fixture
def memory():
    memory = HostMemory()
    yield memory
    memory.close()


@pytest.fixture
def region(memory):
    return memory.allocate("r", 4 * PAGE_BYTES)


def _mixed(axi: Manager, region, count: int, ids: int, beats: int = 4) -> list[list[Burst]]:
    place = lambda i: region.address + i * 16 * beats % region.size  # noqa: E731
    reads = [axi.read(place(i), beats, i % ids) for i in range(count)]
    writes = [axi.write(place(i), bytes(16 * beats), i % ids) for i in range(count)]
    axi.finish()
    return [reads, writes]


@pytest.mark.parametrize("ids", [1, 3, 16])
def test_same_id_in_order_others_overtake(memory, region, ids):
    axi = manager(memory, JITTER)
    for bursts, counted in zip(_mixed(axi, region, 200, ids), _sides(axi), strict=True):
        for i in range(ids):
            done = [burst.done for burst in bursts[i::ids]]
            assert done == sorted(done)
        overtaken = sum(any(b.done < a.done for b in bursts[i:]) for i, a in enumerate(bursts))
        assert counted.overtaken == overtaken
        assert (overtaken > 20) == (ids > 1)


def test_no_jitter_no_overtaking(memory, region):
    axi = manager(memory, replace(IDEAL, read_latency=Latency(100), write_latency=Latency(100)))
    _mixed(axi, region, 100, 16)
    assert [counted.overtaken for counted in _sides(axi)] == [0, 0]


@pytest.mark.parametrize("interleave", [0, 0.1, 1])
def test_interleaving(memory, region, interleave):
    axi = manager(memory, replace(JITTER, interleave=interleave), ready=0.6)
    _mixed(axi, region, 150, 16, beats=8)
    ids = [rid for _, _, _, rvalid, rid, _, _ in axi.trace if rvalid]
    switches = axi.model.statistics().read.interleaved
    if interleave == 0:
        assert switches == 0
    else:
        assert 150 * 7 * interleave / 8 < switches <= 150 * 7 and len(set(ids)) == 16


@pytest.mark.parametrize("limit", [1, 3, 20])
def test_outstanding(memory, region, limit):
    slow = replace(IDEAL, read_latency=Latency(800), write_latency=Latency(800), reads=limit, writes=limit)
    axi = manager(memory, slow)
    reads, writes = _mixed(axi, region, 100, 16, beats=1)
    assert [counted.peak for counted in _sides(axi)] == [limit, limit]
    for bursts in (reads, writes):
        for first, later in zip(bursts, bursts[limit:], strict=False):
            assert first.done < later.accepted
    # Little's law: 200 cycles a burst, `limit` at a time. It takes one more cycle until the place is taken again.
    assert axi.cycle == pytest.approx(100 / limit * 201, rel=0.05)


@pytest.mark.parametrize(("setting", "output"), [("ar_stall", 0), ("aw_stall", 1), ("w_stall", 2)])
def test_stalls(memory, region, setting, output):
    """Measures the share of cycles in which ready is low while there is something to take."""
    axi = manager(memory, replace(IDEAL, **{setting: 0.3}))
    waited, moved = 0, 0
    valid = {0: lambda pins: pins.ar.valid, 1: lambda pins: pins.aw.valid, 2: lambda pins: pins.wvalid}[output]
    ready = {0: lambda pins: pins.arready, 1: lambda pins: pins.awready, 2: lambda pins: pins.wready}[output]

    def count(pins) -> None:
        nonlocal waited, moved
        waited += valid(pins) and not ready(pins)
        moved += valid(pins) and ready(pins)

    axi.meddle = count
    _mixed(axi, region, 2000, 16, beats=1)
    assert moved == 2000
    assert waited / (waited + moved) == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize(("setting", "output"), [("r_gap", 3), ("b_gap", 6)])
def test_gaps(memory, region, setting, output):
    axi = manager(memory, replace(IDEAL, **{setting: 0.5}))
    _mixed(axi, region, 1000, 16, beats=1)
    offered = [step[output] for step in axi.trace]
    last = len(offered) - offered[::-1].index(1)
    assert sum(offered) / (last - offered.index(1)) == pytest.approx(0.5, abs=0.05)


def test_data_before_its_address(memory, region):
    """AW is held back. With early_data W goes ahead, and its data is written where AW says."""
    early = replace(IDEAL, aw_stall=0.95, early_data=0.9)
    axi = manager(memory, early)
    bursts = [axi.write(region.address + 64 * i, bytes([i]) * 64) for i in range(20)]
    axi.finish()
    assert sum(burst.full < burst.accepted for burst in bursts) > 10
    assert all(set(region.data[64 * i : 64 * i + 64]) == {i} for i in range(20))
    axi.model.check()
    axi = manager(memory, replace(early, early_data=0))
    bursts = [axi.write(region.address + 64 * i, bytes([i]) * 64) for i in range(20)]
    axi.finish()
    assert all(burst.accepted < burst.full for burst in bursts)


@pytest.mark.parametrize("late", [False, True])
def test_when_written_bytes_are_in_memory(memory, region, late):
    axi = manager(memory, replace(IDEAL, write_latency=Latency(200), late_writes=float(late)))
    axi.pins.bready = 1
    burst = axi.write(region.address, bytes([9]) * 32)
    while burst.full < 0:
        assert not region.data.any()
        axi.step()
    for _ in range(burst.full + 50 - axi.cycle):
        assert region.data.any() != late
        axi.step()
    axi.finish()
    assert (region.data[:32] == 9).all() and burst.answered == burst.full + 50


@pytest.mark.parametrize("early", [False, True])
def test_when_a_read_takes_its_bytes(memory, region, early):
    axi = manager(memory, replace(IDEAL, read_latency=Latency(200), early_reads=float(early)))
    burst = axi.read(region.address)
    while burst.accepted < 0:
        axi.step()
    region.data[:16] = 7
    axi.finish()
    assert burst.data == (bytes(16) if early else bytes([7]) * 16)


def test_read_after_response_sees_the_write(memory, region):
    """Whatever is late or early, a read that is sent after B was taken has the new bytes. One sent before need not."""
    axi = manager(memory, replace(JITTER, late_writes=0.5, early_reads=0.5))
    stale = 0
    for i in range(1, 200):
        burst = axi.write(region.address, bytes([i]) * 16, i % 16)
        while burst.full < 0:
            axi.step()
        soon = axi.read(region.address, 1, i % 16)
        while burst.done < 0:
            axi.step()
        later = axi.read(region.address, 1, (i + 1) % 16)
        axi.finish()
        assert later.data == bytes([i]) * 16
        stale += soon.data != later.data
    assert 20 < stale < 180


def test_same_seed_same_cycles(memory, region):
    untidy = replace(JITTER, interleave=0.3, ar_stall=0.3, aw_stall=0.3, w_stall=0.3, r_gap=0.3, b_gap=0.3, error=0.1)
    traces = []
    for seed in (1, 1, 2):
        axi = manager(memory, untidy, seed=seed)
        axi.rng = manager(memory, seed=5).rng
        _mixed(axi, region, 50, 16)
        traces.append(axi.trace)
    assert traces[0] == traces[1] != traces[2]


def test_reset_forgets(memory, region):
    """A burst under way is not answered. A write takes place only if it had been accepted in full."""
    axi = manager(memory, MemoryTiming(read_latency=Latency(400), write_latency=Latency(400), late_writes=1))
    axi.read(region.address)
    axi.write(region.address, bytes([5]) * 16)
    axi.write(region.address + 64, bytes([6]) * 64)
    for _ in range(4):
        axi.step()
    axi.model.reset()
    assert (region.data[:16] == 5).all() and not region.data[16:].any()
    assert not any((axi.pins.rvalid, axi.pins.bvalid, axi.pins.arready, axi.pins.ar.valid))
    fresh = Manager(axi.model)
    burst = fresh.read(region.address)
    fresh.finish()
    assert burst.data == bytes([5]) * 16 and burst.answered == burst.accepted + 100
    axi.model.check()


def _sides(axi: Manager):
    counted = axi.model.statistics()
    return counted.read, counted.write
