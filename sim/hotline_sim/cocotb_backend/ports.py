"""Names of the ports that cocotb must see, by top module, and the unit of time."""

from __future__ import annotations

__all__ = ["PORT_NAMES", "TIMESCALE"]

TIMESCALE = ("1ns", "1ps")

_LITE = {
    "aw": ("addr", "prot", "valid", "ready"),
    "w": ("data", "strb", "valid", "ready"),
    "b": ("resp", "valid", "ready"),
    "ar": ("addr", "prot", "valid", "ready"),
    "r": ("data", "resp", "valid", "ready"),
}
_STREAMS = {
    "s_axis_lookup": ("tdata", "tkeep", "tlast", "tvalid", "tready"),
    "m_axis_popular": ("tdata", "tkeep", "tlast", "tvalid", "tready"),
    "m_axis_nonpopular": ("tdata", "tkeep", "tlast", "tvalid", "tready"),
    "s_axis_state": ("tdata", "tlast", "tvalid", "tready"),
    "m_axis_state": ("tdata", "tlast", "tvalid", "tready"),
}

_ADDRESS = ("id", "addr", "len", "size", "burst", "lock", "cache", "prot", "qos", "valid", "ready")
_AXI = {
    "aw": _ADDRESS,
    "w": ("data", "strb", "last", "valid", "ready"),
    "b": ("id", "resp", "valid", "ready"),
    "ar": _ADDRESS,
    "r": ("id", "data", "resp", "last", "valid", "ready"),
}
_BOTH = (
    "clk", "rst", "irq",
    *(f"s_axil_{channel}{signal}" for channel, signals in _LITE.items() for signal in signals),
)  # fmt: skip

PORT_NAMES: dict[str, tuple[str, ...]] = {
    "hotline_core": (
        *_BOTH, *(f"{stream}_{signal}" for stream, signals in _STREAMS.items() for signal in signals),
    ),
    "hotline_device": (
        *_BOTH, "bus_rst", "core_clk", "core_clk_enable",
        *(f"m_axi_{channel}{signal}" for channel, signals in _AXI.items() for signal in signals),
    ),
}  # fmt: skip
