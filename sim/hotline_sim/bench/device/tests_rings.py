"""Indexes, doorbells, the completion ring, and when completions interrupt."""

from __future__ import annotations

from typing import Any

import cocotb

from hotline_device.ring_entries import Descriptor
from hotline_hw.spec.descriptors import Flag, Opcode, Status
from hotline_hw.spec.shell_registers import DmaError, DmaIrq
from hotline_sim.bench.simulator import ICARUS

from .memory import CORNERS
from .registers import offset_of
from .stimulus import Maker, goes_on
from .tb import DeviceTB

_FENCE = Descriptor(opcode=Opcode.FENCE)
_PRODUCER = offset_of("RING_PRODUCER")


@cocotb.test()
@cocotb.parametrize(ring_log2=[0, 1, 3])
async def test_ring_sizes(dut: Any, ring_log2: int) -> None:
    """Rings wrap again and again, and are as full as they can be."""
    tb = DeviceTB(dut, ring_log2=ring_log2)
    await tb.start()
    for count in (1, tb.ring_size, tb.ring_size - 1 or 1, tb.ring_size, 1, 1, tb.ring_size, tb.ring_size):
        maker = Maker(tb, universe=3)
        await tb.run(*[_FENCE if place % 2 else maker.learn(5, 1) for place in range(count)])
        tb.coverage.hit("ring_of_one", not ring_log2)
    await tb.finish()


@cocotb.test()
@cocotb.parametrize(ring_log2=[0, 2])
async def test_completions_full(dut: Any, ring_log2: int) -> None:
    """If the completion ring has no room, descriptors wait. They go on when the host reads."""
    tb = DeviceTB(dut, ring_log2=ring_log2)
    await tb.start()
    size = tb.ring_size
    maker = Maker(tb, universe=3)
    first = await tb.submit(*[maker.learn(5, 1)] * size)
    await tb.until_complete(first[-1].tag)
    tb.ring_golden()
    second = await tb.submit(*[maker.learn(5, 1)] * size)
    tb.ring_golden()
    await tb.cycles(150)
    assert await tb.read("DMA_STATUS") >> 3 & 1 == tb.golden.read(offset_of("DMA_STATUS")) >> 3 & 1 == 1
    tb.coverage.hit("completions_full")
    await tb.check_register("CPL_PRODUCER")
    await tb.check_errors(DmaError.COMPLETIONS_FULL)
    for it in first:
        tb.compare_completion(it)
    for index in range(size):
        await tb.tell("CPL_CONSUMER", index + 1)
        await tb.until_complete(second[index].tag)
        while await tb.read("CPL_PRODUCER") != size + index + 1:
            pass
        # The golden model has run all of them already, so it can be compared only after the last.
    tb.golden.write(offset_of("CPL_CONSUMER"), size)
    for it in second:
        tb.compare_completion(it)
    await tb.read("DMA_ERROR")
    await tb.write("DMA_ERROR", int(DmaError.COMPLETIONS_FULL))
    await tb.write("DMA_IRQ_STATUS", int(DmaIrq.COMPLETION | DmaIrq.ERROR))
    await tb.write("CPL_CONSUMER", 2 * size)
    await tb.finish()


@cocotb.test()
async def test_doorbells(dut: Any) -> None:
    """Doorbells beyond the rings, and changes of the rings' addresses while enabled, are ignored and reported."""
    tb = DeviceTB(dut)
    await tb.start()
    size = tb.ring_size
    for produced in (0, 1, size + 3):
        while tb.produced < produced:
            await tb.run(_FENCE)
        for name, values in (
            ("RING_PRODUCER", (produced + size + 1, produced - 1 & 0xFFFF, 1 << 16 | produced, 1 << 31)),
            ("CPL_CONSUMER", (produced + 1, produced - 1 & 0xFFFF, 1 << 16 | produced)),
            ("RING_LO", (0,)), ("RING_HI", (0,)), ("CPL_LO", (64,)), ("CPL_HI", (7,)), ("RING_SIZE", (5,)),
        ):  # fmt: skip
            for value in values:
                await tb.write(name, value)
                await tb.check_errors(DmaError.DOORBELL)
                for register in ("RING_PRODUCER", "CPL_CONSUMER", "RING_LO", "RING_SIZE", "CPL_HI"):
                    await tb.check_register(register)
        await tb.write("RING_PRODUCER", produced)  # nothing new, and not a mistake
        await tb.check_errors(DmaError(0))
    await goes_on(tb)
    # Indexes stay 0 while the rings are disabled.
    await tb.restart()
    await tb.disable()
    tb.golden.write(offset_of("DMA_CONTROL"), 0)
    for value in (3, size, size + 1, 0):
        await tb.write("RING_PRODUCER", value)
        await tb.check_errors(DmaError.DOORBELL if value > size else DmaError(0))
        await tb.check_register("RING_PRODUCER")
    await tb.write("DMA_CONTROL", 1)
    tb.produced = 0
    await goes_on(tb)
    await tb.finish()


