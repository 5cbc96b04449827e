"""The RTL is held to the literals of `tests/vectors`: key hash, registers on AXI4-Lite, and the decoder's verdicts."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.core import HotlineCore
from hotline_hw.core.input.key_hash import KeyHash, KeyUnhash
from hotline_hw.shell.layouts import completion_layout, descriptor_layout
from hotline_hw.shell.registers import ShellRegisters
from hotline_hw.shell.rings.decoder import Decoder
from hotline_hw.spec.params import preset
from tests.support.axi_lite import read, simulate, write
from tests.support.streams import pulse, until_done
from tests.support.vectors import INTERFACE, SESSION, bits, registers

TINY = preset("tiny")
SHELL = 0x1000


# The key hash


@pytest.mark.parametrize("width", INTERFACE["key_hash"])
def test_key_hash_and_its_inverse(width: str):
    """A key a cycle, and each comes out LATENCY cycles later."""
    pairs = INTERFACE["key_hash"][width]
    for block, source, result, order in ((KeyHash, "key", "mixed", 1), (KeyUnhash, "mixed", "key", -1)):
        dut = block(key_bits=int(width))
        found: list[int] = []

        async def drive(ctx, dut=dut, source=source, result=result, order=order, found=found):
            ctx.set(dut.enable, 1)
            for number in range(len(pairs) + dut.LATENCY):
                if number >= dut.LATENCY:
                    found.append(ctx.get(getattr(dut, result)))
                ctx.set(getattr(dut, source), pairs[min(number, len(pairs) - 1)][::order][0])
                await ctx.tick()

        simulate(dut, drive)
        assert found == [pair[::order][1] for pair in pairs]


# Registers


class Stub(wiring.Component):
    """Stands for CounterBank. Every snapshot is another 64-bit value."""

    def __init__(self, increment_bits: dict[str, int], counters: Any = None) -> None:
        self.names = [counter.name for counter in counters] if counters else list(increment_bits)
        members = {name: In(increment_bits.get(name, 1)) for name in self.names}
        super().__init__(
            {"snapshot": In(1), "clear": In(1), **members, **{f"{name}_value": Out(64) for name in self.names}}
        )

    @staticmethod
    def value(name: str) -> int:
        return int.from_bytes(name.encode().ljust(8, b"\xa5")[-8:], "big")

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += [getattr(self, f"{name}_value").eq(self.value(name)) for name in self.names]
        return m


HALVES = {"core": (HotlineCore, "s_axil", 0), "shell": (ShellRegisters, "bus", SHELL)}


@pytest.mark.parametrize("half", HALVES)
def test_offsets_and_reset_values(half: str):
    block, port, base = HALVES[half]
    rows = {row.offset: row for row in registers() if (row.offset >= SHELL) == (base == SHELL)}
    dut = block(TINY)
    bus = getattr(dut, port)

    async def drive(ctx):
        await ctx.tick().repeat(64)  # the clearing walk
        for offset in range(base, base + 0x1000, 4):
            data, response = await read(ctx, bus, offset - base)
            if row := rows.get(offset):
                assert (response, data if row.reset is not None else None) == (0, row.reset), row
            else:
                assert response == 2, f"there is no register at {offset:#x}"

    simulate(dut, drive)


@pytest.mark.parametrize("half", HALVES)
def test_access_and_fields(half: str):
    """RO answers SLVERR. RW that the bank holds keeps the bits of its fields, and no others."""
    block, port, base = HALVES[half]
    rows = [row for row in registers() if (row.offset >= SHELL) == (base == SHELL)]
    dut = block(TINY)
    bus = getattr(dut, port)
    special = {"HOT_ROWS", "RING_PRODUCER", "CPL_CONSUMER", "COMMAND", "DMA_COMMAND", "DMA_CONTROL"}

    async def drive(ctx):
        await ctx.tick().repeat(64)
        for row in rows:
            if row.name in special:
                continue
            response = await write(ctx, bus, row.offset - base, 0xFFFF_FFFF)
            assert response == (2 if row.access == "RO" else 0), row
            if row.access == "RW":
                mask = sum((1 << high + 1) - (1 << low) for high, low in row.fields.values())
                assert await read(ctx, bus, row.offset - base) == (mask, 0), row

    simulate(dut, drive)


@pytest.mark.parametrize("half", HALVES)
def test_counters_are_read_whole(half: str):
    """Both halves of every counter, at its offset: a snapshot of 64 bits, none of which is always 0."""
    block, port, base = HALVES[half]
    module = "hotline_hw.core.registers" if half == "core" else "hotline_hw.shell.registers"
    dut = block(TINY)
    bus = getattr(dut, port)

    async def drive(ctx):
        await ctx.tick().repeat(64)
        for line in INTERFACE["registers"]["counters"].strip().splitlines():
            offset, name = int(line.split()[0], 16), line.split()[1]
            if (offset >= SHELL) == (base == SHELL):
                low, high = [(await read(ctx, bus, offset - base + at))[0] for at in (0, 4)]
                assert high << 32 | low == Stub.value(name), name

    with mock.patch(f"{module}.CounterBank", Stub):
        simulate(dut, drive)


# Descriptors and completions


@pytest.mark.parametrize(("kind", "layout"), [("descriptor", descriptor_layout()), ("completion", completion_layout())])
def test_fields_of_ring_entries(kind: str, layout: Any):
    assert layout.size == 8 * INTERFACE["limits"]["entry_bytes"]
    found = {name: (layout[name].offset + layout[name].width - 1, layout[name].offset) for name, _ in layout}
    assert found == {name: bits(place) for name, place in INTERFACE["fields"][kind].items()}


def test_verdicts_on_descriptors_of_the_session():
    """The decoder sees their bytes. It refuses those that do not get as far as their data."""
    descriptors = [step["run"] for step in SESSION if "run" in step]
    dut = Decoder(TINY)
    windows = next(step["write"] for step in SESSION if "windows" in step["what"])[:20]
    values = dict(windows)

    async def drive(ctx):
        ctx.set(dut.state_rows, 4)
        for index in range(5):
            at, window = 0x1080 + 16 * index, dut.windows[index]
            ctx.set(window.page, (values[at + 4] << 32 | values[at]) >> 12)
            ctx.set(window.pages, values[at + 8])
            ctx.set(window.read, values[at + 12] & 1)
            ctx.set(window.write, values[at + 12] >> 1)
        refused = 0
        for descriptor, completion in descriptors:
            raw = int.from_bytes(bytes.fromhex(descriptor), "little")
            status = bytes.fromhex(completion)[5]
            await pulse(ctx, dut.start, descriptor=(dut.descriptor.as_value(), raw))
            await until_done(ctx, dut.done)
            early = status in (1, 2, 3) or (status == 4 and bytes.fromhex(descriptor)[0] != 4)
            assert ctx.get(dut.status) == (status if early else 0), descriptor
            refused += early
            await ctx.tick()
        assert refused == 5

    simulate(dut, drive)
