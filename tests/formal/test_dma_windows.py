"""Nothing outside the memory windows: WindowCheck says what they allow, and the engines ask for nothing else.

The user, the memory and the windows' rights may do anything; where windows are stays. An address that is offered was
allowed by the rights as they were in the cycle before. It stays until it is taken. No burst leaves its page.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from amaranth.hdl import Assert, Cat, Const, Cover, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from hotline_hw.lib.blocks import flat_ports
from hotline_hw.lib.pipelines import delay
from hotline_hw.shell.bus.judge import BurstJudge
from hotline_hw.shell.bus.read import ReadEngine
from hotline_hw.shell.bus.windows import WindowCheck
from hotline_hw.shell.bus.write import WriteEngine
from hotline_hw.spec.params import Geometry, preset
from hotline_sim.formal import PropertyFailed, check, cover, first_value, induct, prove
from tests.formal.dma_parts import geometry, with_parts
from tests.formal.mutants import mutated

Allows = Callable[[data.View, Value, Value], Value]
"""Whether windows allow access to a page: to write it, or to read it."""

WINDOW = data.StructLayout({"page": 52, "pages": 32, "read": 1, "write": 1})


def connect_windows(m: Module, there, here: data.View) -> None:
    for window, source in zip(there, here, strict=True):
        m.d.comb += [getattr(window, name).eq(source[name]) for name in ("page", "pages", "read", "write")]


def hold_places(m: Module, now: data.View) -> data.View:
    """Windows with the places that they have at first, and the rights that they have now."""
    windows = Signal(now.shape())
    first = first_value(m, now.as_value())
    m.d.comb += windows.eq(first)
    for window, source in zip(windows, now, strict=True):
        m.d.comb += [window.read.eq(source.read), window.write.eq(source.write)]
    return windows


def by_sum(windows: data.View, page: Value, write: Value) -> Value:
    """Whether a page is in a window with the right: by the sum of `page` and `pages`, which has 53 bits."""
    return Cat(
        (page >= window.page) & (page < window.page + window.pages) & Mux(write, window.write, window.read)
        for window in windows
    ).any()


class CheckIsRight(wiring.Component):
    """Windows with free rights, and a free page. The check moves in every cycle. It is a pipeline and nothing else: its
    enable only stops it."""

    def __init__(self, dut: type[WindowCheck] = WindowCheck) -> None:
        self.dut = dut
        super().__init__({"windows": In(data.ArrayLayout(WINDOW, 2)), "page": In(52), "write": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dut = dut = self.dut(2)
        windows = hold_places(m, self.windows)
        connect_windows(m, dut.windows, windows)
        m.d.comb += [dut.page.eq(self.page), dut.write.eq(self.write), dut.enable.eq(1)]
        known = Signal(dut.LATENCY)
        page = delay(m, "page", self.page, dut.LATENCY)
        m.d.sync += known.eq(Cat(1, known))
        m.d.sync += [
            Assert(~known[-1] | (dut.inside == by_sum(windows, page, self.write)), "inside a window with the right"),
            Cover(known[-1] & dut.inside & page.all() & ~windows[0].read & (windows[1].pages > 1), "the last page"),
        ]
        return m


def bit_check(bit: int) -> type[WindowCheck]:
    """Stands in for WindowCheck: bit `bit` of a page's number chooses one of two bits, which says whether the page is
    inside. So the engine's proof needs no arithmetic. The proof of the check, above, needs no engine."""

    class BitCheck(WindowCheck):
        def elaborate(self, platform: object) -> Module:
            m = Module()
            window, chosen = self.windows[0], self.page[bit]
            for stage in range(self.LATENCY):
                held = Signal(name=f"chosen{stage}")
                with m.If(self.enable):
                    m.d.sync += held.eq(chosen)
                chosen = held
            m.d.comb += [
                self.rights.eq(Mux(self.write, window.write, window.read)),
                self.within.eq(window.pages.bit_select(chosen, 1)), self.inside.eq(self.within & self.rights),
            ]  # fmt: skip
            return m

    return BitCheck


def by_bit(bit: int) -> Allows:
    """What `bit_check(bit)` allows."""

    def allows(windows: data.View, page: Value, write: Value) -> Value:
        return Mux(write, windows[0].write, windows[0].read) & windows[0].pages.bit_select(page[bit], 1)

    return allows


