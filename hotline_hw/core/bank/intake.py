"""BankIntake: picks a bank's own items out of every pass, and queues them."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.layouts import encode
from hotline_hw.lib.queues import MultiPushQueue
from hotline_hw.spec.params import Geometry

__all__ = ["BankIntake"]


class BankIntake(wiring.Component):
    """Chooses the bank's items of a pass a cycle before the pass goes in, so that little is left to do then.

        lanes, rank_is --> choose --> chosen (registers) --> MultiPushQueue --> head

    Flow control is by credit: `freed` gives back the places that items were pushed into.

    Ports:
        lanes: Lanes of the pass that comes next and that belong to this bank.
        rank_is: For each rank, the lanes of that pass that have it. Ranks have no gaps.
        items: The lanes' items.
        load: That pass becomes the current one.
        asked: How many items of the current pass are the bank's.
        room: The bank can take them. It comes from a register.
        take: Every bank can take its own, and the pass goes in.
        freed: So many places are free again. They count from the next cycle but one.
        head, head_valid, pop: As in `MultiPushQueue`.
    """

    def __init__(self, geometry: Geometry, width: int) -> None:
        self.geometry = geometry
        self.width = width
        count = range(geometry.bank_ports + 1)
        super().__init__(
            {
                "lanes": In(geometry.lanes), "rank_is": In(geometry.lanes).array(geometry.bank_ports),
                "items": In(width).array(geometry.lanes),
                "load": In(1), "asked": Out(count), "room": Out(1, init=1), "take": In(1), "freed": In(count),
                "head": Out(width), "head_valid": Out(1), "pop": In(1),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        m.submodules.queue = queue = MultiPushQueue(width=self.width, depth=g.queue_depth, ports=g.bank_ports)

        # Choose: port p takes the lane of rank p.
        some = []
        for port in range(g.bank_ports):
            choice = Signal(g.lanes, name=f"choice{port}")
            chosen = Signal(self.width, name=f"chosen{port}", reset_less=True)
            item = Signal(self.width, name=f"item{port}")
            m.d.comb += choice.eq(self.lanes & self.rank_is[port])
            with m.Switch(encode(choice)):
                for lane in range(g.lanes):
                    with m.Case(lane):
                        m.d.comb += item.eq(self.items[lane])
            with m.If(self.load):
                m.d.sync += chosen.eq(item)
            m.d.comb += queue.push[port].eq(chosen)
            some.append(choice.any())
        asks = Signal()
        asks_next = Signal()
        m.d.comb += asks_next.eq(Mux(self.load, some[0], asks))
        m.d.sync += asks.eq(asks_next)
        with m.If(self.load):
            m.d.sync += self.asked.eq(sum(some[1:], some[0]))

        # Places that are free when a pass of this bank's alone has gone in. The sign tells whether it may.
        spare = Signal(signed(g.queue_depth.bit_length() + 1), init=g.queue_depth - g.bank_ports)
        more = Signal.like(spare)
        less = Signal.like(spare)
        freed = Signal.like(self.freed)
        m.d.comb += [
            more.eq(spare + freed), less.eq(spare + freed - self.asked),
            queue.push_count.eq(self.asked), queue.push_valid.eq(self.take),
            self.head.eq(queue.head), self.head_valid.eq(queue.head_valid), queue.pop.eq(self.pop),
        ]  # fmt: skip
        m.d.sync += [
            freed.eq(self.freed),
            spare.eq(Mux(self.take, less, more)),
            self.room.eq(~asks_next | ~Mux(self.take, less < 0, more < 0)),
        ]
        return m
