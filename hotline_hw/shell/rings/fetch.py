"""DescriptorFetch: reads the next descriptor ahead."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.lib.arithmetic import add_in_halves
from hotline_hw.shell.layouts import ReadTarget, descriptor_layout, read_beat, read_request
from hotline_hw.spec.descriptors import ENTRY_BYTES, GRANULE_BYTES
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.shell_registers import MAX_RING_LOG2

__all__ = ["DescriptorFetch"]

_ENTRY_SHIFT = ENTRY_BYTES.bit_length() - 1


class DescriptorFetch(wiring.Component):
    """Keeps one descriptor ready while another is carried out.

    Ports:
        enable: descriptors are fetched. While it is low, the descriptor that is ready is dropped.
        base: address of the ring.
        entry: its next entry.
        available: that entry holds a descriptor.
        fetched: high for a cycle when a descriptor came out of the ring.
        request: payload `read_request`.
        data: payload `read_beat`.
        output: the descriptor.
        busy: a descriptor is being read.
        asked: its read was requested, at `address`.
        failed: high for a cycle when it could not be read. No other is fetched until enable is low.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "enable": In(1),
                "base": In(64),
                "entry": In(MAX_RING_LOG2),
                "available": In(1),
                "fetched": Out(1),
                "request": Out(stream.Signature(read_request(geometry))),
                "data": In(stream.Signature(read_beat(geometry))),
                "output": Out(stream.Signature(descriptor_layout())),
                "busy": Out(1),
                "asked": Out(1),
                "address": Out(64),
                "failed": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        size = descriptor_layout().size
        words = Signal(size)
        faulty = Signal()
        halted = Signal()
        ended = Signal()  # its last beat came in the cycle before
        m.d.comb += [
            self.request.payload.address.eq(self.address),
            self.request.payload.granules.eq(ENTRY_BYTES // GRANULE_BYTES),
            self.request.payload.target.eq(ReadTarget.DESCRIPTOR),
            self.data.ready.eq(1),
            self.output.payload.eq(words),
        ]
        with m.If(self.output.valid & self.output.ready):
            m.d.sync += self.output.valid.eq(0)
        place = add_in_halves(m, self.base, Cat(Const(0, _ENTRY_SHIFT), self.entry, Const(0, 64))[:64], "place")
        adding = Signal(2)  # the sum's two cycles
        with m.If(~self.busy & ~self.output.valid & self.enable & self.available & ~halted):
            m.d.sync += [self.busy.eq(1), faulty.eq(0), adding.eq(1)]
        with m.Else():
            m.d.sync += adding.eq(adding << 1)
        with m.If(adding[-1]):
            m.d.sync += [self.request.valid.eq(1), self.asked.eq(1), self.address.eq(place)]
        with m.If(self.request.valid & self.request.ready):
            m.d.sync += self.request.valid.eq(0)
        with m.If(self.data.valid):
            beat = self.data.payload
            m.d.sync += [words.eq(Cat(words, beat.data)[-size:]), faulty.eq(faulty | beat.fault)]
        m.d.sync += ended.eq(self.data.valid & self.data.payload.last)
        with m.If(ended):
            m.d.sync += [self.busy.eq(0), self.asked.eq(0)]
            m.d.comb += [self.fetched.eq(self.enable), self.failed.eq(self.enable & faulty)]
            m.d.sync += [self.output.valid.eq(self.enable & ~self.failed), halted.eq(self.failed)]
        with m.If(~self.enable & ~self.busy):
            m.d.sync += [self.output.valid.eq(0), halted.eq(0)]
        return m
