"""Nothing outside the memory windows: WindowCheck says what they allow, and the engines ask for nothing else.

The user, the memory and the windows' registers may do anything. An address that is offered was allowed by the windows
as they were in the cycle before. It stays until it is taken. No burst leaves its page.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Cat, Cover, Module, Mux, ResetInserter, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from hotline_hw.lib.blocks import flat_ports
from hotline_hw.shell.bus.read import ReadEngine
from hotline_hw.shell.bus.windows import WindowCheck
from hotline_hw.shell.bus.write import WriteEngine
from hotline_hw.spec.params import preset
from hotline_sim.formal import PropertyFailed, check, cover, prove
from tests.formal.dma_parts import with_parts
from tests.formal.mutants import mutated

WINDOW = data.StructLayout({"page": 52, "pages": 32, "read": 1, "write": 1})


def connect_windows(m: Module, there, here: data.View) -> None:
    for window, source in zip(there, here, strict=True):
        m.d.comb += [getattr(window, name).eq(source[name]) for name in ("page", "pages", "read", "write")]


class CheckIsRight(wiring.Component):
    """Free windows and a free page. A page is inside by the sum of a window's `page` and `pages`."""

    def __init__(self, dut: type[WindowCheck] = WindowCheck) -> None:
        self.dut = dut
        super().__init__({"windows": In(data.ArrayLayout(WINDOW, 2)), "page": In(52), "write": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dut = dut = self.dut(2)
        connect_windows(m, dut.windows, self.windows)
        m.d.comb += [dut.page.eq(self.page), dut.write.eq(self.write)]
        inside = []
        for window in self.windows:
            end = window.page + window.pages  # 53 bits
            inside.append(
                (self.page >= window.page) & (self.page < end) & window.as_value()[84:].bit_select(self.write, 1)
            )
        m.d.sync += [
            Assert(dut.inside == Cat(inside).any(), "inside a window with the right"),
            Cover(dut.inside & self.page.all() & ~self.windows[0].read & (self.windows[1].pages > 1), "the last page"),
        ]
        return m


def bit_check(bit: int) -> type[WindowCheck]:
    """Stands in for WindowCheck: bit `bit` of a page's number chooses one of two bits, which says whether the page is
    inside. So the engine's proof needs no arithmetic. The proof of the check, above, needs no engine."""

    class BitCheck(WindowCheck):
        def elaborate(self, platform: object) -> Module:
            m = Module()
            window = self.windows[0]
            right = Mux(self.write, window.write, window.read)
            m.d.comb += self.inside.eq(right & window.pages.bit_select(self.page[bit], 1))
            return m

    return BitCheck


class AddressesAreAllowed(wiring.Component):
    """An engine in free surroundings. This component has the engine's ports; its `windows` are the windows. `check` is
    the check that the engine uses, `axi` is the channel of addresses, "ar" or "aw". The engine may be reset at any
    time."""

    def __init__(self, engine: wiring.Component, axi: str, check: type[WindowCheck]) -> None:
        self.engine, self.axi, self.check = engine, axi, check
        self.free = {
            name: value
            for name, (value, flow) in flat_ports(engine).items()
            if flow == wiring.In and not name.startswith("windows_") and name != "bus_rst"
        }
        shapes = {name: In(len(value)) for name, value in self.free.items()}
        super().__init__({**shapes, "windows": In(data.ArrayLayout(WINDOW, len(engine.windows))), "reset": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        dut = self.engine
        m.submodules.dut = ResetInserter(self.reset)(dut)  # what is outstanding outlives it
        connect_windows(m, dut.windows, self.windows)
        for name, value in self.free.items():
            m.d.comb += value.eq(getattr(self, name))
        before, allowed, abort = Signal(self.windows.shape()), Signal(), Signal()
        m.submodules.judge = judge = self.check(len(dut.windows))
        connect_windows(m, judge.windows, before)
        fields = {name: getattr(dut, self.axi + name) for name in ("id", "addr", "len", "valid", "ready")}
        now = Cat(fields["id"], fields["addr"], fields["len"])
        waiting, kept = Signal(), Signal(len(now))
        shift = (dut.geometry.axi_bits // 8).bit_length() - 1
        m.d.comb += [
            judge.page.eq(fields["addr"][12:]), judge.write.eq(self.axi == "aw"), allowed.eq(judge.inside & ~abort),
        ]  # fmt: skip
        m.d.sync += [
            before.eq(self.windows), abort.eq(dut.abort),
            waiting.eq(fields["valid"] & ~fields["ready"]), kept.eq(now),
            Assert(~fields["valid"] | waiting | allowed, "an address that is new was allowed in the cycle before"),
            Assert(~waiting | (fields["valid"] & (now == kept)), "an address that is offered stays"),
            Assert(fields["len"] < dut.geometry.burst_beats, "a burst is no longer than may be"),
            Assert(fields["addr"][:shift] == 0, "of whole beats"),
            Assert(fields["addr"][shift:12] + fields["len"] < (1 << (12 - shift)), "no burst leaves its page"),
            Assert(getattr(dut, self.axi + "size") == shift, "beats are full"),
            Assert(getattr(dut, self.axi + "burst") == 1, "INCR"),
            Cover(waiting & ~judge.inside & abort & fields["len"].any(), "an address waits, the window is gone"),
        ]  # fmt: skip
        return m


def test_the_check_is_right(tmp_path):
    prove(CheckIsRight(), tmp_path / "prove")
    cover(CheckIsRight(), tmp_path / "cover", cycles=2)


def allowed(engine: type, axi: str, check: type[WindowCheck]) -> AddressesAreAllowed:
    g = preset("tiny")  # bursts of 16 beats
    dut = with_parts(engine, WindowCheck=check)
    return AddressesAreAllowed(dut(g, windows=1) if axi == "ar" else dut(g, 1, windows=1), axi, check)


ENGINES = [(ReadEngine, "ar"), (WriteEngine, "aw")]


@pytest.mark.parametrize("bit", [0, 51])
@pytest.mark.parametrize(("engine", "axi"), ENGINES)
def test_addresses_are_allowed(engine, axi, bit, tmp_path):
    prove(allowed(engine, axi, bit_check(bit)), tmp_path)


@pytest.mark.parametrize(("engine", "axi"), ENGINES)
def test_addresses_are_allowed_by_the_check_itself(engine, axi, tmp_path):
    cover(allowed(engine, axi, WindowCheck), tmp_path / "cover", cycles=10)
    check(allowed(engine, axi, WindowCheck), tmp_path / "check", cycles=8)


CHECK_MUTANTS = {
    "any right": ("right = Mux(self.write, window.write, window.read)", "right = window.write | window.read"),
    "pages before the window": ("right & ~beyond[-1]", "right"),
    "a page too many": ("beyond[:-1] < window.pages", "beyond[:-1] <= window.pages"),
}


@pytest.mark.parametrize("mutant", CHECK_MUTANTS)
def test_a_broken_check_is_caught(mutant, tmp_path):
    with pytest.raises(PropertyFailed):
        prove(CheckIsRight(mutated(WindowCheck, *CHECK_MUTANTS[mutant])), tmp_path)


ENGINE_MUTANTS = {
    "issued under abort": ("may.eq(check.inside & ~self.abort)", "may.eq(check.inside)"),
    "issued outside": ("may.eq(check.inside & ~self.abort)", "may.eq(~self.abort)"),
    "another page is judged": ("check.page.eq(burst.at[PAGE_BITS -", "check.page.eq(burst.at[PAGE_BITS + 1 -"),
}


@pytest.mark.parametrize("mutant", ENGINE_MUTANTS)
@pytest.mark.parametrize(("engine", "axi"), ENGINES)
def test_an_engine_that_does_not_ask_is_caught(engine, axi, mutant, tmp_path):
    with pytest.raises(PropertyFailed):
        check(allowed(mutated(engine, *ENGINE_MUTANTS[mutant]), axi, bit_check(0)), tmp_path, cycles=12)
