"""The registers: access kinds, answers, interrupts, and the AXI4-Lite handshakes."""

from __future__ import annotations

import itertools
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import Combine
from cocotbext.axi import AxiResp

from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import ADDRESS_BITS, REGISTERS, Access, Command, Error, Irq, Phase, Register, register
from hotline_sim.bench.stimulus import key_words, random_keys

from .tb import TB

_ALL = 0xFFFF_FFFF


def reset_value(of: Register, geometry: Geometry) -> int:
    """What a register reads after reset and the clearing walk."""
    if of.name.startswith("CAP_"):
        names = {"log2_banks": "bank_bits", "log2_sets": "set_bits"}
        return sum(getattr(geometry, names.get(field.name, field.name)) << field.low for field in of.fields)
    special = {"STATUS": 0, "HOT_ROWS": geometry.hot_capacity, "INDEX_BITS": geometry.index_bits}
    return special.get(of.name, of.reset)  # type: ignore[return-value]


async def assert_reset_values(tb: TB) -> None:
    await tb.until_idle()
    for each in REGISTERS:
        value, want = await tb.read(each.name), reset_value(each, tb.geometry)
        assert value == want, f"{each.name} is {value:#x} after reset; it must be {want:#x}"


async def raise_errors(tb: TB) -> None:
    """Two bits of ERROR that can be set without a stream."""
    await tb.until_idle()
    await tb.write("COMMAND", 0)
    tb.scoreboard.error(Error.COMMAND_CODE)
    await tb.set_hot_rows(_ALL)


@cocotb.test()
async def test_reset_values(dut: Any) -> None:
    """Reads every register after the first reset and after a second one."""
    tb = TB(dut)
    await tb.start()
    await assert_reset_values(tb)
    await tb.set_hot_rows(3)
    await tb.make_hot(random_keys(tb.rng, tb.geometry, 2))
    for each in REGISTERS:
        if each.access == Access.RW and not each.external:
            await tb.write(each.name, reset_value(each, tb.geometry) ^ 1)
    await raise_errors(tb)
    await tb.command(Command.SNAPSHOT)
    await tb.reset()
    await assert_reset_values(tb)
    await tb.finish()


@cocotb.test()
async def test_read_only(dut: Any) -> None:
    """A write to a read-only register answers SLVERR and changes nothing."""
    tb = TB(dut)
    await tb.start()
    await tb.until_idle()
    for each in REGISTERS:
        if each.access == Access.RO:
            for value in (0, _ALL):
                assert await tb.write_offset(each.offset, value) == AxiResp.SLVERR, each.name
            assert await tb.read(each.name) == reset_value(each, tb.geometry), each.name
    await tb.finish()


@cocotb.test()
async def test_no_register(dut: Any) -> None:
    """An address without a register answers SLVERR. So does the address of a byte inside a register."""
    tb = TB(dut)
    await tb.start()
    mapped = {each.offset for each in REGISTERS}
    beside = {offset + step for offset in mapped for step in (-4, 4)} | {0x41, 0x42, 0x57, (1 << ADDRESS_BITS) - 4}
    anywhere = tb.rng.integers(0, 1 << ADDRESS_BITS - 2, 30) * 4
    for offset in sorted({*beside, *anywhere.tolist()} - mapped):
        if 0 <= offset < 1 << ADDRESS_BITS:
            assert await tb.write_strobed(offset, _ALL, 0xF) == AxiResp.SLVERR, f"write of {offset:#x}"
            # The bus model reads aligned words, so reading a byte inside a register would read the register.
            if offset % 4 == 0:
                assert (await tb.read_offset(offset))[1] == AxiResp.SLVERR, f"read of {offset:#x}"
    await assert_reset_values(tb)
    await tb.finish()


@cocotb.test()
async def test_reserved_bits_and_strobes(dut: Any) -> None:
    """Writable registers keep only their fields. A write that does not strobe all bytes answers SLVERR, no effect."""
    tb = TB(dut)
    await tb.start()
    await tb.until_idle()
    for each in REGISTERS:
        if each.access == Access.RW and not each.external:
            fields = sum(field.mask for field in each.fields)
            for value in (_ALL, 0, fields, _ALL ^ fields, 0x5555_5555, 0xAAAA_AAAA):
                await tb.write(each.name, value)
                assert await tb.read(each.name) == value & fields, each.name
            await tb.write(each.name, reset_value(each, tb.geometry))
    await tb.write("IRQ_ENABLE", int(Irq.ERROR))

    await raise_errors(tb)
    writable = [each for each in REGISTERS if each.access != Access.RO]
    before = {each.name: await tb.read(each.name) for each in writable}
    assert before["COMMAND"] == 0, "COMMAND is write-only"
    for each, strobes in itertools.product(writable, range(0xF)):
        assert await tb.write_strobed(each.offset, 1, strobes) == AxiResp.SLVERR, f"{each.name}, strobes {strobes:#x}"
    assert {each.name: await tb.read(each.name) for each in writable} == before
    await tb.write("IRQ_ENABLE", 0)
    await tb.finish()


