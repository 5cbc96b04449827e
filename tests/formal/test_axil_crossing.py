"""AxilCrossing, for clocks of any ratio and phase: every access goes across once and its answer comes back.

What crosses stands still while the other side may look at it. Both sides keep AXI4-Lite's rules.

In each step either clock ticks, or both, or none. A flip-flop that a new bit catches unawares takes the old bit or the
new one. That is the same as a tick just before or just after the change, and both are among the steps.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Assume, Cat, Cover, DomainRenamer, EnableInserter, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hotline_hw.lib.axil_crossing import HOST_DOMAIN, AxilCrossing
from hotline_sim.formal import PropertyFailed, check, cover, prove
from tests.formal.mutants import mutated
from tests.formal.shell_mutants import AXIL_CROSSING

ADDRESS_BITS = 4
NEAR = {
    "awaddr": ADDRESS_BITS, "awprot": 3, "awvalid": 1, "wdata": 32, "wstrb": 4, "wvalid": 1, "bready": 1,
    "araddr": ADDRESS_BITS, "arprot": 3, "arvalid": 1, "rready": 1,
}  # fmt: skip
FAR = {"awready": 1, "wready": 1, "bvalid": 1, "bresp": 2, "arready": 1, "rvalid": 1, "rresp": 2, "rdata": 32}


class AccessesGoAcross(wiring.Component):
    """A free manager in one clock, a free subordinate in the other; both keep AXI4-Lite's rules."""

    def __init__(self, dut: type[AxilCrossing] = AxilCrossing) -> None:
        self.dut = dut
        inputs = {f"near_{name}": In(bits) for name, bits in NEAR.items()}
        inputs |= {f"far_{name}": In(bits) for name, bits in FAR.items()}
        super().__init__(inputs | {"near_ticks": In(1), "far_ticks": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        dut = self.dut(ADDRESS_BITS)
        near, far = dut.s_axil, dut.m_axil
        ticking = EnableInserter({HOST_DOMAIN: self.near_ticks, "sync": self.far_ticks})(dut)
        m.submodules.dut = DomainRenamer({HOST_DOMAIN: "sync"})(ticking)
        for side, port, names in (("near", near, NEAR), ("far", far, FAR)):
            m.d.comb += [getattr(port, name).eq(getattr(self, f"{side}_{name}")) for name in names]

        def stays(claim: type, ticks: Signal, valid, ready, payload, text: str) -> None:
            """What is offered and not taken stays, in each step, so between the ticks too."""
            held, before = Signal(), Signal(len(payload))
            m.d.sync += [
                held.eq(valid & ~(ready & ticks)), before.eq(payload),
                claim(~held | (valid & (payload == before)), f"{text} stays"),
            ]  # fmt: skip

        for claim, ticks, port, side in (
            (Assume, self.near_ticks, near, "manager"), (Assert, self.far_ticks, far, "far")
        ):  # fmt: skip
            stays(claim, ticks, port.awvalid, port.awready, Cat(port.awaddr, port.awprot), f"{side} write address")
            stays(claim, ticks, port.wvalid, port.wready, Cat(port.wdata, port.wstrb), f"{side} write data")
            stays(claim, ticks, port.arvalid, port.arready, Cat(port.araddr, port.arprot), f"{side} read address")
        for claim, ticks, port, side in (
            (Assert, self.near_ticks, near, "manager"), (Assume, self.far_ticks, far, "far")
        ):  # fmt: skip
            stays(claim, ticks, port.bvalid, port.bready, port.bresp, f"{side} write response")
            stays(claim, ticks, port.rvalid, port.rready, Cat(port.rdata, port.rresp), f"{side} read data")

        def once(ticks: Signal, valid, ready, over, payload, name: str) -> tuple[Signal, Signal]:
            """Whether a payload was taken and its access is not over, and which it was."""
            taken, value = Signal(name=f"{name}_taken"), Signal(len(payload), name=f"{name}_value")
            m.d.sync += [
                taken.eq((taken | (valid & ready & ticks)) & ~over),
                Assert(~(valid & ready & ticks) | ~taken, f"{name}: one access at a time"),
            ]
            with m.If(valid & ready & ticks):
                m.d.sync += value.eq(payload)
            return taken, value

        completed = []
        for name, answer, requests in (
            ("write", (("bvalid", "bready"), ("bresp",)),
             ((("awvalid", "awready"), ("awaddr", "awprot")), (("wvalid", "wready"), ("wdata", "wstrb")))),
            ("read", (("rvalid", "rready"), ("rdata", "rresp")), ((("arvalid", "arready"), ("araddr", "arprot")),)),
        ):  # fmt: skip
            ended = [
                ticks & getattr(port, answer[0][0]) & getattr(port, answer[0][1])
                for ticks, port in ((self.near_ticks, near), (self.far_ticks, far))
            ]
            # From the far answer until the manager has it, nothing may begin on the far side.
            answered = Signal(name=f"{name}_answered")
            values = [Cat(getattr(port, part) for part in answer[1]) for port in (near, far)]
            kept = Signal(len(values[0]), name=f"{name}_kept")
            whole, all_here = 1, 1
            for (valid, ready), parts in requests:
                ours, theirs = (Cat(getattr(port, part) for part in parts) for port in (near, far))
                here, sent = once(self.near_ticks, getattr(near, valid), getattr(near, ready), ended[0], ours, valid)
                there, _ = once(
                    self.far_ticks, getattr(far, valid), getattr(far, ready), ended[1], theirs, f"far_{valid}"
                )
                m.d.sync += Assert(
                    ~getattr(far, valid) | (here & ~there & ~answered & (theirs == sent)), f"{valid}: once, as it came"
                )
                whole, all_here = whole & there, all_here & here
            m.d.sync += [
                answered.eq((answered | ended[1]) & ~ended[0]),
                Assume(~getattr(far, answer[0][0]) | whole, f"a subordinate answers a whole {name}"),
                Assert(
                    ~getattr(near, answer[0][0]) | (all_here & answered & (values[0] == kept)), f"{name}: its answer"
                ),
            ]
            with m.If(ended[1]):
                m.d.sync += kept.eq(values[1])
            count = Signal(2, name=f"{name}s")
            m.d.sync += count.eq(count + ended[0])
            completed.append(count == 2)
        m.d.sync += Cover(Cat(completed).all(), "two accesses each way")
        return m


def test_accesses_go_across(tmp_path):
    prove(AccessesGoAcross(), tmp_path / "prove")
    cover(AccessesGoAcross(), tmp_path / "cover", cycles=24)


@pytest.mark.parametrize("mutant", AXIL_CROSSING)
def test_a_broken_crossing_is_caught(mutant, tmp_path):
    with pytest.raises(PropertyFailed):
        check(AccessesGoAcross(mutated(AxilCrossing, *AXIL_CROSSING[mutant])), tmp_path, cycles=20)


def test_a_crossing_that_gets_stuck_is_caught(tmp_path):
    stuck = mutated(AxilCrossing, "answered.eq(asking & (answered | self.done))", "answered.eq(answered | self.done)")
    with pytest.raises(PropertyFailed):
        cover(AccessesGoAcross(stuck), tmp_path, cycles=24)
