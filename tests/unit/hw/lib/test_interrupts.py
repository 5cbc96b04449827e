"""InterruptLine: whoever waits for edges is told of every cause, whenever it comes."""

from __future__ import annotations

import random

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from hotline_hw.lib.interrupts import LOW_CYCLES, InterruptLine
from hotline_hw.shell.device import HotlineDevice
from hotline_hw.shell.registers import ShellRegisters
from hotline_hw.spec.params import preset
from hotline_hw.spec.shell_registers import DmaIrq, shell_register
from tests.formal.mutants import mutated
from tests.support.axi_lite import read, simulate, write

MUTANTS = {
    "a level": ("with m.If(self.acknowledged):", "with m.If(0):"),
    "low for a cycle": ("self.causes & ~low[0]", "self.causes"),
    "low for good": ("low.eq(low >> 1)", "low.eq(low)"),
}


def forgotten(line: type[InterruptLine], seed: int) -> bool:
    """A handler that comes at rising edges only, reads the causes, and clears what it has read some cycles later.

    Returns:
        whether it ever left a cause behind, or an edge came after less than LOW_CYCLES.
    """
    dut, draw = line(), random.Random(seed)
    levels = [0]
    left = 0

    async def drive(ctx):
        nonlocal left
        causes = seen = 0
        waits = None  # cycles until the handler writes what it has read
        for cycle in range(4000):
            if cycle % 100 < 30 and draw.random() < 0.2:
                causes |= 1 << draw.randrange(3)
            acknowledge = waits == 0
            ctx.set(dut.acknowledged, acknowledge)
            ctx.set(dut.causes, causes != 0)
            await ctx.tick()
            levels.append(ctx.get(dut.irq))
            if acknowledge:
                causes &= ~seen
                waits = None
            elif waits:
                waits -= 1
            if levels[-2:] == [0, 1]:
                assert waits is None, "it comes once"
                seen, waits = causes, draw.randrange(6)
            if cycle % 100 == 99:
                left |= causes

    simulate(dut, drive)
    gaps = "".join(map(str, levels)).strip("0").split("1")
    return bool(left) or any(0 < len(gap) < LOW_CYCLES for gap in gaps)


@pytest.mark.parametrize("seed", range(3))
def test_no_cause_is_left_behind(seed: int) -> None:
    assert not forgotten(InterruptLine, seed)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_line_that_leaves_one_is_caught(mutant: str) -> None:
    assert forgotten(mutated(InterruptLine, *MUTANTS[mutant]), 0)


class Device(wiring.Component):
    """The shell's registers and the line, as HotlineDevice connects them, without a core."""

    def __init__(self) -> None:
        self.registers = ShellRegisters(preset("tiny"))
        super().__init__({"irq": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.registers = self.registers
        m.submodules.line = line = InterruptLine()
        m.d.comb += [
            line.causes.eq(self.registers.causes), line.acknowledged.eq(self.registers.acknowledged),
            self.irq.eq(line.irq),
        ]  # fmt: skip
        return m


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_cause_that_is_left_gives_another_edge(whole: bool) -> None:
    dut = HotlineDevice(preset("tiny")) if whole else Device()
    bus, base = (dut.s_axil, 0) if whole else (dut.registers.bus, 0x1000)
    status, enable = (shell_register(name).offset - base for name in ("DMA_IRQ_STATUS", "DMA_IRQ_ENABLE"))
    doorbell = shell_register("CPL_CONSUMER").offset - base

    async def drive(ctx):
        levels: list[int] = []

        def watch() -> None:
            levels.append(ctx.get(dut.irq))

        async def wait() -> None:
            for _ in range(LOW_CYCLES + 4):
                await ctx.tick()
                watch()

        await write(ctx, bus, enable, int(DmaIrq.ERROR))
        await write(ctx, bus, doorbell, 99, watch)
        await wait()
        assert levels[-1] == 1, "an error"
        assert (await read(ctx, bus, status))[0] == DmaIrq.ERROR
        for value, left in ((int(DmaIrq.COMPLETION), 1), (0, 1), (int(DmaIrq.ERROR), 0)):
            levels.clear()
            await write(ctx, bus, status, value, watch)
            await wait()
            text = "".join(map(str, levels)).strip("1") if left else ""
            assert not left or (levels[-1] and text == "0" * LOW_CYCLES), f"low for LOW_CYCLES: {levels}"
            assert levels[-1] == left

    simulate(dut, drive)