@cocotb.test()
async def test_write_one_to_clear(dut: Any) -> None:
    """A one clears its bit, a zero leaves it. ERROR and IRQ_STATUS do not clear one another."""
    tb = TB(dut)
    await tb.start()
    await raise_errors(tb)
    both = Error.COMMAND_CODE | Error.HOT_ROWS_RANGE
    for value, want in (
        (0, both), (_ALL ^ both, both), (int(Error.COMMAND_CODE), Error.HOT_ROWS_RANGE), (_ALL, 0),
    ):  # fmt: skip
        await tb.write("ERROR", value)
        assert await tb.read("ERROR") == want
    tb.scoreboard.errors = Error(0)
    assert await tb.read("IRQ_STATUS") == Irq.ERROR
    await tb.write("IRQ_STATUS", _ALL ^ Irq.ERROR)
    assert await tb.read("IRQ_STATUS") == Irq.ERROR

    # The next error sets its bit, whether the bit was cleared or is still set.
    await raise_errors(tb)
    await tb.write("IRQ_STATUS", int(Irq.ERROR))
    await tb.write("COMMAND", 0xFF)
    assert await tb.read("IRQ_STATUS") == Irq.ERROR
    assert await tb.read("ERROR") == both
    await tb.finish()


@cocotb.test()
async def test_command_codes(dut: Any) -> None:
    """A value that is not a command sets COMMAND_CODE, also if it is a command's code with more bits set."""
    tb = TB(dut)
    await tb.start()
    await tb.until_idle()
    codes = [0, len(Command) + 1, 0x80, 0xFF, *(command | 1 << bit for command in Command for bit in (8, 16, 31))]
    for code in codes:
        await tb.write("COMMAND", code)
        assert await tb.read("ERROR") == Error.COMMAND_CODE, f"COMMAND {code:#x}"
        assert not (await tb.status())["busy"], f"COMMAND {code:#x} started something"
        await tb.write("ERROR", int(Error.COMMAND_CODE))
        assert await tb.read("IRQ_STATUS") == Irq.ERROR, f"COMMAND {code:#x} must end nothing"
    await tb.write("IRQ_STATUS", _ALL)
    await tb.finish()


@cocotb.test()
async def test_interrupts(dut: Any) -> None:
    """Each cause alone: irq follows IRQ_STATUS & IRQ_ENABLE. What is left after an acknowledgement gives an edge."""
    tb = TB(dut)
    await tb.start()
    await tb.until_idle()
    assert await tb.read("IRQ_STATUS") == 0, "the walk after reset is no command"

    async def assert_irq(level: int, why: str) -> None:
        await tb.cycles(3)
        assert dut.irq.value == level, f"irq is not {level}: {why}"

    async def cause(irq: Irq) -> None:
        if irq == Irq.BATCH_DONE:
            tb.send(key_words(tb.geometry, random_keys(tb.rng, tb.geometry, 3)))
            await tb.settle()
        elif irq == Irq.COMMAND_DONE:
            await tb.command(Command.CLEAR)
        else:
            await tb.write("COMMAND", 0)
            tb.scoreboard.error(Error.COMMAND_CODE)

    for irq in Irq:
        for enabled_before in (False, True):
            await tb.write("IRQ_ENABLE", int(irq) if enabled_before else 0)
            await cause(irq)
            assert await tb.read("IRQ_STATUS") == irq
            await assert_irq(int(enabled_before), f"{irq!r} with IRQ_ENABLE {enabled_before}")
            for enable in (_ALL ^ irq, irq, 0, _ALL):
                await tb.write("IRQ_ENABLE", int(enable))
                await assert_irq(int(bool(enable & irq)), f"{irq!r} with IRQ_ENABLE {enable:#x}")
            await tb.write("IRQ_STATUS", int(irq))
            await assert_irq(0, f"{irq!r} was cleared")
    tb.scoreboard.irq = Irq(0)
    await tb.write("IRQ_ENABLE", 0)
    await tb.finish()


