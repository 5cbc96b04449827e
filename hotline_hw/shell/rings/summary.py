"""SummaryWriter: writes the counts of the core's lists into the summary of a CLASSIFY."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.lib.arithmetic import add_in_halves
from hotline_hw.shell.layouts import lists_signature
from hotline_hw.spec.descriptors import MAX_BANKS
from hotline_hw.spec.params import Geometry

__all__ = ["SummaryWriter"]

_SETTLE = 8  # cycles until a channel shows that it is at work


class SummaryWriter(wiring.Component):
    """Writes the counts of both kinds of list, one packet for each kind. It starts after the verdicts are written.

    Ports:
        start: begins.
        address: address of the summary. It must be there two cycles before `start`, and stay until done.
        lists: the list whose count is wanted, and the signals that pass it to the channel.
        channel_idle: the channel has written everything.
        load, target: the channel is set to an address.
        done: high for a cycle when everything was handed to the channel.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "start": In(1),
                "address": In(64),
                "lists": Out(lists_signature(geometry)),
                "channel_idle": In(1),
                "load": Out(1),
                "target": Out(64),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lists = self.lists
        held = add_in_halves(m, self.address, Const(4 * MAX_BANKS, 64), "held")
        wait = Signal(range(_SETTLE + 1))
        final = Signal()
        m.d.comb += [
            final.eq(lists.bank == self.geometry.banks - 1),
            self.target.eq(Mux(lists.held, held, self.address)),
        ]
        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.start):
                    m.d.sync += [lists.bank.eq(0), lists.held.eq(0), wait.eq(_SETTLE)]
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                with m.If(wait != 0):
                    m.d.sync += wait.eq(wait - 1)
                with m.Elif(self.channel_idle):
                    m.d.comb += self.load.eq(1)
                    m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += lists.ask.eq(1)
                m.next = "PUT"
            with m.State("PUT"):
                m.d.comb += [lists.ask.eq(1), lists.push.eq(1), lists.last.eq(final)]
                with m.If(lists.ready):
                    m.d.sync += lists.bank.eq(Mux(final, 0, lists.bank + 1))
                    m.next = "ASK"
                    with m.If(final):
                        m.d.sync += [lists.held.eq(1), wait.eq(_SETTLE)]
                        m.next = "BEGIN"
                        with m.If(lists.held):
                            m.d.comb += self.done.eq(1)
                            m.next = "IDLE"
        return m