class AddressesAreAllowed(wiring.Component):
    """An engine in free surroundings. This component has the engine's ports; its `windows` are the windows. `allows`
    says what the check allows that the engine uses, `axi` is the channel of addresses, "ar" or "aw". The engine may be
    reset at any time."""

    def __init__(self, engine: wiring.Component, axi: str, allows: Allows) -> None:
        self.engine, self.axi, self.allows = engine, axi, allows
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
        windows = hold_places(m, self.windows)
        connect_windows(m, dut.windows, windows)
        for name, value in self.free.items():
            m.d.comb += value.eq(getattr(self, name))
        before, allowed, abort = Signal(self.windows.shape()), Signal(), Signal()
        inside = Signal()
        fields = {name: getattr(dut, self.axi + name) for name in ("id", "addr", "len", "valid", "ready")}
        now = Cat(fields["id"], fields["addr"], fields["len"])
        waiting, kept = Signal(), Signal(len(now))
        shift = (dut.geometry.axi_bits // 8).bit_length() - 1
        m.d.comb += [
            inside.eq(self.allows(before, fields["addr"][12:], Const(self.axi == "aw"))), allowed.eq(inside & ~abort),
        ]  # fmt: skip
        m.d.sync += [
            before.eq(windows), abort.eq(dut.abort),
            waiting.eq(fields["valid"] & ~fields["ready"]), kept.eq(now),
            Assert(~fields["valid"] | waiting | allowed, "an address that is new was allowed in the cycle before"),
            Assert(~waiting | (fields["valid"] & (now == kept)), "an address that is offered stays"),
            Assert(fields["len"] < dut.geometry.burst_beats, "a burst is no longer than may be"),
            Assert(fields["addr"][:shift] == 0, "of whole beats"),
            Assert(fields["addr"][shift:12] + fields["len"] < (1 << (12 - shift)), "no burst leaves its page"),
            Assert(getattr(dut, self.axi + "size") == shift, "beats are full"),
            Assert(getattr(dut, self.axi + "burst") == 1, "INCR"),
            Cover(waiting & ~inside & abort & fields["len"].any(), "an address waits, the window is gone"),
        ]  # fmt: skip
        return m


def test_the_check_is_right(tmp_path):
    induct(CheckIsRight(), tmp_path / "prove", cycles=WindowCheck.LATENCY + 2)
    cover(CheckIsRight(), tmp_path / "cover", cycles=WindowCheck.LATENCY + 2)


BURSTS_OF_16 = preset("tiny")


def allowed(
    engine: type, axi: str, check: type[WindowCheck], allows: Allows, g: Geometry = BURSTS_OF_16
) -> AddressesAreAllowed:
    dut = with_parts(engine, WindowCheck=check)
    return AddressesAreAllowed(dut(g, windows=1) if axi == "ar" else dut(g, 1, windows=1), axi, allows)


READY = {"ar": 34, "aw": 0}  # cycles after a reset in which ReadEngine clears its buffer


ENGINES = [(ReadEngine, "ar"), (WriteEngine, "aw")]


@pytest.mark.parametrize("bit", [0, 51])
@pytest.mark.parametrize(("engine", "axi"), ENGINES)
def test_addresses_are_allowed(engine, axi, bit, tmp_path):
    prove(allowed(engine, axi, bit_check(bit), by_bit(bit)), tmp_path)


@pytest.mark.parametrize(("engine", "axi"), ENGINES)
def test_addresses_are_allowed_by_the_check_itself(engine, axi, tmp_path):
    small = geometry(128)  # few places to clear
    cover(allowed(engine, axi, WindowCheck, by_sum, small), tmp_path / "cover", cycles=20)
    check(allowed(engine, axi, WindowCheck, by_sum, small), tmp_path / "check", cycles=14)


CHECK_MUTANTS = {
    "any right": ("Mux(self.write, window.write, window.read)", "(window.write | window.read)"),
    "pages before the window": ("high[len(most) + 1 :].any() | (borrow & (near == 0))", "high[len(most) + 1 :].any()"),
    "pages far beyond it": ("less.eq(~far & (beyond < 0))", "less.eq(beyond < 0)"),
    "a page too many": ("low[:_LOW] < window.pages[:_LOW]", "low[:_LOW] <= window.pages[:_LOW]"),
    "a borrow is lost": ("borrow = low[-1]", "borrow = Const(0)"),
}


@pytest.mark.parametrize("mutant", CHECK_MUTANTS)
def test_a_broken_check_is_caught(mutant, tmp_path):
    with pytest.raises(PropertyFailed):
        check(CheckIsRight(mutated(WindowCheck, *CHECK_MUTANTS[mutant])), tmp_path, cycles=WindowCheck.LATENCY + 2)


ENGINE_MUTANTS = {
    "issued under abort": ("may.eq(judge.inside & ~self.abort)", "may.eq(judge.inside)"),
    "issued outside": ("may.eq(judge.inside & ~self.abort)", "may.eq(~self.abort)"),
}


@pytest.mark.parametrize("mutant", ENGINE_MUTANTS)
@pytest.mark.parametrize(("engine", "axi"), ENGINES)
def test_an_engine_that_does_not_ask_is_caught(engine, axi, mutant, tmp_path):
    dut = mutated(engine, *ENGINE_MUTANTS[mutant])
    with pytest.raises(PropertyFailed):
        check(allowed(dut, axi, bit_check(0), by_bit(0)), tmp_path, cycles=READY[axi] + 14)


JUDGE_MUTANTS = {
    "another page is judged": ("at[len(at) - (64 - PAGE_BITS) :]", "at[len(at) - (64 - PAGE_BITS) + 1 :]"),
    "the verdict on another burst": ("check.enable.eq(move)", "check.enable.eq(1)"),
    "the verdict on the burst behind": (
        "(out.within & check.rights)",
        "(check.within & check.rights)",
    ),
    "rights as they are in no window": (
        "(out.within & check.rights)",
        "out.within",
    ),
}


@pytest.mark.parametrize("mutant", JUDGE_MUTANTS)
def test_a_broken_judge_is_caught(mutant, tmp_path):
    dut = with_parts(WriteEngine, BurstJudge=mutated(BurstJudge, *JUDGE_MUTANTS[mutant]))
    with pytest.raises(PropertyFailed):
        check(allowed(dut, "aw", bit_check(0), by_bit(0)), tmp_path, cycles=18)
