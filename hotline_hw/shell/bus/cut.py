"""BurstCutter: cuts read requests into bursts."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.lib.streams import SkidBuffer
from hotline_hw.shell.layouts import EXTENT_BITS, ReadTarget, read_request
from hotline_hw.spec.params import Geometry

__all__ = ["BurstCutter", "read_burst"]


_LOW_BITS = 32  # of an address, that change by counting; the rest by the carry


def _shifts(geometry: Geometry) -> tuple[int, int, int]:
    """log2 of the bytes of a beat, of the granules of a beat, and of the beats of a burst."""
    sizes = (geometry.axi_bits // 8, geometry.granules, geometry.burst_beats)
    return sizes[0].bit_length() - 1, sizes[1].bit_length() - 1, sizes[2].bit_length() - 1


def read_burst(geometry: Geometry) -> data.StructLayout:
    """A burst of `len` + 1 beats. `at` is its address, in beats.

    The request asks for the granules from `first` of the first beat to `end` of the last beat, both included. `last`:
    this burst ends the request.
    """
    beat_shift, _, burst_shift = _shifts(geometry)
    granule = range(max(2, geometry.granules))
    return data.StructLayout(
        {"at": 64 - beat_shift, "len": burst_shift, "first": granule, "end": granule, "target": ReadTarget, "last": 1}
    )


class BurstCutter(wiring.Component):
    """Cuts each request into bursts. A burst ends at a multiple of `burst_beats` beats, or with the request.

    Ports:
        request: payload `read_request`. One of no granules is taken as one of a granule.
        burst: payload `read_burst`.
        busy: it holds a request whose last burst was not taken.

    Throughput: a burst a cycle. Requests follow each other without a gap. Latency: 3 cycles. `request.ready` does not
    follow `burst.ready` in the same cycle.

    A request is shorter than 4 GiB, so the upper half of its addresses has one of two values. The larger one is
    computed beside the first burst. What is counted down is bursts, so that nothing is compared with the beats left.
    The extent is added up in two steps: its lowest granules when the request comes, the rest when it is cut.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "request": In(stream.Signature(read_request(geometry))),
                "burst": Out(stream.Signature(read_burst(geometry))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        beat_shift, split, burst_shift = _shifts(g)
        m.submodules.bursts = bursts = SkidBuffer(read_burst(g))
        wiring.connect(m, bursts.output, wiring.flipped(self.burst))
        burst = bursts.input.payload
        held = Signal()  # a request waits to be cut
        request = Signal(self.request.payload.shape())
        cutting = Signal()
        load = Signal()
        offered = Signal()
        m.d.comb += [
            bursts.input.valid.eq(cutting),
            offered.eq(cutting & bursts.input.ready),
            self.request.ready.eq(~held | load),
            self.busy.eq(held | cutting | self.burst.valid),
        ]

        # The extent, counted from where its first burst could have begun: the last granule.
        near = split + burst_shift  # log2 of the granules of a burst
        comes = self.request.payload
        granules = comes.granules[:EXTENT_BITS]
        reach = Signal(signed(near + 2))  # with a carry, or a borrow
        none = Signal()  # such a request has one granule, so that it makes no burst that leaves its page
        with m.If(self.request.ready):
            m.d.sync += [
                held.eq(self.request.valid), request.eq(comes), none.eq(granules == 0),
                reach.eq(granules[:near] + comes.address[4 : 4 + near] - 1),
            ]  # fmt: skip
        offset = request.address[4 : 4 + near]  # granules before the first
        final_granule = Signal(near)
        m.d.comb += final_granule.eq(Mux(none, offset, reach[:near]))

        low = Signal(_LOW_BITS - beat_shift)
        high = Signal(64 - _LOW_BITS)
        next_high = Signal.like(high)
        carried = Signal()
        left = Signal(EXTENT_BITS - near + 1)  # bursts after this one
        final = Signal(burst_shift)  # the last beat, from where its burst could have begun
        first = Signal.like(burst.first)
        end = Signal.like(burst.end)
        target = Signal.like(burst.target)
        last = Signal()
        block = low[burst_shift:] + 1
        m.d.comb += [last.eq(left == 0), load.eq(~cutting | (offered & last))]
        m.d.sync += next_high.eq(high + 1)
        with m.If(load):
            m.d.sync += [
                cutting.eq(held),
                Cat(low, high).eq(request.address[beat_shift:]),
                carried.eq(0),
                left.eq(Mux(none, 0, request.granules[near:EXTENT_BITS] + reach[near:].as_signed())),
                final.eq(final_granule[split:]),
                first.eq(offset[:split]),
                end.eq(final_granule[:split]),
                target.eq(request.target),
            ]
        with m.Elif(offered):
            m.d.sync += [
                low.eq(Cat(Const(0, burst_shift), block[:-1])),
                carried.eq(carried | block[-1]),
                left.eq(left - 1),
                first.eq(0),
            ]
        m.d.comb += [
            burst.at.eq(Cat(low, Mux(carried, next_high, high))),
            burst.len.eq(Mux(last, final, g.burst_beats - 1) - low[:burst_shift]),
            burst.first.eq(first),
            burst.end.eq(Mux(last, end, g.granules - 1)),
            burst.target.eq(target),
            burst.last.eq(last),
        ]
        return m
