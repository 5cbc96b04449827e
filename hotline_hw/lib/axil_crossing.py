"""AxilCrossing: AXI4-Lite from one clock to another."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .axi import axil_signature

__all__ = ["HOST_DOMAIN", "AxilCrossing"]

HOST_DOMAIN = "host"


def _synchronized(m: Module, domain: str, value: Signal) -> Signal:
    """A bit of another clock, two cycles later, in this domain."""
    first, second = (
        Signal(name=f"{value.name}_{stage}", attrs={"ASYNC_REG": "TRUE", "syn_preserve": 1})
        for stage in ("metastable", "stable")
    )
    m.d[domain] += [first.eq(value), second.eq(first)]
    return second


class _Handshake(wiring.Component):
    """Has the other side carry out one request at a time. Only two bits cross; each falls after the other has.

    Ports of the host's clock:
        wants: there is a request. It stays until its answer was taken.
        comes: the answer is there, in this cycle.

    Ports of sync:
        asked: the request is to be carried out. What it consists of stands still.
        done: it is carried out in this cycle. The answer stands still from the next one until `asked` again.
    """

    def __init__(self) -> None:
        super().__init__({"wants": In(1), "comes": Out(1), "asked": Out(1), "done": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        asks = Signal()
        answered = Signal()
        finished = Signal()  # the answer was taken, the request not yet
        heard = _synchronized(m, HOST_DOMAIN, answered)
        m.d.comb += self.comes.eq(asks & heard)
        with m.If(self.comes):
            m.d[HOST_DOMAIN] += [asks.eq(0), finished.eq(1)]
        with m.Elif(~self.wants):
            m.d[HOST_DOMAIN] += finished.eq(0)
        with m.Elif(~heard & ~finished):
            m.d[HOST_DOMAIN] += asks.eq(1)
        asking = _synchronized(m, "sync", asks)
        m.d.comb += self.asked.eq(asking & ~answered)
        m.d.sync += answered.eq(asking & (answered | self.done))
        return m


class AxilCrossing(wiring.Component):
    """Carries AXI4-Lite accesses from the host's clock to the device's, one at a time in each direction.

    The clocks may have any ratio and phase. Both resets come from one root: neither side is reset while the other
    works.

    An access takes three cycles of each clock more, and the next one waits for three more of each. A vendor's tools
    must bound the delay of what crosses by a cycle of the clock that takes it: `export/crossing.py` writes that down.

    Ports:
        s_axil: in the domain HOST_DOMAIN.
        m_axil: in sync.
    """

    def __init__(self, address_bits: int) -> None:
        super().__init__({"s_axil": In(axil_signature(address_bits)), "m_axil": Out(axil_signature(address_bits))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._writes(m)
        self._reads(m)
        return m

    def _writes(self, m: Module) -> None:
        near, far = self.s_axil, self.m_axil
        m.submodules.write = write = _Handshake()
        has_address = Signal()
        has_data = Signal()
        responds = Signal()
        address, protection = Signal.like(near.awaddr, name="write_address"), Signal(3, name="write_protection")
        word, strobes = Signal(32, name="write_word"), Signal(4, name="write_strobes")
        m.d.comb += [
            near.awready.eq(~has_address), near.wready.eq(~has_data), near.bvalid.eq(responds),
            write.wants.eq(has_address & has_data),
        ]  # fmt: skip
        with m.If(near.awvalid & near.awready):
            m.d[HOST_DOMAIN] += [address.eq(near.awaddr), protection.eq(near.awprot), has_address.eq(1)]
        with m.If(near.wvalid & near.wready):
            m.d[HOST_DOMAIN] += [word.eq(near.wdata), strobes.eq(near.wstrb), has_data.eq(1)]

        address_sent = Signal()
        data_sent = Signal()
        response = Signal(2, name="write_response")
        m.d.comb += [
            far.awaddr.eq(address), far.awprot.eq(protection), far.awvalid.eq(write.asked & ~address_sent),
            far.wdata.eq(word), far.wstrb.eq(strobes), far.wvalid.eq(write.asked & ~data_sent),
            far.bready.eq(write.asked), write.done.eq(far.bvalid & far.bready),
        ]  # fmt: skip
        m.d.sync += [
            address_sent.eq(write.asked & ~write.done & (address_sent | far.awready)),
            data_sent.eq(write.asked & ~write.done & (data_sent | far.wready)),
        ]
        with m.If(write.done):
            m.d.sync += response.eq(far.bresp)

        with m.If(write.comes):
            m.d[HOST_DOMAIN] += [responds.eq(1), near.bresp.eq(response)]
        with m.Elif(near.bvalid & near.bready):
            m.d[HOST_DOMAIN] += [responds.eq(0), has_address.eq(0), has_data.eq(0)]

    def _reads(self, m: Module) -> None:
        near, far = self.s_axil, self.m_axil
        m.submodules.read = read = _Handshake()
        has_address, responds = Signal(name="reads"), Signal(name="read_responds")
        address, protection = Signal.like(near.araddr, name="read_address"), Signal(3, name="read_protection")
        m.d.comb += [near.arready.eq(~has_address), near.rvalid.eq(responds), read.wants.eq(has_address)]
        with m.If(near.arvalid & near.arready):
            m.d[HOST_DOMAIN] += [address.eq(near.araddr), protection.eq(near.arprot), has_address.eq(1)]

        sent, word, response = Signal(name="read_sent"), Signal(32, name="read_word"), Signal(2, name="read_response")
        m.d.comb += [
            far.araddr.eq(address), far.arprot.eq(protection), far.arvalid.eq(read.asked & ~sent),
            far.rready.eq(read.asked), read.done.eq(far.rvalid & far.rready),
        ]  # fmt: skip
        m.d.sync += sent.eq(read.asked & ~read.done & (sent | far.arready))
        with m.If(read.done):
            m.d.sync += [word.eq(far.rdata), response.eq(far.rresp)]

        with m.If(read.comes):
            m.d[HOST_DOMAIN] += [responds.eq(1), near.rdata.eq(word), near.rresp.eq(response)]
        with m.Elif(near.rvalid & near.rready):
            m.d[HOST_DOMAIN] += [responds.eq(0), has_address.eq(0)]
