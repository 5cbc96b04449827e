"""`VerilatedDevice`: harness and calls, around a stand-in that copies (standin_device.v), and with the RTL."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from hotline_device.device import BusError, DeviceError, DeviceTimeout
from hotline_device.host_memory import PAGE_BYTES
from hotline_hw.spec.descriptors import Flag, Opcode, Status
from hotline_hw.spec.params import PRESETS
from hotline_hw.spec.shell_registers import DmaIrq, shell_register, window_offset
from hotline_sim.memory.model import ProtocolError
from hotline_sim.memory.timing import PRESETS as TIMINGS
from hotline_sim.memory.timing import Latency
from hotline_sim.verilated import VerilatedDevice, build
from tests.support.tools import needs
from tests.system.standin import (
    BREAK_RULE,
    CONTROL,
    CORE_CYCLES,
    CORE_ON,
    DEAF,
    IDEAL,
    NEVER,
    SOURCE,
    STANDIN,
    STATUS,
    check_registers_beside_a_wait,
    copy,
)

pytestmark = needs("verilator")

TINY = PRESETS["tiny"]


@pytest.fixture
def opened(monkeypatch):
    """Opens devices whose top module is the stand-in."""
    monkeypatch.setattr(build, "core_verilog", lambda geometry, top: STANDIN)
    devices: list[VerilatedDevice] = []

    def open_device(**options) -> VerilatedDevice:
        devices.append(VerilatedDevice(TINY, **{"timing": "ideal", **options}))
        return devices[-1]

    yield open_device
    for device in devices:
        device.close()


@pytest.mark.parametrize("timing", sorted(TIMINGS))
def test_copies(opened, timing):
    device = opened(timing=timing)
    region = device.memory.allocate("first", 2 * PAGE_BYTES)
    region.data[:] = np.random.default_rng(1).integers(0, 256, region.size)
    before = region.data.copy()
    for beats in (1, 2, 16):
        copy(device, region.address, region.address + PAGE_BYTES, beats)
        before[PAGE_BYTES : PAGE_BYTES + 16 * beats] = before[: 16 * beats]
        np.testing.assert_array_equal(region.data, before)
        assert device.read(STATUS) == 0
    counted = device.memory_statistics()
    assert (counted.read.bytes, counted.write.bytes) == (19 * 16, 19 * 16)
    assert counted.cycles == device.cycles - 4  # all cycles except those of the reset
    device.clear_memory_statistics()
    assert device.memory_statistics().read.bytes == 0


def test_regions_that_come_later(opened):
    device = opened()
    first = device.memory.allocate("first", PAGE_BYTES)
    first.data[:] = 7
    copy(device, first.address, first.address + 2048, 1)
    second = device.memory.allocate("second", PAGE_BYTES)
    copy(device, first.address, second.address, 16)
    assert (second.data[:256] == 7).all() and not second.data[256:].any()


def test_errors_of_memory(opened):
    device = opened()
    region = device.memory.allocate("first", PAGE_BYTES)
    copy(device, region.address - PAGE_BYTES, region.address + region.size, 2)
    assert device.read(STATUS) == 3 << 4 | 3 << 2
    device.answer(region.address + 64, 16, 2)
    copy(device, region.address + 64, region.address, 1)
    assert device.read(STATUS) == 2 << 2
    device.clear_answers()
    copy(device, region.address + 64, region.address, 1)
    assert device.read(STATUS) == 0


def test_latency_in_cycles(opened):
    """Two devices differ only by the memory's latencies. The clock is the model's."""
    cycles = []
    for ns in (400, 4000):
        device = opened(timing=replace(IDEAL, read_latency=Latency(ns), write_latency=Latency(2 * ns)))
        region = device.memory.allocate("first", PAGE_BYTES)
        copy(device, region.address, region.address + 256, 16)
        cycles.append(device.cycles)
    assert cycles[1] - cycles[0] == (4000 - 400) * 3 / 4


def test_same_seed_same_cycles(opened):
    cycles = []
    for seed in (3, 3, 4):
        device = opened(timing="pcie3-x16", seed=seed)
        region = device.memory.allocate("first", PAGE_BYTES)
        for _ in range(10):
            copy(device, region.address, region.address + 256, 16)
        cycles.append(device.cycles)
    assert cycles[0] == cycles[1] != cycles[2]


def test_core_clock_runs_when_enabled(opened):
    """It also runs in reset. It counts what the core's registers see of it."""
    device = opened()
    assert device.core_cycles == 4
    region = device.memory.allocate("first", PAGE_BYTES)
    copy(device, region.address, region.address, 4)
    assert device.core_cycles == 4 and device.read(CORE_CYCLES) == 0
    device.write(CONTROL, CORE_ON)
    copy(device, region.address, region.address, 4)
    device.write(CONTROL, 0)
    ran = device.core_cycles - 4
    assert ran > 10 and device.read(CORE_CYCLES) == ran
    assert device.cycles >= ran + 4 + 20  # of the copy before, and of its register accesses
    assert device.core_cycles == ran + 4


def test_registers_that_are_not_there(opened):
    device = opened()
    for access in (lambda: device.read(0x1020), lambda: device.write(0x0, 1)):
        with pytest.raises(BusError, match="SLVERR: no such register"):
            access()
    with pytest.raises(BusError, match="address space has 13 bits"):
        device.read(0x2000)
    with pytest.raises(ValueError, match="does not fit"):
        device.write(SOURCE, 1 << 32)
    device.write(SOURCE, 5)
    assert device.read(SOURCE) == 5


