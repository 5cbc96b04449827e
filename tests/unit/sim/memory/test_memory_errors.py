"""The memory model: errors that it answers with, and rules that it makes a manager keep."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hotline_device.host_memory import BASE_ADDRESS, PAGE_BYTES, HostMemory
from hotline_sim.memory.model import ProtocolError
from hotline_sim.memory.timing import PRESETS
from tests.support.axi_manager import DECERR, OKAY, SLVERR, guarded, manager
from tests.support.tools import needs

pytestmark = needs("g++")

IDEAL = PRESETS["ideal"]


@pytest.fixture
def memory():
    memory = HostMemory()
    yield memory
    memory.close()


@pytest.fixture
def region(memory):
    return memory.allocate("r", 2 * PAGE_BYTES)


@pytest.mark.parametrize("offset", [-PAGE_BYTES, -64, PAGE_BYTES, PAGE_BYTES + 64, 2 << 20, 1 << 62, -BASE_ADDRESS])
def test_no_mans_land(offset):
    """The answer is DECERR and nothing is touched, also right before and behind a region."""
    memory, everything = guarded(np.random.default_rng(3), 1)
    before = everything.copy()
    axi = manager(memory)
    read = axi.read(BASE_ADDRESS + offset, 4)
    write = axi.write(BASE_ADDRESS + offset, bytes(64))
    axi.finish()
    assert read.responses == [DECERR] * 4 and write.responses == [DECERR]
    assert not set(read.data) - {0xEE}
    np.testing.assert_array_equal(everything, before)
    counted = axi.model.statistics()
    assert (counted.read.errors, counted.read.bytes) == (counted.write.errors, counted.write.bytes) == (1, 0)
    axi.model.check()


def test_half_in_a_region():
    """A burst that runs out of a region, which also breaks a rule, touches nothing of it."""
    memory, everything = guarded(np.random.default_rng(3), 1)
    before = everything.copy()
    axi = manager(memory)
    for address in (BASE_ADDRESS - 32, BASE_ADDRESS + PAGE_BYTES - 32):
        read, write = axi.read(address, 4), axi.write(address, bytes(64))
        axi.finish()
        assert read.responses == [DECERR] * 4 and write.responses == [DECERR]
    np.testing.assert_array_equal(everything, before)
    assert axi.model.violations == 4


@pytest.mark.parametrize("response", [SLVERR, DECERR])
def test_answers_of_addresses(memory, region, response):
    axi = manager(memory)
    axi.model.answer(region.address + 256, 64, response)
    cases = {0: (16, OKAY), 64: (13, response), 256: (1, response), 304: (2, response), 320: (4, OKAY)}
    reads = {at: axi.read(region.address + at, beats, 1) for at, (beats, _) in cases.items()}
    axi.finish()
    writes = {at: axi.write(region.address + at, bytes([1]) * 16 * beats, 1) for at, (beats, _) in cases.items()}
    axi.finish()
    for at, (beats, expected) in cases.items():
        assert reads[at].responses == [expected] * beats and writes[at].responses == [expected]
    written = np.zeros(512, np.uint8)
    written[:256] = written[320:384] = 1
    np.testing.assert_array_equal(region.data[:512], written)
    axi.model.clear_answers()
    again = axi.read(region.address + 256)
    axi.finish()
    assert again.responses == [OKAY]
    with pytest.raises(ValueError, match="response=1: an error is 2"):
        axi.model.answer(0, 1, 1)


def test_random_errors(memory, region):
    """Errors of either kind come in the share that was asked for. A beat's error leaves the others' data right."""
    region.data[:] = np.random.default_rng(1).integers(0, 128, region.size)
    axi = manager(memory, replace(IDEAL, error=0.3))
    reads = [axi.read(region.address + 128 * (i % 64), 8, i % 16) for i in range(600)]
    axi.finish()
    wrong = [burst for burst in reads if set(burst.responses) != {OKAY}]
    assert len(wrong) / 600 == pytest.approx(0.3, abs=0.06) and axi.model.statistics().read.errors == len(wrong)
    alone = [burst for burst in wrong if burst.responses.count(OKAY) == 7]
    assert len(alone) / len(wrong) == pytest.approx(0.5, abs=0.12)
    assert {max(burst.responses) for burst in wrong} == {SLVERR, DECERR}
    assert {next(i for i, r in enumerate(burst.responses) if r) for burst in alone} == set(range(8))
    for burst in reads:
        at = burst.address - region.address
        for beat, response in enumerate(burst.responses):
            held = bytes(region.data[at + 16 * beat : at + 16 * beat + 16])
            assert burst.data[16 * beat : 16 * beat + 16] == (held if response == OKAY else b"\xee" * 16)


def test_failed_writes_write_nothing(memory, region):
    axi = manager(memory, replace(IDEAL, error=0.5))
    writes = [axi.write(region.address + 64 * i, bytes([1]) * 64, i % 16) for i in range(128)]
    axi.finish()
    for i, burst in enumerate(writes):
        assert (region.data[64 * i : 64 * i + 64] == (burst.responses == [OKAY])).all()
    assert 30 < sum(burst.responses == [OKAY] for burst in writes) < 98


# Rules


def _set(**values):
    """Changes a channel or pins while valid is high."""

    def meddle(pins) -> None:
        for name, value in values.items():
            channel, _, field = name.partition("_")
            if field:
                getattr(pins, channel).__setattr__(field, value)
            elif pins.wvalid:
                setattr(pins, name, value)

    return meddle


@pytest.mark.parametrize(
    ("meddle", "message"),
    [
        (_set(ar_burst=0), "m_axi_arburst is 0; it must be INCR"),
        (_set(aw_burst=2), "m_axi_awburst is 2; it must be INCR"),
        (_set(ar_size=2), "m_axi_arsize is 2; beats must be as wide as the bus, 16 bytes"),
        (_set(aw_lock=1), "m_axi_awlock is 1"),
        (_set(ar_id=16), "m_axi_arid is 16"),
        (_set(ar_len=16), "m_axi_arlen is 16: 17 beats, of 16 at most"),
        (_set(aw_addr=BASE_ADDRESS + 0xFE0), "m_axi_awaddr 0x100000fe0: 4 beats cross a boundary of 4 KiB"),
        (_set(wlast=1), "m_axi_wlast is 1 in beat 1 of a burst of 4 beats"),
        (_set(wlast=0), "m_axi_wlast is 0 in beat 4 of a burst of 4 beats"),
        (_set(wstrb=1 << 16), "m_axi_wstrb 0x10000 has more bits than the bus has bytes"),
        (_set(aw_addr=BASE_ADDRESS + 8), "m_axi_wstrb 0xffff has bytes before the burst's address, 8 into the beat"),
    ],
)  # fmt: skip
def test_violations(memory, region, meddle, message):
    axi = manager(memory)
    axi.model.check()
    axi.meddle = meddle
    axi.read(region.address, 4)
    axi.write(region.address, bytes(64))
    for _ in range(30):
        if not axi.model.violations:
            axi.step()
    with pytest.raises(ProtocolError, match=rf"the AXI4 manager broke a rule: cycle \d+: {message}"):
        axi.model.check()


CHANGES = [
    *((f"a{c}_{name}", f"m_axi_a{c}: the payload changed while it waited for ready")
      for c in "rw" for name in ("addr", "id", "len", "size", "burst", "lock", "cache", "prot", "qos")),
    ("ar_valid", "m_axi_arvalid fell before arready"),
    ("aw_valid", "m_axi_awvalid fell before awready"),
    *((name, "m_axi_w: the payload changed while it waited for wready") for name in ("wlast", "wstrb")),
    ("wdata", "m_axi_w: the payload changed while it waited for wready"),
    ("wvalid", "m_axi_wvalid fell before wready"),
]  # fmt: skip


@pytest.mark.parametrize(("pin", "message"), CHANGES, ids=[pin for pin, _ in CHANGES])
def test_stable_until_ready(memory, region, pin, message):
    """A pin changes in the cycle after one in which its channel waited. Waiting itself breaks no rule."""
    axi = manager(memory, replace(IDEAL, ar_stall=0.9, aw_stall=0.9))  # W waits for AW
    axi.read(region.address)
    axi.write(region.address, bytes(16))
    channel, _, field = pin.partition("_")
    waited = False

    def meddle(pins) -> None:
        nonlocal waited
        if waited and field:
            getattr(pins, channel).__setattr__(field, getattr(getattr(pins, channel), field) ^ 1)
        elif waited and pin == "wdata":
            pins.wdata[15] ^= 1
        elif waited:
            setattr(pins, pin, getattr(pins, pin) ^ 1)
        of = {"ar": (pins.ar.valid, pins.arready), "aw": (pins.aw.valid, pins.awready)}
        valid, ready = of.get(channel, (pins.wvalid, pins.wready))
        if valid and not ready and not waited:
            waited = True

    axi.meddle = meddle
    while not axi.model.violations and axi.cycle < 100:
        axi.step()
    assert waited
    with pytest.raises(ProtocolError, match=message):
        axi.model.check()


def test_violations_are_counted(memory, region):
    axi = manager(memory)
    axi.meddle = _set(ar_burst=0)
    for _ in range(3):
        axi.read(region.address)
    axi.finish()
    assert axi.model.violations == 3
    with pytest.raises(ProtocolError, match=r"\(3 violations in all\)"):
        axi.model.check()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axi_bits": 1024}, "axi_bits=1024: .* 32, 64, 128, 256 or 512"),
        ({"id_bits": 17}, "id_bits=17: .* 0 to 16"),
        ({"max_beats": 0}, "max_beats=0: .* 1 to 256"),
    ],
)
def test_unknown_bus(memory, options, message):
    from hotline_sim.memory.model import MemoryModel

    with pytest.raises(ValueError, match=message):
        MemoryModel(memory, **{"axi_bits": 128, "id_bits": 4, **options})
