"""Settings of a memory's timing: what is refused, and what the presets stand for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hotline_device.host_memory import HostMemory
from hotline_sim.memory.timing import PRESETS, Latency, MemoryTiming, memory_timing
from tests.support.axi_manager import manager
from tests.support.tools import needs

pytestmark = needs("g++")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clock_mhz": 0}, "clock_mhz=0 of a memory's timing must be a frequency above 0"),
        ({"read_gb_per_s": 0}, "read_gb_per_s=0 .* a rate above 0, or None"),
        ({"shared": True, "write_gb_per_s": 1}, "write_gb_per_s=1 .* None where reads and writes share a link"),
        ({"read_payload_bytes": 96}, "read_payload_bytes=96 .* a power of two from 64 to 4096"),
        ({"write_header_bytes": -1}, "write_header_bytes=-1 .* a number of bytes, 0 or more"),
        ({"reads": 0}, "reads=0 .* from 1 to 65536"),
        ({"interleave": 1.1}, "interleave=1.1 .* a probability from 0 to 1"),
        ({"r_gap": 1}, "r_gap=1 .* below 1"),
    ],
)
def test_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        MemoryTiming(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"minimum": -1}, "minimum=-1 of a latency must be a number, 0 or more"),
        ({"minimum": float("nan")}, "minimum=nan"),
        ({"minimum": 1, "tail": "gamma"}, "tail='gamma' .* none, triangular, exponential, lognormal"),
        ({"minimum": 1, "tail_mean": 2}, "tail='none' with tail_mean=2"),
        ({"minimum": 1, "tail": "triangular"}, "tail='triangular' with tail_mean=0"),
        ({"minimum": 1, "tail": "lognormal", "tail_mean": 1}, "tail='lognormal' with sigma=0"),
    ],
)
def test_refused_latency(settings, message):
    with pytest.raises(ValueError, match=message):
        Latency(**settings)


def test_by_name():
    assert memory_timing("ddr4-local") is PRESETS["ddr4-local"]
    own = MemoryTiming(reads=3)
    assert memory_timing(own) is own
    with pytest.raises(ValueError, match="unknown memory timing 'hbm'; there are ideal, pcie3-x16"):
        memory_timing("hbm")


# GB/s of data that 64-byte beats of 256-byte bursts bring, one direction alone: a link's bits less its headers, or
# the bus.
@pytest.mark.parametrize(
    ("name", "reads", "writes"),
    [
        ("ideal", 16, 16), ("pcie3-x16", 15.754 * 256 / 276, 15.754 * 256 / 280), ("pcie4-x16", 16, 16),
        ("pcie5-x16", 16, 16), ("ddr4-local", 16, 16),
    ],
)  # fmt: skip
def test_presets_bandwidth(name, reads, writes):
    memory = HostMemory()
    region = memory.allocate("r", 1 << 16)
    for expected, side in ((reads, "read"), (writes, "write")):
        axi = manager(memory, name, axi_bits=512)
        for i in range(1000):
            address = region.address + 256 * (i % 256)
            if side == "read":
                axi.read(address, 4, i % 16)
            else:
                axi.write(address, bytes(256), i % 16)
        while axi._w or axi._ar:
            axi.step()
            if axi.cycle == 400:
                axi.model.clear_statistics()
        counted = axi.model.statistics()
        beats = getattr(counted, side).beats
        assert beats * 64 / counted.cycles / 4 == pytest.approx(expected, rel=0.05)
        assert getattr(counted, side).utilisation <= 1.02
    memory.close()


@pytest.mark.parametrize(("name", "outstanding"), [("pcie3-x16-bridge", 32), ("pcie4-x16-bridge", 32), ("zynq-hpc", 8)])
def test_rows_come_at_the_rate_of_littles_law(name, outstanding):
    """Reads of 64 bytes, one beat each, as fast as the port takes them: so many are outstanding, and no more.

    Reads with one id wait for one another, which costs some of it.
    """
    memory = HostMemory()
    region = memory.allocate("r", 1 << 16)
    axi = manager(memory, name, axi_bits=512)
    for i in range(2000):
        axi.read(region.address + 64 * (i % 1024), 1, i % 16)
    while axi._ar:
        axi.step()
        if axi.cycle == 1000:
            axi.model.clear_statistics()
    read = axi.model.statistics().read
    assert read.peak == outstanding
    gb_per_s = read.beats * 64 / (axi.model.statistics().cycles * 4)
    assert gb_per_s == pytest.approx(outstanding * 64 / (read.latency_mean * 4), rel=0.05)
    assert gb_per_s == pytest.approx(outstanding * 64 / axi.model.timing.read_latency.mean, rel=0.15)
    memory.close()


@pytest.mark.parametrize(("name", "least", "most"), [("pcie4-x16", 536, 600), ("ddr4-local", 120, 150)])
def test_presets_latency(name, least, most):
    """Latencies in ns, of single reads of 64 bytes."""
    memory = HostMemory()
    region = memory.allocate("r", 4096)
    axi = manager(memory, name, axi_bits=512)
    for _ in range(300):
        axi.read(region.address)
        axi.finish()
    assert least < axi.model.statistics().read.latency_mean * 4 < most
    memory.close()


@pytest.mark.parametrize("timing", [*PRESETS.values(), MemoryTiming(read_gb_per_s=0.02, shared=True)])
def test_longest_silence(timing):
    """No arrangement of bursts makes the memory silent for longer."""
    memory = HostMemory()
    region = memory.allocate("r", 1 << 16)
    axi = manager(memory, replace(timing, reads=4, writes=4), axi_bits=128)
    for i in range(60):
        axi.read(region.address + 256 * i, 16, i % 16)
        axi.write(region.address + 256 * i, bytes(256), i % 16)
    quiet = longest = 0

    def count(pins) -> None:
        nonlocal quiet, longest
        moves = (pins.ar.valid and pins.arready) or (pins.aw.valid and pins.awready) or (pins.wvalid and pins.wready)
        quiet = 0 if moves or pins.rvalid or pins.bvalid else quiet + 1
        longest = max(longest, quiet)

    axi.meddle = count
    axi.finish(2_000_000)
    assert longest <= timing.longest_silence
    memory.close()
