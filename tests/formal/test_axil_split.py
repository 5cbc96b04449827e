"""AxilSplit: every access goes to its half once and its response comes back. All sides keep AXI4-Lite's rules.

CycleAccounts: a busy cycle has one cause.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Assume, Cat, Cover, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hotline_hw.shell.accounts import CycleAccounts
from hotline_hw.shell.axil_split import AxilSplit
from hotline_hw.spec.regmap import ADDRESS_BITS
from hotline_sim.formal import PropertyFailed, check, cover, prove
from tests.formal.mutants import mutated
from tests.formal.shell_mutants import ACCOUNTS, AXIL_SPLIT

HALF = {"awready": 1, "wready": 1, "bvalid": 1, "bresp": 2, "arready": 1, "rvalid": 1, "rresp": 2, "rdata": 32}
BUS = {
    "awaddr": ADDRESS_BITS + 1, "awprot": 3, "awvalid": 1, "wdata": 32, "wstrb": 4, "wvalid": 1, "bready": 1,
    "araddr": ADDRESS_BITS + 1, "arprot": 3, "arvalid": 1, "rready": 1,
}  # fmt: skip


def stays(m: Module, claim: type, valid, ready, payload, text: str) -> None:
    """A `claim` that a payload which is offered and not taken is offered again, unchanged."""
    held, before = Signal(), Signal(len(payload))
    m.d.sync += [
        held.eq(valid & ~ready), before.eq(payload), claim(~held | (valid & (payload == before)), f"{text} stays"),
    ]  # fmt: skip


class AccessesAreHandedOn(wiring.Component):
    """A free manager and two free subordinates that keep AXI4-Lite's rules. `hold` asks that no access begins."""

    def __init__(self, dut: type[AxilSplit] = AxilSplit) -> None:
        self.dut = dut
        halves = {f"{half}_{name}": In(bits) for half in ("lower", "upper") for name, bits in HALF.items()}
        super().__init__({name: In(bits) for name, bits in BUS.items()} | halves | {"hold": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dut = dut = self.dut()
        bus, halves = dut.bus, {"lower": dut.lower, "upper": dut.upper}
        m.d.comb += [getattr(bus, name).eq(getattr(self, name)) for name in BUS]
        held = Signal()  # from a cycle without an access on
        asks = Cat(half.awvalid | half.wvalid | half.arvalid for half in halves.values()).any()
        m.d.comb += dut.hold.eq(held)
        m.d.sync += [
            held.eq(self.hold & (held | ~dut.busy)), Assert(~held | ~(asks | dut.busy), "no access begins while held"),
        ]  # fmt: skip
        for half, port in halves.items():
            m.d.comb += [getattr(port, name).eq(getattr(self, f"{half}_{name}")) for name in HALF]
        for claim, port, name in ((Assume, bus, "manager's"), *((Assert, halves[half], half) for half in halves)):
            stays(m, claim, port.awvalid, port.awready, Cat(port.awaddr, port.awprot), f"{name} write address")
            stays(m, claim, port.wvalid, port.wready, Cat(port.wdata, port.wstrb), f"{name} write data")
            stays(m, claim, port.arvalid, port.arready, Cat(port.araddr, port.arprot), f"{name} read address")
        for claim, port, name in ((Assert, bus, "manager's"), *((Assume, halves[half], half) for half in halves)):
            stays(m, claim, port.bvalid, port.bready, port.bresp, f"{name} write response")
            stays(m, claim, port.rvalid, port.rready, Cat(port.rdata, port.rresp), f"{name} read data")

        # The manager's access that is under way.
        address, has_address = Signal(ADDRESS_BITS + 4), Signal()
        word, has_word = Signal(36), Signal()
        read_address, reading = Signal(ADDRESS_BITS + 4), Signal()
        written, read = bus.bvalid & bus.bready, bus.rvalid & bus.rready
        for taken, to, value, flag, over in (
            (bus.awvalid & bus.awready, address, Cat(bus.awprot, bus.awaddr), has_address, written),
            (bus.wvalid & bus.wready, word, Cat(bus.wdata, bus.wstrb), has_word, written),
            (bus.arvalid & bus.arready, read_address, Cat(bus.arprot, bus.araddr), reading, read),
        ):
            m.d.sync += flag.eq((flag & ~over) | taken)
            m.d.sync += Assert(~taken | ~flag | over, "one access at a time in each direction")
            with m.If(taken):
                m.d.sync += to.eq(value)
        m.d.sync += [
            Assert(~bus.bvalid | (has_address & has_word), "a response to what was written"),
            Assert(~bus.rvalid | reading, "data for what is read"),
        ]

        writing, busy = [], []
        for index, (half, port) in enumerate(halves.items()):
            sent, word_sent, asked = (Signal(name=f"{half}_{name}") for name in ("sent", "word_sent", "asked"))
            answered, came = port.bvalid & port.bready, port.rvalid & port.rready
            m.d.sync += [
                sent.eq((sent | (port.awvalid & port.awready)) & ~answered),
                word_sent.eq((word_sent | (port.wvalid & port.wready)) & ~answered),
                asked.eq((asked | (port.arvalid & port.arready)) & ~came),
                Assume(~port.bvalid | (sent & word_sent), "a subordinate responds to what was written"),
                Assume(~port.rvalid | asked, "a subordinate sends what was asked for"),
            ]
            for valid, to, value, there, once in (
                (port.awvalid, Cat(port.awprot, port.awaddr), address, has_address, sent),
                (port.wvalid, Cat(port.wdata, port.wstrb), word, has_word, word_sent),
                (port.arvalid, Cat(port.arprot, port.araddr), read_address, reading, asked),
            ):
                m.d.sync += Assert(~valid | (there & (to == value[: len(to)])), "what is handed on is what came")
                m.d.sync += Assert(~valid | ~once, "handed on once")
            mine, read_mine = address[-1] == index, read_address[-1] == index
            m.d.sync += [
                Assert(~(port.awvalid | port.wvalid) | mine, "a write goes to its half"),
                Assert(~port.arvalid | read_mine, "a read goes to its half"),
                Assert(~(port.bvalid & has_address & has_word & mine) | (bus.bvalid & (bus.bresp == port.bresp)),
                       "its response comes back"),
                Assert(~port.rvalid | (bus.rvalid & (Cat(bus.rdata, bus.rresp) == Cat(port.rdata, port.rresp))),
                       "its data comes back"),
                Assert(answered == (written & mine), "a response is taken from who wrote"),
                Assert(came == (read & read_mine), "data is taken from who was read"),
                Assert(~(has_address & has_word & mine) | sent | port.awvalid | held, "a write's address is offered"),
                Assert(~(has_address & has_word & mine) | word_sent | port.wvalid | held, "a write's data is offered"),
                Assert(~(reading & read_mine) | asked | port.arvalid | held, "a read is offered"),
            ]  # fmt: skip
            writing.append(has_address & has_word & mine & ~held)
            busy.append(writing[-1] | (reading & read_mine & ~held))
        lately = Signal(2)  # whether a write to the lower half was under way in the two cycles before
        m.d.sync += [
            lately.eq(Cat(writing[0], lately)),
            Assert(bus.awready == (~has_address & ~lately[0]), "the next write's address is taken as soon as can be"),
            Assert(~(writing[0] & ~lately[0] & lately[1]), "two cycles without a write to the lower half between two"),
            Assert(bus.wready == ~has_word, "the next write's data is taken as soon as can be"),
            Assert(bus.arready == ~reading, "the next read is taken as soon as can be"),
            Assert(dut.lower_writing == writing[0], "writing as long as a write to the lower half is under way"),
            Assert(dut.lower_busy == busy[0], "busy as long as an access to the lower half is under way"),
        ]
        writes, reads = Signal(2), Signal(2)
        m.d.sync += [
            writes.eq(writes + (written & address[-1])), reads.eq(reads + (read & ~read_address[-1])),
            Cover((writes == 2) & (reads == 2) & dut.lower_busy, "two accesses each way"),
        ]  # fmt: skip
        return m


def test_accesses_are_handed_on(tmp_path):
    prove(AccessesAreHandedOn(), tmp_path / "prove")
    cover(AccessesAreHandedOn(), tmp_path / "cover", cycles=14)


@pytest.mark.parametrize("mutant", AXIL_SPLIT)
def test_a_broken_split_is_caught(mutant, tmp_path):
    with pytest.raises(PropertyFailed):
        check(AccessesAreHandedOn(mutated(AxilSplit, *AXIL_SPLIT[mutant])), tmp_path, cycles=7)


CAUSES = ("useful", "write", "core", "read")


class ACycleHasOneCause(wiring.Component):
    def __init__(self, dut: type[CycleAccounts] = CycleAccounts) -> None:
        self.dut = dut
        super().__init__({"busy": In(1), **{cause: In(1) for cause in CAUSES}})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dut = dut = self.dut()
        m.d.comb += dut.busy.eq(self.busy)
        m.d.comb += [getattr(dut, cause).eq(getattr(self, cause)) for cause in CAUSES]
        put_down = [getattr(dut, f"dma_{cause}") for cause in (*CAUSES, "overhead")]
        m.d.sync += [
            Assert(dut.dma_cycles == self.busy, "busy cycles are counted"),
            Assert(sum(put_down) == self.busy, "each has one cause, and no other cycle has one"),
            *(Assert(~getattr(dut, f"dma_{cause}") | getattr(self, cause), f"{cause} holds") for cause in CAUSES),
            *(
                Assert(~put_down[late] | ~getattr(self, CAUSES[early]), "the first that holds")
                for late in range(len(put_down))
                for early in range(late)
            ),
            Cover(dut.dma_overhead, "overhead"),
        ]
        return m


def test_a_cycle_has_one_cause(tmp_path):
    prove(ACycleHasOneCause(), tmp_path / "prove")
    cover(ACycleHasOneCause(), tmp_path / "cover", cycles=2)


@pytest.mark.parametrize("mutant", ACCOUNTS)
def test_broken_accounts_are_caught(mutant, tmp_path):
    with pytest.raises(PropertyFailed):
        check(ACycleHasOneCause(mutated(CycleAccounts, *ACCOUNTS[mutant])), tmp_path, cycles=2)
