"""The golden model of the whole device: rings, interrupts, registers."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from hotline_device.device import BusError, DeviceError, DeviceTimeout
from hotline_device.ring_entries import Completion, Descriptor
from hotline_hw.spec.descriptors import Flag, Opcode, Status
from hotline_hw.spec.params import PRESETS
from hotline_hw.spec.regmap import Access, Command, Error, Irq, Phase
from hotline_hw.spec.shell_registers import (
    DMA_COUNTERS,
    SHELL_REGISTERS,
    DmaCommand,
    DmaError,
    DmaIrq,
    dma_counter_offset,
)
from hotline_sim.model.device import ModelDevice
from tests.support.registers import RawRings

TINY = PRESETS["tiny"]
FENCE = Descriptor(opcode=Opcode.FENCE)


@pytest.fixture
def raw():
    with ModelDevice(TINY) as device:
        yield RawRings(device)


# Rings


def test_completions_wait_for_room(raw):
    raw.put(*(replace(FENCE, tag=tag) for tag in range(8)))
    raw.put(replace(FENCE, tag=8), replace(FENCE, tag=9))
    assert raw.csr["RING_CONSUMER"] == 8 == raw.csr["CPL_PRODUCER"]
    assert raw.csr["DMA_STATUS"] == 8 and raw.dma_errors() == DmaError.COMPLETIONS_FULL
    assert [raw.take().tag for _ in range(10)] == list(range(10))
    assert raw.csr["DMA_STATUS"] == 0 and raw.csr["RING_CONSUMER"] == 10


def test_doorbells_beyond_the_ring(raw):
    for name, value in (
        ("RING_PRODUCER", 9), ("RING_PRODUCER", 0xFFFF), ("RING_PRODUCER", 0x10000), ("CPL_CONSUMER", 1),
        ("CPL_CONSUMER", 0x10000), ("RING_LO", 64), ("RING_SIZE", 1), ("CPL_HI", 3),
    ):  # fmt: skip
        before = raw.csr[name]
        raw.csr[name] = value
        assert raw.dma_errors() == DmaError.DOORBELL, name
        assert raw.csr[name] == before
    assert raw.csr["CPL_PRODUCER"] == 0


def test_disabled_rings_begin_anew(raw):
    raw.put(FENCE, FENCE, FENCE)
    raw.csr["DMA_CONTROL"] = 0
    assert [raw.csr[name] for name in ("RING_PRODUCER", "RING_CONSUMER", "CPL_PRODUCER", "CPL_CONSUMER")] == [0] * 4
    raw.csr["RING_PRODUCER"] = 2
    assert raw.csr["RING_PRODUCER"] == 0
    raw.csr["RING_SIZE"] = 1
    raw.start()
    raw.size = 2
    raw.put(FENCE)
    assert raw.take() == Completion(tag=0, opcode=1, status=0, generation=1)
    raw.put(FENCE, FENCE)
    assert [raw.take().generation for _ in range(2)] == [1, 0]


@pytest.mark.parametrize(("coalesce", "at"), [(0, 1), (1, 1), (3, 3), (8, 8)])
def test_completions_interrupt_by_number(raw, coalesce, at):
    raw.csr["DMA_IRQ_ENABLE"], raw.csr["DMA_COALESCE"] = DmaIrq.COMPLETION, coalesce
    for number in range(1, 9):
        raw.put(FENCE)
        assert raw.device.irq == (number >= at)
        assert (raw.dma_irq() == DmaIrq.COMPLETION) == (number >= at)
    raw.take()
    assert not raw.device.irq
    raw.put(replace(FENCE, flags=Flag.INTERRUPT))
    assert raw.device.irq


def test_completions_interrupt_by_time(raw):
    raw.csr["DMA_IRQ_ENABLE"], raw.csr["DMA_COALESCE"], raw.csr["DMA_DELAY"] = DmaIrq.COMPLETION, 9, 100
    raw.put(FENCE, FENCE)
    assert raw.device.irq and raw.dma_irq()
    raw.take()
    assert raw.device.irq and raw.dma_irq(), "one waits still"
    raw.take()
    assert not raw.device.irq


def test_a_ring_that_cannot_be_accessed_halts(raw):
    raw.set_window(0, raw.region, read=False)
    raw.put(FENCE)
    assert raw.dma_errors() == DmaError.DESCRIPTOR_READ
    raw.put(FENCE)
    assert not raw.dma_errors() and raw.csr["CPL_PRODUCER"] == 0
    raw.csr["DMA_CONTROL"] = 0
    raw.set_window(0, raw.region, write=False)
    raw.start()
    raw.put(FENCE, FENCE)
    assert raw.dma_errors() == DmaError.COMPLETION_WRITE and raw.csr["CPL_PRODUCER"] == 0
    raw.set_window(0, raw.region)
    raw.csr["DMA_CONTROL"] = 0
    raw.start()
    assert raw.run(FENCE).status == Status.OK


# Registers


@pytest.mark.parametrize("register", SHELL_REGISTERS, ids=lambda register: register.name)
def test_registers_keep_their_fields(register):
    device = ModelDevice(TINY)
    fields = sum(field.mask for field in register.fields)
    if register.access == Access.RO:
        with pytest.raises(BusError, match=f"write of offset {register.offset:#05x} was answered with SLVERR"):
            device.write(register.offset, 0)
        return
    device.write(register.offset, 0xFFFF_FFFF)
    doorbell = register.name in ("RING_PRODUCER", "CPL_CONSUMER")
    kept = fields if register.access == Access.RW and not doorbell else 0
    assert device.read(register.offset) == kept
    device.reset()
    assert device.read(register.offset) == 0


def test_capabilities_and_no_register(raw):
    assert raw.csr["CAP_DMA"] == 4 | 8 << 8 | 2 << 16 | 5 << 24 and raw.csr["CAP_WORKING"] == 32
    for access in (
        lambda: raw.device.read(0x1060),
        lambda: raw.device.write(0x1FFC, 0),
        lambda: raw.device.read(0x2000),
    ):
        with pytest.raises(BusError):
            access()


def test_counters_of_the_shell(raw):
    raw.run(FENCE)
    raw.run(replace(FENCE, opcode=66))
    low = dma_counter_offset("descriptors")
    assert raw.device.read(low) == 0
    raw.csr["DMA_COMMAND"] = DmaCommand.SNAPSHOT
    found = {counter.name: raw.dma_counter(counter.name) for counter in DMA_COUNTERS}
    assert {name: value for name, value in found.items() if value} == {"descriptors": 2, "failed_descriptors": 1}
    raw.csr["DMA_COMMAND"] = DmaCommand.RESET_COUNTERS
    assert raw.device.read(low) == 2
    raw.csr["DMA_COMMAND"] = 0x101
    assert raw.device.read(low) == 2
    raw.csr["DMA_COMMAND"] = DmaCommand.SNAPSHOT
    assert raw.device.read(low) == 0


def test_commands_with_packets_are_descriptors(raw):
    for command in (Command.DUMP, Command.RESTORE, Command.SELECT):
        raw.csr["COMMAND"] = command
        assert raw.csr.errors() == Error.COMMAND_CODE and raw.csr.status()["busy"] == 0
    region = raw.buffer(1)
    region.array(1, np.uint64)[:] = 3 | 1 << 63
    raw.csr["CONTROL"] = Phase.RELEARN
    raw.run(Descriptor(opcode=Opcode.LEARN, source=region.address, count=1))
    assert raw.csr["CONTROL"] == Phase.RELEARN and raw.csr.status()["phase"] == Phase.LEARN
    assert raw.csr.irq() == Irq.BATCH_DONE
    raw.run(Descriptor(opcode=Opcode.SELECT, targets=(region.address, 0, 0)))
    assert raw.csr.irq() == Irq.COMMAND_DONE


def test_waiting(raw):
    device = raw.device
    with pytest.raises(DeviceTimeout, match="irq stayed low: DMA_IRQ_STATUS is .*0"):
        device.wait_irq()
    assert device.wait_irq(0.01) is False
    raw.csr["DMA_IRQ_ENABLE"] = DmaIrq.COMPLETION
    threading.Timer(0.05, lambda: raw.put(FENCE)).start()
    assert device.wait_irq(20) is True
    raw.csr["DMA_IRQ_ENABLE"] = 0
    assert not device.irq
    raw.csr["IRQ_ENABLE"] = Irq.COMMAND_DONE
    raw.csr["COMMAND"] = Command.CLEAR
    assert device.wait_irq()


def test_reset_and_close(raw):
    raw.run(FENCE)
    words = raw.buffer(1)
    words.array(1, np.uint64)[:] = 3 | 1 << 63
    raw.device.reset()
    assert raw.csr["DMA_CONTROL"] == 0 == raw.csr["CPL_PRODUCER"] == raw.csr["RING_LO"]
    assert words.array(1, np.uint64)[0] == 3 | 1 << 63
    raw.set_places(3)
    raw.start()
    raw.csr["RING_PRODUCER"] = 1
    assert raw.dma_errors() == DmaError.DESCRIPTOR_READ, "windows are gone"
    raw.device.close()
    raw.device.close()
    for call in (
        lambda: raw.device.read(0),
        lambda: raw.device.write(0x1008, 0),
        raw.device.wait_irq,
        raw.device.reset,
    ):
        with pytest.raises(DeviceError, match="the device was closed"):
            call()
    with pytest.raises(DeviceError, match="has no AXI manager"):
        ModelDevice(TINY.stream_core())
