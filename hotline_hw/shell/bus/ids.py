"""ReadIds: many reads outstanding on few AXI ids."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.spec.params import Geometry

__all__ = ["ReadIds"]


class ReadIds(wiring.Component):
    """Translates ReadEngine's tags, one for each read that may be outstanding, into `axi_id_bits` wide ids and back.

    An id is the low bits of the tag. Several reads may have one id. AXI4 answers them in the order in which they were
    asked, so each id has a queue of the upper bits. A system with few ids, such as a bridge with four bits, then
    carries as many reads as it can, and not as many as it has ids. Without `axi_id_bits` ids are tags.

    Ports:
        tag, sent: a read with this tag is handed over on AR.
        id: its id.
        rid, rvalid, rlast: the R channel. A beat is taken at once.
        back: the tag of that beat.
        bus_rst: nothing is outstanding any more. Another reset does not change what is.

    Latency: none.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = g = geometry
        super().__init__(
            {
                "tag": In(g.tag_id_bits), "sent": In(1), "id": Out(g.id_bits),
                "rid": In(g.id_bits), "rvalid": In(1), "rlast": In(1), "back": Out(g.tag_id_bits),
                "bus_rst": In(1),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        m.d.comb += self.id.eq(self.tag)
        if g.id_bits >= g.tag_id_bits:
            m.d.comb += self.back.eq(self.rid)
            return m
        upper = g.tag_id_bits - g.id_bits
        m.submodules.queues = queues = memory.Memory(shape=upper, depth=g.read_tags, init=[])
        push = queues.write_port()
        head = queues.read_port(domain="comb")
        places = range(1 << g.id_bits)
        pushed = Array(Signal(upper, name=f"pushed_{place}", reset_less=True) for place in places)
        popped = Array(Signal(upper, name=f"popped_{place}", reset_less=True) for place in places)
        m.d.comb += [
            push.en.eq(self.sent), push.addr.eq(Cat(pushed[self.id], self.id)), push.data.eq(self.tag[g.id_bits :]),
            head.addr.eq(Cat(popped[self.rid], self.rid)), self.back.eq(Cat(self.rid, head.data)),
        ]  # fmt: skip
        with m.If(self.sent):
            m.d.sync += pushed[self.id].eq(pushed[self.id] + 1)
        with m.If(self.rvalid & self.rlast):
            m.d.sync += popped[self.rid].eq(popped[self.rid] + 1)
        with m.If(self.bus_rst):
            m.d.sync += [pointer.eq(0) for pointer in (*pushed, *popped)]
        return m
