"""`CocotbDevice`: server and calls, around a stand-in that copies (standin_device.v), and with the RTL."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from hotline_device.device import BusError, Device, DeviceError, DeviceTimeout
from hotline_device.host_memory import PAGE_BYTES
from hotline_device.registry import open_device
from hotline_device.ring_entries import Completion, Descriptor
from hotline_host.driver.rings import Rings
from hotline_hw.spec.descriptors import Flag, Opcode, Status
from hotline_hw.spec.params import PRESETS
from hotline_hw.spec.regmap import register
from hotline_hw.spec.shell_registers import shell_register
from hotline_hw.spec.words import TABLE_FIELD
from hotline_sim.cocotb_backend import CocotbDevice, build
from hotline_sim.cocotb_backend.build import default_simulator
from hotline_sim.memory.model import ProtocolError
from hotline_sim.memory.timing import PRESETS as TIMINGS
from hotline_sim.memory.timing import Latency
from hotline_sim.model.device import ModelDevice
from hotline_sim.verilated import VerilatedDevice
from tests.support.tools import needs, simulators
from tests.system.device_programs import Bench, Seen, check_equal, random_programme
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

TINY = PRESETS["tiny"]
UNTIDY = replace(TIMINGS["ddr4-local"], ar_stall=0.3, aw_stall=0.3, w_stall=0.3, r_gap=0.3, b_gap=0.3, interleave=0.5)

STANDIN_SIMULATOR = default_simulator()

pytestmark = needs("g++")
needs_standin = needs(*(["iverilog"] if STANDIN_SIMULATOR == "icarus" else ["verilator"]))


@pytest.fixture
def opened(monkeypatch):
    """Opens devices whose top module is the stand-in: in Icarus if it is installed, else in Verilator."""
    monkeypatch.setattr(build, "core_verilog", lambda geometry, top: STANDIN)
    devices: list[CocotbDevice] = []

    def open_standin(**options) -> CocotbDevice:
        devices.append(CocotbDevice(TINY, STANDIN_SIMULATOR, **{"timing": "ideal", **options}))
        return devices[-1]

    yield open_standin
    for device in devices:
        device.close()


@needs_standin
def test_copies(opened):
    """It also copies through regions that are added later, and the memory counts."""
    device = opened(timing="pcie4-x16")
    first = device.memory.allocate("first", PAGE_BYTES)
    first.data[:] = np.random.default_rng(1).integers(0, 256, first.size)
    before = first.data.copy()
    copy(device, first.address, first.address + 2048, 16)
    second = device.memory.allocate("second", PAGE_BYTES)
    copy(device, first.address + 64, second.address, 2)
    before[2048:][:256] = before[:256]
    np.testing.assert_array_equal(first.data, before)
    np.testing.assert_array_equal(second.data[:32], before[64:96])
    assert not second.data[32:].any() and device.read(STATUS) == 0
    counted = device.memory_statistics()
    assert (counted.read.bytes, counted.write.bytes) == (18 * 16, 18 * 16)
    assert counted.cycles == device.cycles - 4  # all cycles except those of the reset
    device.clear_memory_statistics()
    assert device.memory_statistics().read.bytes == 0


@needs_standin
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
    with pytest.raises(ValueError, match=r"2 \(SLVERR\) or 3 \(DECERR\)"):
        device.answer(region.address, 16, 1)


@needs_standin
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
    assert device.core_cycles == ran + 4 < device.cycles


@needs_standin
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


@needs_standin
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


@needs_standin
def test_wait_with_a_limit_of_time_and_reset(opened):
    device = opened(timing=replace(IDEAL, read_latency=Latency(1e9)))
    region = device.memory.allocate("first", PAGE_BYTES)
    copy(device, region.address, region.address, 1, wait=False)
    begin = time.monotonic()
    assert device.wait_irq(0.2) is False
    assert time.monotonic() - begin >= 0.2
    assert device.read(STATUS) == 1
    device.reset()
    assert device.read(STATUS) == 0 and device.read(SOURCE) == 0


@needs_standin
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


@needs("iverilog")
def test_undefined_pins_are_told(opened, monkeypatch):
    undefined = STANDIN.replace("m_axi_araddr = {32'd1, source}", "m_axi_araddr = {32'd1, 32'hx}")
    monkeypatch.setattr(build, "core_verilog", lambda geometry, top: undefined)
    device = opened()
    with pytest.raises(ProtocolError, match="broke a rule: cycle [0-9]+: m_axi_araddr is 0+1X+"):
        copy(device, 0, 0, 1)


@needs_standin
def test_registers_beside_a_wait(opened):
    check_registers_beside_a_wait(opened(timing=NEVER), 40, 6)


@needs_standin
def test_goes_on_after_an_interruption(opened):
    """Ctrl-C ends only the wait."""
    device = opened(timing=replace(IDEAL, read_latency=Latency(1e9)))
    region = device.memory.allocate("first", PAGE_BYTES)
    copy(device, region.address, region.address, 1, wait=False)
    for delay in (0.1, 0.13, 0.17):
        timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            device.wait_irq(10)
        timer.join()
        assert device.read(STATUS) == 1
        device.write(CONTROL, CORE_ON)


@pytest.mark.parametrize("simulator", simulators("icarus", slow=("verilator",)))
def test_waves(monkeypatch, tmp_path, simulator):
    monkeypatch.setattr(build, "core_verilog", lambda geometry, top: STANDIN)
    path = tmp_path / ("waves.fst" if simulator == "icarus" else "waves.vcd")
    with CocotbDevice(TINY, simulator, timing="ideal", waves=path) as device:
        region = device.memory.allocate("first", PAGE_BYTES)
        copy(device, region.address, region.address, 1)
    assert path.stat().st_size > 100


@needs_standin
def test_closed(opened):
    device = opened()
    device.close()
    device.close()
    for call in (lambda: device.read(STATUS), lambda: device.wait_irq(), device.memory_statistics, device.reset):
        with pytest.raises(DeviceError, match="the device was closed"):
            call()


def test_stream_core_is_no_device():
    with pytest.raises(DeviceError, match="has no AXI manager"):
        CocotbDevice(TINY.stream_core())


# The RTL


@pytest.fixture(params=simulators("icarus", slow=("verilator",)))
def simulator(request) -> str:
    return request.param


@pytest.fixture
def device(simulator) -> Iterator[Device]:
    with open_device(f"cocotb:{simulator}", TINY, timing="ideal") as device:
        yield device


def test_registers(device):
    assert device.read(register("ID").offset) == register("ID").reset
    assert device.read(shell_register("CAP_WORKING").offset) == TINY.working_rows
    device.write(shell_register("DMA_DELAY").offset, 0x89ABCDEF)
    assert device.read(shell_register("DMA_DELAY").offset) == 0x89ABCDEF
    with pytest.raises(BusError, match="SLVERR"):
        device.write(shell_register("CAP_DMA").offset, 0)
    device.reset()
    assert device.read(shell_register("DMA_DELAY").offset) == 0


def test_driver_gathers(device):
    """A FENCE, and a GATHER of a list, through the driver's rings and interrupts."""
    rings = Rings(device, timeout=60)
    assert rings.run([Descriptor(opcode=Opcode.FENCE)])[0].status == Status.OK
    data = device.memory.allocate("data", 2 * PAGE_BYTES)
    rows = data.array((64, 16), np.float32, PAGE_BYTES)
    rows[:] = np.arange(64 * 16).reshape(64, 16)
    rings.windows.expose(data, read=True, write=True)
    table = data.address + PAGE_BYTES
    for name, value in (
        ("TABLE_INDEX", 2), ("TABLE_LO", table & 0xFFFF_FFFF), ("TABLE_HI", table >> 32), ("TABLE_ROWS", 64),
        ("TABLE_STRIDE", 4),
    ):  # fmt: skip
        device.write(shell_register(name).offset, value)
    wanted = np.array([5, 63, 0, 5, 17], np.uint64)
    data.array(5, np.uint64)[:] = wanted | np.uint64(2 << TABLE_FIELD.low)
    gather = Descriptor(
        opcode=Opcode.GATHER, flags=Flag.LIST, source=data.address, count=5, operand=64,
        targets=(data.address + 2048, 0, 0),
    )  # fmt: skip
    tag = rings.submit(replace(gather, flags=gather.flags | Flag.INTERRUPT))
    completion: Completion = rings.wait(tag)
    assert completion.listed == 5 and rings.statistics.interrupts
    np.testing.assert_array_equal(data.array((5, 16), np.float32, 2048), rows[wanted.astype(int)])


@cache
def _model(seed: int) -> Seen:
    with ModelDevice(TINY) as device:
        return _programme(device, seed)


@cache
def _verilated(seed: int) -> tuple[int, int, Seen]:
    with VerilatedDevice(TINY, timing=UNTIDY, seed=seed) as device:
        seen = _programme(device, seed)
        return device.cycles, device.core_cycles, seen


def _programme(device: Device, seed: int) -> Seen:
    bench = Bench(device, TINY, seed)
    random_programme(bench, 2)
    return bench.seen()


@pytest.mark.parametrize("seed", [1, 2])
def test_random_programme_as_on_model_and_in_the_cycles_of_verilated(simulator, seed):
    """The device leaves the same bytes as the golden model. It takes the same clock cycles as the other harness, whose
    memory and clocks are stepped by other code."""
    with CocotbDevice(TINY, simulator, timing=UNTIDY, seed=seed) as device:
        found = _programme(device, seed)
        cycles = device.cycles, device.core_cycles
    check_equal(found, _model(seed))
    *expected, seen = _verilated(seed)
    check_equal(seen, _model(seed))
    assert list(cycles) == expected
