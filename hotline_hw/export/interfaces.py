"""The bus interfaces of a generated top, found by the names of its ports. Plain data for `attributes` and `ipxact`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hotline_hw.spec.params import Geometry

__all__ = ["Interface", "Port", "interfaces"]

_AXIMM, _AXIS = ("interface", "aximm", "1.0"), ("interface", "axis", "1.0")
_CLOCK, _RESET, _INTERRUPT = ("signal", "clock", "1.0"), ("signal", "reset", "1.0"), ("signal", "interrupt", "1.0")


@dataclass(frozen=True)
class Port:
    """A port of the top. `width` is in bits."""

    name: str
    direction: str
    width: int


@dataclass(frozen=True)
class Interface:
    """A group of ports with one protocol, in the words of the vendors' tools.

    Attributes:
        name: of the interface: what the names of its ports have in common.
        bus: library, name and version of the bus definition; its vendor is xilinx.com.
        manager: it begins transfers: an AXI manager, the transmitter of a stream, the source of an interrupt.
        ports: port by logical name, such as m_axi_awaddr by AWADDR.
        parameters: what the tools must know of it.
    """

    name: str
    bus: tuple[str, str, str]
    manager: bool
    ports: dict[str, str]
    parameters: dict[str, str]


def interfaces(geometry: Geometry, ports: Iterable[Port]) -> list[Interface]:
    """The interfaces of a top with these ports. Ports without a protocol, such as core_clk_enable, are in none."""
    ports = list(ports)
    widths = {port.name: port.width for port in ports}
    groups: dict[str, dict[str, str]] = {}
    for name in widths:
        if name.startswith(("s_axi", "m_axi")):
            group, _, signal = name.rpartition("_")
            groups.setdefault(group, {})[signal.upper()] = name
    buses = [_bus(geometry, name, members, widths) for name, members in groups.items()]
    resets = [name for name in ("rst", "bus_rst") if name in widths]
    found = [
        Interface("clk", _CLOCK, False, {"CLK": "clk"},
                  {"ASSOCIATED_BUSIF": ":".join(groups), "ASSOCIATED_RESET": ":".join(resets)}),
        *(Interface(name, _RESET, False, {"RST": name}, {"POLARITY": "ACTIVE_HIGH"}) for name in resets),
    ]  # fmt: skip
    if "core_clk" in widths:
        found.append(Interface("core_clk", _CLOCK, False, {"CLK": "core_clk"}, {"ASSOCIATED_RESET": "rst"}))
    found.append(Interface("irq", _INTERRUPT, True, {"INTERRUPT": "irq"}, {"SENSITIVITY": "LEVEL_HIGH"}))
    return [*buses, *found]


def _bus(geometry: Geometry, name: str, members: dict[str, str], widths: dict[str, int]) -> Interface:
    manager = name.startswith("m_")
    if "TDATA" in members:
        has = {f"HAS_{signal}": str(int(signal in members)) for signal in ("TREADY", "TKEEP", "TLAST")}
        return Interface(name, _AXIS, manager, members, {"TDATA_NUM_BYTES": str(widths[members["TDATA"]] // 8), **has})
    parameters = {
        "PROTOCOL": "AXI4" if "AWLEN" in members else "AXI4LITE",
        "DATA_WIDTH": str(widths[members["RDATA"]]),
        "ADDR_WIDTH": str(widths[members["ARADDR"]]),
        "HAS_BURST": str(int("AWLEN" in members)),
    }
    if "AWLEN" in members:
        parameters |= {
            "ID_WIDTH": str(widths[members["ARID"]]),
            "MAX_BURST_LENGTH": str(geometry.burst_beats),
            "NUM_READ_OUTSTANDING": str(geometry.read_tags),
            "SUPPORTS_NARROW_BURST": "0",
        }
    return Interface(name, _AXIMM, manager, members, parameters)
