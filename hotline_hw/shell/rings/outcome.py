"""Outcome: how a descriptor ends."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.shell.layouts import Fault, fault_signature
from hotline_hw.spec.descriptors import Status
from hotline_hw.spec.regmap import Error

__all__ = ["Outcome"]


class Outcome(wiring.Component):
    """Keeps the first failure of each kind of the descriptor under way, and derives its status.

    Ports:
        clear: no descriptor is under way. Everything that is kept is cleared.
        watch: faults, errors and aborts count.
        abort: the descriptor is given up.
        refuse: the Decoder's verdict comes.
        verdict: that verdict.
        read_fault, write_fault: faults of the engines.
        unknown_table, beyond_table: as in RowWalker.
        core_errors: bits that the core raises.
        working_full: the lists had no room, and that counts.
        status: the status, as it was a cycle before.
        errors: bits that the core has raised since the descriptor began.
        address: address of the first fault. 0 if it is not known.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "clear": In(1),
                "watch": In(1),
                "abort": In(1),
                "refuse": In(1),
                "verdict": In(8),
                "read_fault": In(fault_signature()),
                "write_fault": In(fault_signature()),
                "unknown_table": In(1),
                "beyond_table": In(1),
                "core_errors": In(len(Error)),
                "working_full": In(1),
                "status": Out(8),
                "errors": Out(len(Error)),
                "address": Out(64),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        refused = Signal(8)
        fault = Signal(8)
        aborted = Signal()
        m.d.sync += self.status.eq(
            Mux(refused != 0, refused,
            Mux(aborted, Status.ABORTED,
            Mux(fault != 0, fault,
            Mux(self.unknown_table, Status.TABLE,
            Mux(self.beyond_table, Status.ROW,
            Mux(self.errors != 0, Status.CORE,
            Mux(self.working_full, Status.WORKING, Status.OK)))))))
        )  # fmt: skip
        with m.If(self.refuse):
            m.d.sync += refused.eq(self.verdict)
        with m.If(self.watch):
            m.d.sync += [aborted.eq(aborted | self.abort), self.errors.eq(self.errors | self.core_errors)]
            for source, bus_status in ((self.write_fault, Status.WRITE), (self.read_fault, Status.READ)):
                with m.If((source.kind != Fault.NONE) & (fault == 0)):
                    m.d.sync += [
                        fault.eq(Mux(source.kind == Fault.BUS, bus_status,
                                 Mux(source.kind == Fault.WINDOW, Status.WINDOW, Status.ABORTED))),
                        self.address.eq(Mux(source.known, source.address, 0)),
                    ]  # fmt: skip
        with m.If(self.clear):
            m.d.sync += [refused.eq(0), fault.eq(0), self.address.eq(0), aborted.eq(0), self.errors.eq(0)]
        return m