@cocotb.test()
@cocotb.parametrize(first=["address", "data"])
async def test_address_and_data_apart(dut: Any, first: str) -> None:
    """The address and the data of a write come far apart, in either order, with a read between them."""
    tb = TB(dut)
    await tb.start()
    await tb.until_idle()
    port = tb.axil.write_if
    late = port.w_channel if first == "address" else port.aw_channel
    for value in (5, 2, 7, 0):
        old = await tb.read("IRQ_ENABLE")
        late.pause = True
        write = cocotb.start_soon(tb.write("IRQ_ENABLE", value))
        await tb.cycles(12)
        assert await tb.read("IRQ_ENABLE") == old, "written with half of a write"
        late.pause = False
        await write
        assert await tb.read("IRQ_ENABLE") == value
    await tb.finish()


@cocotb.test()
async def test_answers_held_back(dut: Any) -> None:
    """Several accesses are outstanding and their answers are held back for long. Each is answered, in order."""
    tb = TB(dut)
    await tb.start()
    await tb.until_idle()
    names = ("ID", "VERSION", "CAP_STREAM", "HOT_ROWS", "CAP_KEY")
    answers = tb.axil.write_if.b_channel, tb.axil.read_if.r_channel
    for pause in (0, 1, 5, 40):
        for channel in answers:
            channel.pause = True
        offsets = [register("IRQ_ENABLE").offset, register("ID").offset, register("IRQ_ENABLE").offset]
        writes = [cocotb.start_soon(tb.write_offset(offset, value)) for value, offset in enumerate(offsets, 3)]
        reads = [cocotb.start_soon(tb.read(name)) for name in names]
        await tb.cycles(pause)
        for channel in answers:
            channel.pause = False
        assert [await write for write in writes] == [AxiResp.OKAY, AxiResp.SLVERR, AxiResp.OKAY]
        assert [await read for read in reads] == [reset_value(register(name), tb.geometry) for name in names]
        assert await tb.read("IRQ_ENABLE") == 5, "the last write wins"
        await tb.write("IRQ_ENABLE", 0)
    await tb.finish()


@cocotb.test()
@cocotb.parametrize(share=[0.0, 0.5])
async def test_reads_beside_writes(dut: Any, share: float) -> None:
    """Reads and writes overlap, and channels stall at random. A read returns a value that was current meanwhile."""
    tb = TB(dut)
    await tb.start()
    await tb.until_idle()
    channels = [
        tb.axil.write_if.aw_channel, tb.axil.write_if.w_channel, tb.axil.write_if.b_channel,
        tb.axil.read_if.ar_channel, tb.axil.read_if.r_channel,
    ]  # fmt: skip
    for channel in channels:
        tb.pause(channel, share)
    values = [0, *tb.rng.integers(0, 8, 60).tolist()]  # what IRQ_ENABLE holds after each write
    begun = ended = 0

    async def write_all() -> None:
        nonlocal begun, ended
        for value in values[1:]:
            begun += 1
            await tb.write("IRQ_ENABLE", value)
            ended += 1

    async def read_all() -> None:
        while ended < len(values) - 1:
            earliest = ended
            value = await tb.read("IRQ_ENABLE")
            assert value in values[earliest : begun + 1], f"{value} was not there after write {earliest} to {begun}"
            assert await tb.read("ID") == reset_value(register("ID"), tb.geometry)

    await Combine(cocotb.start_soon(write_all()), cocotb.start_soon(read_all()))
    for channel in channels:
        tb.pause(channel, 0)
    if share:
        assert tb.rules.waits["s_axil_b"] and tb.rules.waits["s_axil_r"]
    await tb.write("IRQ_ENABLE", 0)
    await tb.finish()


@cocotb.test()
async def test_counter_halves(dut: Any) -> None:
    """RESET_COUNTERS zeroes the live counters, and the registers keep the last SNAPSHOT."""
    tb = TB(dut)
    await tb.start()
    keys = random_keys(tb.rng, tb.geometry, 2)
    await tb.make_hot(keys)
    await tb.set_phase(Phase.CLASSIFY)
    tb.send(key_words(tb.geometry, np.tile(keys, 19)))
    await tb.check()
    before = await tb.counters()
    assert before["lookups"] == 40 and before["lookup_hits"] == 38
    assert before["promotions"] == 2
    await tb.command(Command.RESET_COUNTERS)
    assert await tb.counters() == before
    await tb.command(Command.SNAPSHOT)
    assert set((await tb.counters()).values()) == {0}
    await tb.finish()
