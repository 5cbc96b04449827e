"""AXI signatures with their customary names."""

from __future__ import annotations

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.spec.regmap import ADDRESS_BITS

__all__ = ["axil_signature", "axis_signature"]


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