def test_timeouts(opened):
    device = opened(quiet_limit=500)
    assert not device.wait_irq(0)
    with pytest.raises(DeviceTimeout, match="waiting for irq: no transfer of the AXI manager for 500 cycles"):
        device.wait_irq()
    device.write(CONTROL, DEAF)
    for access in (lambda: device.read(STATUS), lambda: device.write(SOURCE, 0)):
        with pytest.raises(DeviceTimeout, match="no answer in 500 clock cycles"):
            access()
    device.reset()
    assert device.read(STATUS) == 0
    # A slow memory alone is not an error, as long as it is faster than the limit.
    slow = opened(timing=replace(IDEAL, read_latency=Latency(2_000_000)))
    region = slow.memory.allocate("first", PAGE_BYTES)
    copy(slow, region.address, region.address, 1)
    assert slow.cycles > 500_000


def test_wait_with_a_limit_of_time(opened):
    device = opened(timing=replace(IDEAL, read_latency=Latency(1e9)))
    region = device.memory.allocate("first", PAGE_BYTES)
    copy(device, region.address, region.address, 1, wait=False)
    begin = time.monotonic()
    assert device.wait_irq(0.2) is False
    assert time.monotonic() - begin >= 0.2


def test_memory_works_on_through_a_reset(opened):
    """The stand-in forgets its copy. The beats that memory owes it come all the same, before those of the next."""
    device = opened(timing=replace(IDEAL, read_latency=Latency(100_000)))
    region = device.memory.allocate("first", PAGE_BYTES)
    region.data[:] = 1
    copy(device, region.address, region.address, 16, wait=False)
    device.reset()
    assert device.read(STATUS) == 0 and device.read(SOURCE) == 0
    copy(device, region.address, region.address + 1024, 16)
    assert device.memory_statistics().read.beats == 32 and (region.data == 1).all()


def test_broken_rules_are_told(opened):
    device = opened(timing=replace(IDEAL, ar_stall=0.99))
    region = device.memory.allocate("first", PAGE_BYTES)
    device.write(CONTROL, BREAK_RULE)
    with pytest.raises(ProtocolError, match="broke a rule: cycle .*m_axi_arvalid fell before arready"):
        copy(device, region.address, region.address, 1)
    other = opened()
    region = other.memory.allocate("first", PAGE_BYTES)
    with pytest.raises(ProtocolError, match="m_axi_arlen is 31: 32 beats, of 16 at most"):
        copy(other, region.address, region.address, 32)


def test_registers_beside_a_wait(opened):
    check_registers_beside_a_wait(opened(timing=NEVER), 200, 4)


def test_waves(opened, tmp_path):
    device = opened(waves=tmp_path / "waves.vcd")
    region = device.memory.allocate("first", PAGE_BYTES)
    copy(device, region.address, region.address, 1)
    device.close()
    assert "m_axi_araddr" in (tmp_path / "waves.vcd").read_text()
    with pytest.raises(ValueError, match="must end in .fst or .vcd"):
        opened(waves=tmp_path / "waves.txt")


def test_closed(opened):
    device = opened()
    device.close()
    device.close()
    for call in (lambda: device.read(STATUS), lambda: device.wait_irq(), lambda: device.cycles, device.reset):
        with pytest.raises(DeviceError, match="the device was closed"):
            call()


def test_stream_core_is_no_device():
    with pytest.raises(DeviceError, match="has no AXI manager"):
        VerilatedDevice(TINY.stream_core())


# The RTL


@pytest.mark.parametrize("timing", ["ideal", "pcie4-x16"])
def test_fences(timing):
    """Descriptors that do nothing are fetched, completed and reported, one after the other. The core's clock stands."""
    with VerilatedDevice(TINY, timing=timing) as device:
        rings = device.memory.allocate("rings", 2 * PAGE_BYTES)
        descriptors, completions = (rings.array((64, 16), np.uint32, at) for at in (0, PAGE_BYTES))
        low, high = rings.address & 0xFFFFFFFF, rings.address >> 32
        settings = {
            "RING_LO": low, "RING_HI": high, "CPL_LO": low + PAGE_BYTES, "CPL_HI": high, "RING_SIZE": 6,
            "DMA_IRQ_ENABLE": DmaIrq.COMPLETION,
        }  # fmt: skip
        for name, value in settings.items():
            device.write(shell_register(name).offset, value)
        for at, value in enumerate((low, high, 2, 3)):
            device.write(window_offset(0) + 4 * at, value)
        device.write(shell_register("DMA_CONTROL").offset, 1)
        for index in range(3):
            descriptors[index, :2] = Opcode.FENCE | Flag.INTERRUPT << 8, 1000 + index
            device.write(shell_register("RING_PRODUCER").offset, index + 1)
            assert device.wait_irq(30)
            assert completions[index, 0] == 1000 + index
            assert completions[index, 1] == 1 << 31 | Status.OK << 8 | Opcode.FENCE
            assert not completions[index + 1].any()
            device.write(shell_register("CPL_CONSUMER").offset, index + 1)
            device.write(shell_register("DMA_IRQ_STATUS").offset, DmaIrq.COMPLETION)
            assert not device.wait_irq(0)
        counted = device.memory_statistics()
        assert counted.read.bytes >= 3 * 64 and counted.write.bytes == 3 * 64
        assert device.core_cycles < device.cycles
