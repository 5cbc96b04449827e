"""DMA_CONTROL.enable is cleared, or `rst` is pulsed, in the middle of every opcode. Memory is reset too, or is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cocotb
import numpy as np

from hotline_device.ring_entries import Descriptor
from hotline_hw.spec.descriptors import Flag, Opcode, Status
from hotline_hw.spec.regmap import Command
from hotline_sim.bench.simulator import cases

from .memory import CORNERS, DISORDER, Extent
from .outputs import outputs
from .registers import offset_of
from .stimulus import Maker, goes_on
from .tb import DeviceTB

_FENCE = Descriptor(opcode=Opcode.FENCE)
LONG: dict[str, Callable[[Maker], Descriptor]] = {
    "LEARN": lambda maker: maker.learn(200, 5),
    "FRONT": lambda maker: maker.front(200, 5),
    "CLASSIFY": lambda maker: maker.classify(200, 5),
    "RELEARN": lambda maker: maker.classify(200, 0, Flag.LEARN),
    "GATHER": lambda maker: maker.gather(80, Flag.KEYS),
    "LIST": lambda maker: maker.random_list(60, 80),
    "DUMP": lambda maker: maker.dump(),
    "RESTORE": lambda maker: maker.restore(),
    "SELECT": lambda maker: maker.select(),
}
"""Descriptors that take their time."""


async def prepared(tb: DeviceTB) -> Maker:
    """Fills the lists and the state with something."""
    maker = Maker(tb, universe=12)
    await tb.run(maker.learn(60, 4), maker.dump(), maker.classify(40, 2))
    return maker


async def in_step(tb: DeviceTB) -> None:
    """The golden model takes over what the DUT's tracker holds. Whatever that is, RESTORE must accept it."""
    maker = Maker(tb, universe=3)
    await tb.run(maker.dump(), exact=False)
    done = (await tb.run(maker.restore()))[0]
    assert done.status == Status.OK, f"what the tracker held after an abort is no state: {done}"
    await tb.run(maker.select(), exact=False)  # makes the threshold and the hot rows known
    await tb.run(maker.dump(), exact=False)
    await tb.one(maker.restore())
    await tb.run(maker.classify(9, 3), exact=False)  # the held rows depend on lists that were cut short
    await tb.write("COMMAND", Command.RESET_COUNTERS)
    await tb.write("ERROR", 0xFFFF_FFFF)  # errors of a mini-batch or a state that was cut short
    await tb.write("IRQ_STATUS", 0xFFFF_FFFF)
    await tb.reset_counters()


@cocotb.test()
@cocotb.parametrize((("timing", "gated"), cases(("disorder", False), ("slow", True))))
async def test_abort(dut: Any, timing: str, gated: bool) -> None:
    """The descriptor under way is ABORTED, none behind it begins, and the rings start anew."""
    tb = DeviceTB(dut, timing=DISORDER if timing == "disorder" else CORNERS[timing], gated=gated)
    await tb.start()
    for kind in LONG:
        aborted = 0
        for wait in tb.rng.permutation([20, 45, 70, 100, 150, 230]).tolist():
            maker = await prepared(tb)
            it = LONG[kind](maker)
            named = await tb.submit(it, _FENCE, _FENCE)
            await tb.cycles(wait)
            await tb.disable()
            done = [one for one in named if one.tag in tb.tags()]
            status = tb.completion(named[0].tag).status if done else None
            if status == Status.OK:
                tb.golden.write(offset_of("RING_PRODUCER"), len(done))
                for one in done:
                    tb.compare_completion(one)
            elif done:
                assert status == Status.ABORTED and len(done) == 1, f"{it} was cut short and ended {status}"
                tb.follow(named[0])
                aborted += 1
            tb.golden.write(offset_of("DMA_CONTROL"), 0)
            tb.produced = 0
            tb.memory.compare()
            await tb.write("DMA_CONTROL", 1)
            tb.coverage.hit("restart")
            if status == Status.ABORTED:
                await in_step(tb)
            if aborted:
                break
        assert aborted, f"{kind} was never caught in the middle"
        await goes_on(tb)
    await tb.finish()


@cocotb.test()
@cocotb.parametrize(gated=cases(True, False))
async def test_reset(dut: Any, gated: bool) -> None:
    """Everything is as new, and nothing outside the descriptor's outputs was touched."""
    tb = DeviceTB(dut, timing=DISORDER, gated=gated)
    await tb.start()
    for kind, make in list(LONG.items())[:: 1 if gated else 3]:
        maker = await prepared(tb)
        it = make(maker)
        named = await tb.submit(it)
        await tb.cycles(int(tb.rng.integers(45, 120)))
        caught = named[0].tag not in tb.tags()
        tb.memory.follow(outputs(it, tb.geometry, tb.state_rows))
        await tb.reset(int(tb.rng.integers(1, 5)))
        if not caught:
            tb.follow(named[0])
        tb.memory.follow(outputs(it, tb.geometry, tb.state_rows))  # accepted writes still take place
        tb.memory.compare()
        tb.coverage.hit(f"reset_in_{Opcode(it.opcode).name}", caught)
        tb.forget()
        await tb.set_up()
        maker = Maker(tb, universe=3)
        await tb.run(maker.dump())
        assert not np.any(tb.memory.get(tb.state.address, 8 * tb.geometry.ways)), f"reset in {kind} left entries"
        await goes_on(tb)
    await tb.finish()


@cocotb.test()
@cocotb.parametrize((("timing", "gated"), cases(("slow", True), ("disorder", False))))
async def test_reset_alone(dut: Any, timing: str, gated: bool) -> None:
    """Memory works on while the device is reset, by its pin or by a register, again and again. It gets what it was
    promised, and what it still owes comes too late for anyone. All that is done afterwards is right."""
    tb = DeviceTB(dut, timing=DISORDER if timing == "disorder" else CORNERS[timing], gated=gated)
    await tb.start()
    for make in (*LONG.values(), *LONG.values()):
        maker = await prepared(tb)
        it = make(maker)
        named = await tb.submit(it)
        await tb.cycles(int(tb.rng.integers(20, 260)))
        watch = tb.clock.watch
        if tb.rng.random() < 0.6:
            while not watch.writes and named[0].tag not in tb.tags():
                await tb.cycles(3)
            await tb.cycles(int(tb.rng.integers(0, 12)))
        tb.coverage.hit("reset_reads_due", watch.reads > 0)
        tb.coverage.hit("reset_writes_due", watch.writes > 0)
        soft = bool(tb.rng.random() < 0.5)
        tb.coverage.hit("reset_by_register", soft)
        if soft:
            await tb.soft_reset()
        else:
            await tb.reset(int(tb.rng.integers(1, 5)), memory=False)
        while tb.rng.random() < 0.4:
            await tb.cycles(int(tb.rng.integers(1, 40)))
            tb.coverage.hit("reset_while_quiescing", watch.reads + watch.writes > 0)
            await tb.reset(int(tb.rng.integers(1, 5)), memory=bool(tb.rng.random() < 0.2))
        await tb.set_up()  # the rings are enabled, also while bursts from before are due
        await tb.quiesced()
        assert not watch.writes, "writes from before the reset are outstanding"
        rings = Extent(tb.rings.address, tb.rings.size)
        tb.memory.follow([*outputs(it, tb.geometry, tb.state_rows), rings])  # what was written before the reset
        tb.memory.compare()
        tb.forget()
        await tb.reset_counters()
        maker = Maker(tb, universe=3)
        await tb.run(maker.dump())
        await goes_on(tb)
    await tb.finish()
