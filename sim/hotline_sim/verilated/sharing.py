"""One piece of C++ for all instances of a module.

Verilator turns every instance of a module into code of its own, unless the pieces come out equal to the letter. For 32
tracker banks that is 32 times the code: minutes of compiling, and a loop that does not fit the cache. `sharing_rules`
writes the configuration that keeps a repeated module's code free of anything that names the instance: the module is
not inlined, and the ports whose connections differ from instance to instance stay variables of the module's own.
With `-fno-dfg-scoped` (a pass that numbers its helpers across instances) the pieces are then equal and Verilator merges
them.
"""

from __future__ import annotations

import re
from collections import defaultdict

__all__ = ["sharing_rules"]

_INSTANCE = re.compile(r"^  (\w+) (\S+) \(\n((?:    \..*\n)+)  \);", flags=re.MULTILINE)
_CONNECTION = re.compile(r"^    \.(\S+)\s?\((.*?)\s?\),?$", flags=re.MULTILINE)
_CONSTANT = re.compile(r"\d+'[bdh][0-9a-fA-F_]+$")


def sharing_rules(verilog: str) -> str:
    """The Verilator configuration (.vlt) for the modules that `verilog` instantiates more than once."""
    instances: dict[str, list[dict[str, str]]] = defaultdict(list)
    for kind, _name, connections in _INSTANCE.findall(verilog):
        instances[kind].append(dict(_CONNECTION.findall(connections)))

    lines = ["`verilator_config"]
    for kind, all_connections in instances.items():
        if len(all_connections) < 2:
            continue
        lines.append(f'no_inline -module "{kind}"')
        for port in all_connections[0]:
            connected = {connections[port] for connections in all_connections}
            if len(connected) == 1:
                continue
            # A constant would be folded into the code; one that might be written from outside is not. The others need
            # only be visible: writable, they would be watched for changes in every cycle.
            access = "rw" if any(_CONSTANT.match(signal) for signal in connected) else "rd"
            lines.append(f'public_flat_{access} -module "{kind}" -var "{port}"')
    return "\n".join(lines) + "\n"
