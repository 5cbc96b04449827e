"""AXI signatures with their customary names, and a register slice."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.spec.regmap import ADDRESS_BITS

__all__ = ["RegisterSlice", "axil_signature", "axis_signature"]


def axis_signature(data_bits: int, keep: bool = True) -> wiring.Signature:
    """An AXI4-Stream manager: tdata, tkeep (a bit a byte), tlast, tvalid, tready."""
    members = {"tdata": Out(data_bits), "tlast": Out(1), "tvalid": Out(1), "tready": In(1)}
    if keep:
        members["tkeep"] = Out(data_bits // 8)
    return wiring.Signature(members)


def axil_signature(address_bits: int = ADDRESS_BITS) -> wiring.Signature:
    """An AXI4-Lite manager with 32-bit data."""
    return wiring.Signature(
        {
            "awaddr": Out(address_bits), "awprot": Out(3), "awvalid": Out(1), "awready": In(1),
            "wdata": Out(32), "wstrb": Out(4), "wvalid": Out(1), "wready": In(1),
            "bresp": In(2), "bvalid": In(1), "bready": Out(1),
            "araddr": Out(address_bits), "arprot": Out(3), "arvalid": Out(1), "arready": In(1),
            "rdata": In(32), "rresp": In(2), "rvalid": In(1), "rready": Out(1),
        }
    )  # fmt: skip


class RegisterSlice(wiring.Component):
    """Cuts every combinational path of a stream. It has two places (a skid buffer), so no throughput is lost.

    Latency: one cycle.
    """

    def __init__(self, shape: object) -> None:
        self.shape = shape
        super().__init__({"input": In(stream.Signature(shape)), "output": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        skid = Signal(self.shape, reset_less=True)
        skid_valid = Signal()
        m.d.comb += self.input.ready.eq(~skid_valid)
        with m.If(self.output.ready | ~self.output.valid):
            m.d.sync += skid_valid.eq(0)
            m.d.sync += self.output.valid.eq(self.input.valid | skid_valid)
            with m.If(skid_valid):
                m.d.sync += self.output.payload.eq(skid)
            with m.Else():
                m.d.sync += self.output.payload.eq(self.input.payload)
        with m.Elif(self.input.valid & ~skid_valid):
            m.d.sync += [skid_valid.eq(1), skid.eq(self.input.payload)]
        return m
