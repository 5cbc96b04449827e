"""BurstCutter: cuts read requests into bursts."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.shell.layouts import EXTENT_BITS, ReadTarget, read_request
from hotline_hw.spec.params import Geometry

__all__ = ["BurstCutter", "read_burst"]


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
        request: payload `read_request`.
        burst: payload `read_burst`.
        busy: it holds a request whose last burst was not taken.

    Throughput: a burst a cycle. Requests follow each other without a gap. Latency: 2 cycles.
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
        request, burst = self.request.payload, self.burst.payload
        cutting = Signal()
        at = Signal.like(burst.at)
        first = Signal.like(burst.first)
        end = Signal.like(burst.end)
        target = Signal.like(burst.target)
        beyond = Signal(EXTENT_BITS + 1)  # beats left less one
        room = Signal(burst_shift)  # beats up to where a burst has to end, less one
        last = Signal()
        offered = Signal()
        m.d.comb += [
            room.eq(~at[:burst_shift]),
            last.eq(beyond <= room),
            offered.eq(cutting & (~self.burst.valid | self.burst.ready)),
            self.request.ready.eq(~cutting | (offered & last)),
            self.busy.eq(cutting | self.burst.valid),
        ]
        with m.If(self.request.ready):
            lead = request.address[4 : 4 + split]
            extent = Signal(EXTENT_BITS + 1)  # granules from the first beat's first to the last asked for
            m.d.comb += extent.eq(request.granules + lead - 1)
            m.d.sync += [
                cutting.eq(self.request.valid),
                at.eq(request.address[beat_shift:]),
                first.eq(lead),
                end.eq(extent[:split]),
                beyond.eq(extent[split:]),
                target.eq(request.target),
            ]
        with m.Elif(offered):
            m.d.sync += [
                at[:burst_shift].eq(0),
                at[burst_shift:].eq(at[burst_shift:] + 1),
                beyond.eq(beyond - room - 1),
                first.eq(0),
            ]
        with m.If(~self.burst.valid | self.burst.ready):
            m.d.sync += self.burst.valid.eq(cutting)
        with m.If(offered):
            m.d.sync += [
                burst.at.eq(at),
                burst.len.eq(Mux(last, beyond, room)),
                burst.first.eq(first),
                burst.end.eq(Mux(last, end, g.granules - 1)),
                burst.target.eq(target),
                burst.last.eq(last),
            ]
        return m
