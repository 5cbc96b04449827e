"""Decoder in Amaranth's simulator against the golden model, on random descriptors and on those at a rule's edge."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from hotline_device.host_memory import PAGE_BYTES, HostMemory
from hotline_device.ring_entries import Descriptor
from hotline_hw.shell.rings.decoder import Decoder
from hotline_hw.spec.descriptors import (
    MAX_COUNT,
    MAX_ROW_BYTES,
    MAX_TABLES32,
    SUMMARY_BYTES,
    Flag,
    Opcode,
    Status,
)
from hotline_hw.spec.params import Geometry, preset
from hotline_hw.spec.shell_registers import WINDOWS
from hotline_sim.model.decoder import judge
from hotline_sim.model.windowed_memory import Window, WindowedMemory
from tests.support.streams import collect, pulse

GEOMETRIES = {"tiny": preset("tiny"), "kaggle": preset("kaggle")}
TOP = 1 << 64
WINDOW_BYTES = 1 << 30
OPEN = [
    Window(0x10_0000, WINDOW_BYTES // PAGE_BYTES, read=True, write=True),
    Window(0x80_0000, 4, read=True),
    Window(0x90_0000, 4, write=True),
    Window((TOP >> 12) - 3, 0xFFFF_FFFF, read=True, write=True),  # seems to reach beyond the top of memory
    Window(0xA0_0000, 0, read=True, write=True),
]
FLAGS = {
    Opcode.CLASSIFY: [Flag(0), Flag.LEARN],
    Opcode.GATHER: [Flag(0), Flag.HELD, Flag.KEYS, Flag.HELD | Flag.KEYS, Flag.LIST],
}


class Draw:
    """Descriptors that are mostly right, so that for every rule some of them keep all rules before it."""

    def __init__(self, seed: int, geometry: Geometry, state_rows: int) -> None:
        self.draw, self.geometry, self.state_rows = random.Random(seed), geometry, state_rows

    def around(self, *edges: int) -> int:
        """An edge, or a neighbour of one."""
        return max(0, self.draw.choice(edges) + self.draw.choice([-1, 0, 0, 1]))

    def address(self, size: int) -> int:
        """An address for a buffer of `size` bytes: inside a window, or with an end at the edge of one."""
        draw = self.draw
        if draw.random() < 0.03:
            return 0x10_0000 * PAGE_BYTES + (1 << draw.randrange(6))
        if draw.random() < 0.6:
            return 0x10_0000 * PAGE_BYTES + 64 * draw.randrange(1 << 20)
        window = draw.choice(OPEN)
        begin = window.page * PAGE_BYTES
        end = min(TOP, begin + window.pages * PAGE_BYTES)
        edge = draw.choice([begin, end, begin - size, end - size, end - -(-size // 64) * 64])
        address = (edge + draw.choice([-64, 0, 0, 64])) % TOP
        return address & ~63

    def descriptor(self) -> Descriptor:
        draw = self.draw
        opcode = draw.choice(list(Opcode)) if draw.random() < 0.97 else draw.choice([0, 9, 255, draw.getrandbits(8)])
        flags = draw.choice(FLAGS.get(Opcode(opcode) if opcode in list(Opcode) else Opcode.FENCE, [Flag(0)]))
        flags |= draw.choice([0, Flag.INTERRUPT])
        if draw.random() < 0.1:
            flags ^= 1 << draw.randrange(8)
        tables = draw.choice([0, 1, 3, 26, self.around(MAX_TABLES32)])
        count = draw.choice([draw.randint(1, 5000), self.around(0, MAX_COUNT, 512, 1024)])
        if tables and draw.random() < 0.8:
            count = max(1, count // tables) * tables
        operand = tables
        if opcode == Opcode.GATHER:
            operand = 16 * draw.randint(1, 64)
            if draw.random() < 0.4:
                operand = self.around(0, MAX_ROW_BYTES)
                operand &= draw.choice([~15, -1])
        elif opcode == Opcode.RESTORE:
            count = self.around(self.state_rows) if draw.random() < 0.4 else self.state_rows
        elif draw.random() < 0.02:
            operand = draw.getrandbits(32)
        state = self.state_rows * 8 * self.geometry.ways
        sizes = [1, count, 4 * count, 8 * count, state, (self.geometry.max_moves + 1) * 16,
                 SUMMARY_BYTES + -(-count // 512) * 64]  # fmt: skip
        return Descriptor(
            opcode=opcode, flags=int(flags), count=count, operand=operand,
            source=self.address(draw.choice(sizes)),
            targets=tuple(self.address(draw.choice(sizes)) for _ in range(3)),  # type: ignore[arg-type]
            reserved=1 << draw.randrange(144) if draw.random() < 0.03 else 0,
        )  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES.keys())
def test_verdicts_are_those_of_the_golden_model(geometry):
    state_rows = geometry.banks * geometry.sets * geometry.state_rows_per_set
    source = Draw(1, geometry, state_rows)
    memory = WindowedMemory(HostMemory(), OPEN)
    dut = Decoder(geometry)
    seen: Counter[tuple[int, Status]] = Counter()

    async def drive(ctx):
        for index, window in enumerate(OPEN):
            for name in ("page", "pages", "read", "write"):
                ctx.set(getattr(dut.windows[WINDOWS - 1 - index], name), int(getattr(window, name)))
        ctx.set(dut.state_rows, state_rows)
        for _ in range(2500):
            it = source.descriptor()
            packed = sum(int(word) << 32 * at for at, word in enumerate(it.pack()))
            await pulse(ctx, dut.start, descriptor=(dut.descriptor.as_value(), packed))
            cycles = 1
            while not ctx.get(dut.done):
                await ctx.tick()
                cycles += 1
                assert cycles < 100, f"{it} is judged"
            expected = judge(it, geometry, state_rows, memory)
            assert Status(ctx.get(dut.status)) == expected, str(it)
            seen[it.opcode, expected] += 1
            await ctx.tick()
            assert not ctx.get(dut.done), "for a cycle"

    collect(dut, drive, {}, random.Random(), 0)
    for opcode in Opcode:
        for status in (Status.OK, Status.OPCODE, Status.ALIGNMENT, Status.LENGTH, Status.WINDOW):
            if opcode == Opcode.FENCE and status not in (Status.OK, Status.OPCODE):
                continue
            if opcode in (Opcode.DUMP, Opcode.SELECT) and status == Status.LENGTH:
                continue
            assert seen[opcode, status] >= 2, (opcode.name, status.name)
