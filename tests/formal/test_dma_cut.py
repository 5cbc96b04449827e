"""BurstCutter: the bursts of a request are all of it, in order, and each burst is as long as it may be.

One request is watched, chosen freely among all. Extents have a few bits. Of an address, the low bits are free, those
between them and bit 32 are all zeros or all ones, and so are some above, so that carries go to bit 32 and beyond.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Assume, Cat, Const, Cover, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hotline_hw.shell.bus.cut import BurstCutter
from hotline_hw.shell.layouts import ReadTarget
from hotline_sim.formal import PropertyFailed, check, cover, prove
from tests.formal.dma_parts import geometry, with_parts
from tests.formal.mutants import mutated

BITS = 4  # of an extent
PLACE = 6  # of an address, in granules
UPPER = 3  # of an address, from bit 32 on


class RequestsAreCut(wiring.Component):
    """Ports:
    valid, place, middle, upper, granules, target: the request. watch: watch it. ready: the burst is taken.
    """

    def __init__(self, axi_bits: int, dut: type[BurstCutter] = BurstCutter) -> None:
        self.geometry, self.dut = geometry(axi_bits), dut
        super().__init__(
            {
                "valid": In(1), "place": In(PLACE), "middle": In(1), "upper": In(UPPER), "granules": In(BITS),
                "target": In(ReadTarget), "watch": In(1), "ready": In(1),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        m.submodules.dut = dut = with_parts(self.dut, EXTENT_BITS=BITS)(g)
        request, burst = dut.request.payload, dut.burst.payload
        m.d.comb += [
            dut.request.valid.eq(self.valid), request.address.eq(
                Cat(Const(0, 4), self.place, self.middle.replicate(28 - PLACE), self.upper)
            ), request.granules.eq(self.granules),
            request.target.eq(self.target), dut.burst.ready.eq(self.ready),
        ]  # fmt: skip
        inside, taken, left, ended = Signal(range(5)), Signal(), Signal(), Signal()
        m.d.comb += [
            taken.eq(self.valid & dut.request.ready),
            left.eq(dut.burst.valid & self.ready),
            ended.eq(left & burst.last),
        ]
        held, payload = Signal(), Signal.like(burst.as_value())
        m.d.sync += [
            Assume(self.granules != 0, "a request is of a granule at least"),
            inside.eq(inside + taken - ended),
            Assert(~dut.burst.valid | (inside != 0), "a burst is of a request"),
            Assert(dut.busy == (inside != 0), "busy as long as a request is inside"),
            held.eq(dut.burst.valid & ~self.ready),
            payload.eq(burst.as_value()),
            Assert(~held | (dut.burst.valid & (burst.as_value() == payload)), "a burst that is offered stays"),
        ]
        watching, ahead, target = Signal(), Signal.like(inside), Signal(ReadTarget)
        place, granules = Signal(PLACE + 1), Signal(BITS)
        middle, upper = Signal(), Signal(UPPER)
        with m.If(~watching):
            with m.If(taken & self.watch):
                m.d.sync += [watching.eq(1), ahead.eq(inside - ended), target.eq(self.target)]
                m.d.sync += [place.eq(self.place), granules.eq(self.granules)]
                m.d.sync += [middle.eq(self.middle), upper.eq(self.upper)]
        with m.Elif(ahead != 0):
            m.d.sync += ahead.eq(ahead - ended)

        carry = place[PLACE]
        between = Mux(middle, ~carry.replicate(28 - PLACE), carry)
        address = Cat(Const(0, 4), place[:PLACE], between[: 28 - PLACE], Const(0, 32))
        address = address | ((upper + (middle & carry)) << 32)
        span = g.granules * g.burst_beats
        split = g.granules.bit_length() - 1
        room, count, end, stop = Signal(BITS), Signal(BITS), Signal(PLACE + 1), Signal()
        m.d.comb += [
            room.eq(span - place % span),
            stop.eq(granules <= room),
            count.eq(Mux(stop, granules, room)),
            end.eq(place + count - 1),
        ]
        with m.If(watching & (ahead == 0) & left):
            m.d.sync += [
                watching.eq(~stop),
                place.eq(place + count),
                granules.eq(granules - count),
                Assert(burst.at == (address >> 4 + split), "from where the last one ended"),
                Assert(burst.first == place % g.granules, "its first granule"),
                Assert(burst.end == end % g.granules, "its last granule"),
                Assert(burst.len == (end >> split) - (place >> split), "its beats"),
                Assert(burst.last == stop, "the last burst is told"),
                Assert(burst.target == target, "for whom it is"),
            ]
        bursts = Signal(3)
        m.d.sync += [
            bursts.eq(Mux(watching & (ahead == 0), bursts + left, 0)),
            Cover(watching & (ahead == 0) & (bursts == 2) & left & burst.last & taken, "three bursts and the next one"),
        ]
        return m


@pytest.mark.parametrize("axi_bits", [128, 256, 512])
def test_requests_are_cut(axi_bits, tmp_path):
    prove(RequestsAreCut(axi_bits), tmp_path / "prove")
    cover(RequestsAreCut(axi_bits), tmp_path / "cover", cycles=10)


MUTANTS = {
    "a burst too few": ("last.eq(left == 0)", "last.eq(left <= 1)"),
    "a carry that ends at bit 32": ("Mux(carried, next_high, high)", "high"),
    "a carry beyond bit 32": ("high + 1", "high ^ 1"),
    "a carry that is forgotten": ("carried.eq(carried | block[-1])", "carried.eq(block[-1])"),
    "the carry of the request before": ("                carried.eq(0),\n", ""),
    "beats of the end in every burst": ("Mux(last, final, g.burst_beats - 1)", "final"),
    "a burst as long as from its beginning": (" - low[:burst_shift]),", "),"),
    "the next burst begins in mid-beat": ("                first.eq(0),\n", ""),
    "a granule lost": ("comes.address[4 : 4 + near] - 1)", "comes.address[4 : 4 + near])"),
    "every burst ends as the request does": ("burst.end.eq(Mux(last, end, g.granules - 1))", "burst.end.eq(end)"),
    "a burst that waits is overwritten": ("offered.eq(cutting & bursts.input.ready)", "offered.eq(cutting)"),
    "an extent's carry is lost": (" + reach[near:].as_signed()", ""),
    "a request is overwritten": ("~cutting | (offered & last)", "~cutting | offered"),
}  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_cutter_is_caught(mutant, tmp_path):
    with pytest.raises(PropertyFailed):
        check(RequestsAreCut(256, mutated(BurstCutter, *MUTANTS[mutant])), tmp_path, cycles=10)