@cocotb.test()
async def test_doorbells_while_running(dut: Any) -> None:
    """Descriptors come one after another. Each is announced while those before it are under way."""
    tb = DeviceTB(dut, timing=CORNERS["slow"])
    await tb.start()
    for _ in range(2):
        maker = Maker(tb, universe=3)
        its = [maker.learn(30, 3), maker.classify(30, 3), maker.gather(flags=Flag.KEYS), maker.random_list(9), _FENCE]
        await tb.write("DMA_COALESCE", len(its))
        named = []
        for it in its:
            named += await tb.submit(it)
            await tb.cycles(int(tb.rng.integers(30)))
            tb.coverage.hit("doorbell_while_running", named[0].tag not in tb.tags())
        await tb.until_complete(named[-1].tag)
        tb.ring_golden()
        await tb.settle(named)
    await tb.finish()


@cocotb.test()
async def test_interrupts(dut: Any) -> None:
    """Interrupts by count, by time, and at once."""
    tb = DeviceTB(dut)
    await tb.start()

    async def causes() -> int:
        value = await tb.read("DMA_IRQ_STATUS")
        assert bool(tb.dut.irq.value) == (value != 0), f"irq is {tb.dut.irq.value} with DMA_IRQ_STATUS {value:#x}"
        return value

    # By count: not before it is reached.
    await tb.write("DMA_COALESCE", 3)
    for index in range(3):
        named = await tb.submit(_FENCE)
        tb.ring_golden()
        await tb.until_complete(named[0].tag)
        await tb.cycles(60)
        assert await causes() == (DmaIrq.COMPLETION if index == 2 else 0)
        await tb.check_interrupt()
        tb.coverage.hit("no_interrupt_yet", index < 2)
        tb.coverage.hit("coalesced_by_count", index == 2)
        tb.compare_completion(named[0])
    await tb.consume()
    assert await causes() == 0

    # A descriptor with INTERRUPT interrupts at once, though others wait.
    await tb.write("DMA_COALESCE", 9)
    named = await tb.submit(_FENCE, Descriptor(opcode=Opcode.FENCE, flags=Flag.INTERRUPT), _FENCE)
    tb.ring_golden()
    await tb.until_complete(named[1].tag)
    await tb.cycles(20)
    assert await causes() == DmaIrq.COMPLETION
    tb.coverage.hit("interrupt_flag")
    await tb.until_complete(named[2].tag)
    await tb.settle(named)

    # By time after the first completion. A write of CPL_CONSUMER starts the time again.
    delay = 400
    await tb.write("DMA_DELAY", delay)
    begin = tb.clock.cycles
    named = await tb.submit(_FENCE, _FENCE)
    tb.ring_golden()
    await tb.until_complete(named[1].tag)
    first = tb.clock.cycles
    assert await causes() == 0
    while not await tb.read("DMA_IRQ_STATUS"):
        pass
    taken = tb.clock.cycles - begin
    assert delay < taken < delay + (first - begin) + 40, f"an interrupt after {taken} cycles; DMA_DELAY is {delay}"
    tb.coverage.hit("coalesced_by_time")
    for it in named:
        tb.compare_completion(it)
    await tb.write("DMA_IRQ_STATUS", int(DmaIrq.COMPLETION))
    await tb.cycles(2 * delay)
    assert await causes() == 0, "an interrupt by time came twice"
    await tb.tell("CPL_CONSUMER", tb.produced - 1)
    await tb.cycles(delay // 2)
    assert await causes() == 0
    await tb.cycles(delay)
    assert await causes() == DmaIrq.COMPLETION
    await tb.write("DMA_DELAY", 0)
    await tb.consume()
    await tb.write("DMA_IRQ_ENABLE", 0)
    await tb.run(_FENCE)
    assert not tb.dut.irq.value
    await tb.finish()


@cocotb.test()
async def test_index_wraps(dut: Any) -> None:
    """Indexes go from 65535 to 0. Where the simulator shows internal signals, they begin just before that. Elsewhere
    too many descriptors would be needed, so the bench only sees rings of every size."""
    tb = DeviceTB(dut, ring_log2=2)
    await tb.start()
    if ICARUS:
        near = (1 << 16) - 2 * tb.ring_size
        for name in ("producer", "consumer", "cpl_producer", "cpl_consumer"):
            getattr(dut.registers.rings, name).value = near
            setattr(tb.golden.rings, name, near)
        tb.produced = near
        await tb.cycles(2)
    for _ in range(5):
        done = await tb.run(*[_FENCE] * (tb.ring_size - 1))
        assert all(one.status == Status.OK for one in done)
    if ICARUS:
        assert await tb.read("RING_PRODUCER") < tb.produced, "the index did not wrap"
        tb.coverage.hit("index_wraps")
    await tb.finish()
