"""AxilSplit: connects one AXI4-Lite port with two register banks."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.lib.axi import axil_signature
from hotline_hw.spec.regmap import ADDRESS_BITS

__all__ = ["AxilSplit"]


class AxilSplit(wiring.Component):
    """Passes accesses on to the lower or the upper half of the address space, one at a time in each direction.

    Ports:
        bus: the whole address space.
        lower, upper: its halves.
        lower_busy: an access to the lower half is under way.
        lower_writing: a write to the lower half is under way. The half carries it out a cycle later at the earliest.
            It is low for two cycles between two writes, so who waits for them to end gets a turn.

        hold: no access begins. Those that come wait. It is raised only when none is under way.
        busy: an access to a half is under way.

    Latency: one cycle more for each request.
    """

    def __init__(self) -> None:
        half = Out(axil_signature())
        super().__init__(
            {
                "bus": In(axil_signature(ADDRESS_BITS + 1)),
                "lower": half,
                "upper": half,
                "lower_busy": Out(1),
                "lower_writing": Out(1),
                "hold": In(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus, halves = self.bus, (self.lower, self.upper)

        # Writes
        address = Signal(ADDRESS_BITS)
        protection = Signal(3)
        has_address = Signal()
        has_data = Signal()
        to_upper = Signal()
        address_sent = Signal()
        data_sent = Signal()
        word = Signal(32)
        strobes = Signal(4)
        rests = Signal()  # a cycle behind a write to the lower half
        m.d.sync += rests.eq(self.lower_writing)
        m.d.comb += [bus.awready.eq(~has_address & ~rests), bus.wready.eq(~has_data)]
        with m.If(bus.awvalid & bus.awready):
            m.d.sync += [
                address.eq(bus.awaddr), to_upper.eq(bus.awaddr[-1]), protection.eq(bus.awprot), has_address.eq(1),
            ]  # fmt: skip
        with m.If(bus.wvalid & bus.wready):
            m.d.sync += [word.eq(bus.wdata), strobes.eq(bus.wstrb), has_data.eq(1)]
        writing = Signal()
        m.d.comb += writing.eq(has_address & has_data & ~self.hold)
        for upper, half in enumerate(halves):
            chosen = Signal(name=f"write_{upper}")
            m.d.comb += [
                chosen.eq(writing & (to_upper == upper)),
                half.awaddr.eq(address), half.awprot.eq(protection), half.awvalid.eq(chosen & ~address_sent),
                half.wdata.eq(word), half.wstrb.eq(strobes), half.wvalid.eq(chosen & ~data_sent),
                half.bready.eq(chosen & bus.bready),
            ]  # fmt: skip
            with m.If(chosen):
                m.d.comb += [bus.bvalid.eq(half.bvalid), bus.bresp.eq(half.bresp)]
                m.d.sync += [
                    address_sent.eq(address_sent | half.awready), data_sent.eq(data_sent | half.wready),
                ]  # fmt: skip
        with m.If(bus.bvalid & bus.bready):
            m.d.sync += [has_address.eq(0), has_data.eq(0), address_sent.eq(0), data_sent.eq(0)]

        # Reads
        reading = Signal()
        has_read = Signal()
        asked = Signal()
        read_upper = Signal()
        read_address = Signal(ADDRESS_BITS)
        read_protection = Signal(3)
        m.d.comb += [bus.arready.eq(~has_read), reading.eq(has_read & ~self.hold)]
        with m.If(bus.arvalid & bus.arready):
            m.d.sync += [
                read_address.eq(bus.araddr), read_upper.eq(bus.araddr[-1]), read_protection.eq(bus.arprot),
                has_read.eq(1),
            ]  # fmt: skip
        for upper, half in enumerate(halves):
            chosen = Signal(name=f"read_{upper}")
            m.d.comb += [
                chosen.eq(reading & (read_upper == upper)),
                half.araddr.eq(read_address), half.arprot.eq(read_protection), half.arvalid.eq(chosen & ~asked),
                half.rready.eq(chosen & bus.rready),
            ]  # fmt: skip
            with m.If(chosen):
                m.d.comb += [bus.rvalid.eq(half.rvalid), bus.rdata.eq(half.rdata), bus.rresp.eq(half.rresp)]
                m.d.sync += asked.eq(asked | half.arready)
        with m.If(bus.rvalid & bus.rready):
            m.d.sync += [has_read.eq(0), asked.eq(0)]
        m.d.comb += [
            self.busy.eq(writing | reading),
            self.lower_writing.eq(writing & ~to_upper),
            self.lower_busy.eq(self.lower_writing | (reading & ~read_upper)),
        ]
        return m
