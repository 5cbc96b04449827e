"""The driver's rings: many descriptors, interrupts and polling, failures, and states that cannot go on."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest

from hotline_device.device import DeviceError, DeviceTimeout
from hotline_device.ring_entries import Descriptor
from hotline_host.driver.rings import Rings
from hotline_host.errors import DriverError
from hotline_hw.spec.descriptors import Flag, Opcode, Status
from hotline_hw.spec.params import PRESETS
from hotline_hw.spec.shell_registers import DmaIrq, shell_register, window_offset
from hotline_sim.model.device import ModelDevice

TINY = PRESETS["tiny"]
FENCE = Descriptor(opcode=Opcode.FENCE)
BAD = Descriptor(opcode=Opcode.LEARN, source=0x40, count=8)


@pytest.fixture
def device():
    with ModelDevice(TINY) as device:
        yield device


class Silent(ModelDevice):
    """A device that does nothing while `deaf`: its doorbells do not reach it."""

    deaf = True

    def write(self, offset, value):
        if not self.deaf or offset != shell_register("RING_PRODUCER").offset:
            super().write(offset, value)


@pytest.mark.parametrize("poll", [False, True])
@pytest.mark.parametrize("log2_size", [0, 1, 3, 6])
def test_many_more_descriptors_than_a_ring_holds(device, poll, log2_size):
    rings = Rings(device, log2_size=log2_size, poll=poll, timeout=5)
    for count in (1, 5, 70, 200):
        completions = rings.run([FENCE] * count)
        assert len(completions) == count
        assert all(b.tag == a.tag + 1 for a, b in pairwise(completions))
    assert rings.statistics.descriptors == rings.statistics.completions == 276
    assert rings.statistics.seconds > 0 and not rings.statistics.errors
    assert device.rings.counters["descriptors"] == 276
    if poll:
        assert rings.statistics.interrupts == 0
        assert device.read(shell_register("DMA_IRQ_ENABLE").offset) == 0


@pytest.mark.long
def test_indexes_go_round(device):
    rings = Rings(device, log2_size=12, timeout=5)
    for _ in range(17):
        rings.run([FENCE] * 4096)
    assert device.rings.producer == 17 * 4096 - 65536 == device.rings.cpl_consumer


def test_completions_interrupt_by_number_and_by_time(device):
    rings = Rings(device, coalesce=4, delay=0, timeout=0.2)
    tags = [rings.submit(FENCE) for _ in range(3)]
    assert not device.irq
    tags.append(rings.submit(FENCE))
    assert device.irq
    assert [rings.wait(tag).tag for tag in tags] == tags
    urgent = rings.submit(Descriptor(opcode=Opcode.FENCE, flags=Flag.INTERRUPT))
    rings.wait(urgent)
    timed = Rings(ModelDevice(TINY), coalesce=4, delay=9, timeout=0.2)
    timed.wait(timed.submit(FENCE))


def test_a_failure_tells_everything_and_the_ring_goes_on(device):
    rings = Rings(device, timeout=5)
    with pytest.raises(DriverError) as raised:
        rings.run([FENCE, BAD, FENCE, Descriptor(opcode=99)])
    text = str(raised.value)
    assert text.startswith("LEARN: WINDOW: a buffer, or a row, is not in memory that was exposed with that right")
    assert "the descriptor was LEARN, tag 1, source 0x40, count 8" in text
    assert rings.statistics.errors == {"WINDOW": 1, "OPCODE": 1} and rings.statistics.completions == 4
    with pytest.raises(DriverError, match="opcode 99: OPCODE: it has no such opcode.*opcode 99, INTERRUPT, tag 4"):
        rings.run([Descriptor(opcode=99)])
    assert rings.run([BAD], allowed=(Status.WINDOW,))[0].status == Status.WINDOW
    assert rings.run([FENCE])[0].status == Status.OK


def test_errors_of_the_core_are_named_and_cleared(device):
    rings = Rings(device, timeout=5)
    region = device.memory.allocate("lookups", 4096)
    rings.windows.expose(region, read=True)
    with pytest.raises(DriverError, match=r"LEARN: the accelerator reports SAMPLE_OPEN \(a mini-batch ended"):
        rings.run([Descriptor(opcode=Opcode.LEARN, source=region.address, count=3)])
    assert device.read(0x054) == 0
    assert rings.run([FENCE])[0].errors == 0


def test_waiting_twice(device):
    rings = Rings(device, timeout=5)
    tag = rings.submit(FENCE)
    rings.wait(tag)
    with pytest.raises(DriverError, match="tag 0 was given up, or has been waited for"):
        rings.wait(tag)


@pytest.mark.parametrize("poll", [False, True])
def test_a_device_that_does_not_answer(poll):
    device = Silent(TINY)
    rings = Rings(device, timeout=0.05, poll=poll)
    lost = rings.submit(FENCE)
    message = "FENCE, tag 0: no completion in 0.05 s; .* doing this: nothing; 2 descriptors were given up"
    with pytest.raises(DeviceTimeout, match=message):
        rings.run([FENCE])
    with pytest.raises(DriverError, match="was given up"):
        rings.wait(lost)
    device.deaf = False
    assert rings.run([FENCE] * 3)[2].status == Status.OK


def test_an_interruption_leaves_nothing_under_way(monkeypatch):
    with Silent(TINY) as device:
        rings = Rings(device, timeout=5)

        def interrupt(timeout):
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(device, "wait_irq", interrupt)
            with pytest.raises(KeyboardInterrupt):
                rings.run([FENCE] * 3)
        device.deaf = False
        assert rings.run([FENCE])[0].tag == 3
        assert device.rings.producer == 1, "the rings have begun anew"
        assert rings.statistics.completions == 1


def test_rings_that_cannot_be_accessed(device):
    rings = Rings(device, timeout=1)
    device.write(window_offset(0) + 12, 2)  # the descriptors: write, not read
    with pytest.raises(DriverError, match=r"the rings report DESCRIPTOR_READ \(.*\); FENCE.*tag 0 was due"):
        rings.run([FENCE])
    device.write(window_offset(0) + 12, 1)
    device.write(window_offset(1) + 12, 1)  # the completions: read, not write
    with pytest.raises(DriverError, match="the rings report COMPLETION_WRITE"):
        rings.run([FENCE])
    device.write(window_offset(1) + 12, 2)
    assert rings.run([FENCE] * 70)[69].status == Status.OK


def test_whoever_drove_the_device_before_is_forgotten(device):
    before = Rings(device, timeout=1, coalesce=9, delay=0)
    for _ in range(5):
        before.submit(FENCE)
    device.write(shell_register("CPL_CONSUMER").offset, 9)
    assert device.read(shell_register("DMA_IRQ_STATUS").offset) == DmaIrq.ERROR
    rings = Rings(device, timeout=1)
    assert rings.run([FENCE])[0].tag == 0
    assert device.rings.producer == 1


def test_threads_take_turns(device):
    rings = Rings(device, log2_size=2, timeout=5)
    found: list[int] = []

    def work() -> None:
        for _ in range(20):
            found.extend(completion.tag for completion in rings.run([FENCE] * 3))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(240))


def test_closing_ends_a_wait():
    device = Silent(TINY)
    rings = Rings(device, timeout=20)
    threading.Timer(0.05, device.close).start()
    with pytest.raises(DeviceError, match="the device was closed"):
        rings.run([FENCE])
