"""The proof flow itself, on one of Amaranth's own queues: it proves what is true, and catches what is not."""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Assume, Cover, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In

from hotline_sim.formal import FormalError, PropertyFailed, check, cover, first_value, induct, prove

DEPTH, WIDTH = 4, 2


class FifoIsAQueue(wiring.Component):
    """A SyncFIFO against a shift register, item by item. `bug` plants one of several faults in the FIFO's wiring."""

    def __init__(self, bug: str = "") -> None:
        self.bug = bug
        super().__init__({"push": In(1), "item": In(WIDTH), "pop": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dut = dut = SyncFIFO(width=WIDTH, depth=DEPTH)
        level = Signal(range(DEPTH + 1))
        pushed, popped = Signal(), Signal()
        m.d.comb += [
            dut.w_en.eq(self.push),
            dut.w_data.eq(self.item ^ ((level == DEPTH - 1) if self.bug == "data" else 0)),
            dut.r_en.eq(self.pop & ((level != 2) if self.bug == "stuck" else 1)),
            pushed.eq(self.push & (level != DEPTH)),
            popped.eq(self.pop & (level != 0)),
        ]
        items = Signal(WIDTH * DEPTH)  # the oldest is at the bottom
        after = Signal.like(items)
        place = Signal(range(DEPTH + 1))
        m.d.comb += [place.eq(level - popped), after.eq(Mux(popped, items >> WIDTH, items))]
        with m.If(pushed):
            m.d.comb += after.word_select(place, WIDTH).eq(self.item)
        m.d.sync += [level.eq(level + pushed - popped), items.eq(after)]

        m.d.sync += [
            Assert(dut.w_rdy == (level != DEPTH), "ready as long as it is not full"),
            Assert(dut.r_rdy == (level != 0), "valid as long as it is not empty"),
            Assert((dut.r_data == items[:WIDTH]) | (level == 0), "oldest item first"),
            Cover(level == DEPTH, "full"),
        ]
        return m


def test_true_for_all_time(tmp_path):
    prove(FifoIsAQueue(), tmp_path)


def test_true_to_a_depth(tmp_path):
    check(FifoIsAQueue(), tmp_path, cycles=12)


@pytest.mark.parametrize("run", [prove, lambda dut, folder: check(dut, folder, cycles=12)], ids=["prove", "check"])
@pytest.mark.parametrize(("bug", "claim"), [("data", "oldest item first"), ("stuck", "oldest item first|not empty")])
def test_a_broken_fifo_is_caught(run, bug, claim, tmp_path):
    with pytest.raises(PropertyFailed, match=f"Assertion violated: .*({claim}), in cycle") as failure:
        run(FifoIsAQueue(bug), tmp_path)
    trace = failure.value.trace
    assert trace is not None
    assert " items $end" in trace.read_text()
    assert str(trace) in str(failure.value)


def test_depth_counts_cycles(tmp_path):
    """The fourth item pushed is wrong. With the earliest possible pops it shows in cycle 6, so in seven cycles."""
    check(FifoIsAQueue("data"), tmp_path, cycles=6)
    with pytest.raises(PropertyFailed, match="in cycle 6") as failure:
        check(FifoIsAQueue("data"), tmp_path, cycles=7)
    assert failure.value.cycles == 7


def test_cover(tmp_path):
    with pytest.raises(PropertyFailed, match=f"cannot be reached within {DEPTH} cycles"):
        cover(FifoIsAQueue(), tmp_path, cycles=DEPTH)
    assert cover(FifoIsAQueue(), tmp_path, cycles=DEPTH + 1).exists()


class Always(wiring.Component):
    """Asserts that `port` is always `value`, under the assumption that it is `assumed`."""

    def __init__(self, value: int, assumed: int | None = None, constant: bool = False) -> None:
        self.value, self.assumed, self.constant = value, assumed, constant
        super().__init__({"port": In(2)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        port = first_value(m, self.port) if self.constant else self.port
        if self.assumed is not None:
            m.d.sync += Assume(self.port == self.assumed, "assumed")
        before = Signal(2)
        cycle = Signal(2)
        m.d.sync += [before.eq(port), cycle.eq(cycle + (cycle != 3))]
        claim = (before == port) | (cycle == 0) if self.constant else port == self.value
        m.d.sync += [Assert(claim, "claim"), Cover(self.port == 3, "three")]
        return m


def test_assumptions_hold(tmp_path):
    prove(Always(2, assumed=2), tmp_path)
    with pytest.raises(PropertyFailed, match="Assertion violated: claim, in cycle 0"):
        prove(Always(2, assumed=1), tmp_path)
    with pytest.raises(PropertyFailed, match="Assertion violated: claim, in cycle 0"):
        check(Always(2), tmp_path, cycles=1)


def test_contradicting_assumptions_are_seen_by_cover(tmp_path):
    cover(Always(3), tmp_path, cycles=1)
    with pytest.raises(PropertyFailed, match="cannot be reached"):
        cover(Always(3, assumed=1), tmp_path, cycles=5)


def test_a_constant_stays(tmp_path):
    prove(Always(0, constant=True), tmp_path)


class Tautology(wiring.Component):
    """An assertion that leaves nothing for ABC to look at."""

    def __init__(self) -> None:
        super().__init__({"port": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += Assert(self.port | ~self.port, "one or zero")
        return m


def test_a_tautology_holds(tmp_path):
    prove(Tautology(), tmp_path)
    check(Tautology(), tmp_path, cycles=3)


def test_what_is_no_induction_is_an_error(tmp_path):
    induct(Tautology(), tmp_path / "tautology", cycles=1)
    with pytest.raises(FormalError, match="no induction over 1 cycles"):
        induct(FifoIsAQueue(), tmp_path / "fifo", cycles=1)


def test_no_verdict_is_an_error(tmp_path):
    with pytest.raises(FormalError, match="100000 cycles not checked in 1 s"):
        check(FifoIsAQueue(), tmp_path, cycles=100_000, seconds=1)
