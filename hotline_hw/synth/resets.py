"""Puts resets on the global networks of a part.

A reset of thousands of registers would otherwise take a wire into nearly every tile of the part. Vendors' tools put it
on a global network by themselves. nextpnr does so for clocks only, unless the netlist has a global buffer.
"""

from __future__ import annotations

from collections import Counter

from .targets import GlobalBuffer

__all__ = ["put_resets_on_globals"]

_LEAST = 1000  # registers that a net resets, if it is to take a global network
_MOST = 4  # global networks that resets may take


def put_resets_on_globals(module: dict, buffer: GlobalBuffer) -> list[int]:
    """Drives the reset pins of registers through global buffers, for the nets that reset most of them.

    What else reads such a net stays where it is.

    Args:
        module: of the JSON that Yosys wrote. It is changed.

    Returns:
        The nets that got a buffer.
    """
    registers = [cell for cell in module["cells"].values() if cell["type"] == buffer.register]
    pins = (net for cell in registers for net in cell["connections"].get(buffer.reset, ()))
    resets = Counter(net for net in pins if isinstance(net, int))  # others are constants
    chosen = [net for net, count in resets.most_common(_MOST) if count >= _LEAST]
    used = (net for cell in module["cells"].values() for nets in cell["connections"].values() for net in nets)
    ports = (net for port in module["ports"].values() for net in port["bits"])
    free = 1 + max((net for net in (*used, *ports) if isinstance(net, int)), default=0)
    behind = {net: free + number for number, net in enumerate(chosen)}
    for number, (net, after) in enumerate(behind.items()):
        module["cells"][f"global_reset{number}"] = {
            "hide_name": 0,
            "type": buffer.cell,
            "parameters": {},
            "attributes": {},
            "port_directions": {buffer.input: "input", buffer.output: "output"},
            "connections": {buffer.input: [net], buffer.output: [after]},
        }
        name = {"hide_name": 0, "bits": [after], "attributes": {}}
        module["netnames"][f"global_reset_net{number}"] = name
    for cell in registers:
        pins = cell["connections"].get(buffer.reset, [])
        cell["connections"][buffer.reset] = [behind.get(net, net) for net in pins]
    return chosen
