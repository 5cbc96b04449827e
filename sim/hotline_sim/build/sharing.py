"""One piece of C++ for all instances of a module.

Verilator turns every instance of a module into code of its own, unless the pieces come out equal to the letter. For 32
tracker banks that is 32 times the code: minutes of compiling, and a loop that does not fit the cache. `share_instances`
keeps a repeated module's code free of anything that names the instance: by Verilator's configuration the module is not
inlined, and the ports whose connections differ from instance to instance stay variables of the module's own. With
`-fno-dfg-scoped` (a pass that numbers its helpers across instances) the pieces are then equal and Verilator merges
them.

A constant on such a port would be folded into the code. Verilator folds none into a variable that may be written from
outside, but looks at that one in every evaluation. So constants are made a function of a register that is always 0.
"""

from __future__ import annotations

import re
from collections import defaultdict

__all__ = ["share_instances"]

_MODULE = re.compile(r"^module .*?^endmodule\n", flags=re.MULTILINE | re.DOTALL)
_INSTANCE = re.compile(r"^  (\w+) (\S+) \(\n((?:    \..*\n)+)  \);\n", flags=re.MULTILINE)
_CONNECTION = re.compile(r"^    \.(\S+)\s?\((.*?)\s?\),?$", flags=re.MULTILINE)
_CONSTANT = re.compile(r"(\d+)'[bdh][0-9a-fA-F_]+$")
_ZERO = "always_zero"
_DECLARATION = f"  reg {_ZERO};\n  always @(posedge clk) {_ZERO} <= {_ZERO} & rst;\n"


def share_instances(verilog: str) -> tuple[str, str]:
    """Verilog that does the same in every cycle, and the Verilator configuration (.vlt) that goes with it.

    A module that connects constants must have the ports clk and rst, and the register is 0 only from the first edge
    without rst on.
    """
    instances: dict[str, list[dict[str, str]]] = defaultdict(list)
    for kind, _name, connections in _INSTANCE.findall(verilog):
        instances[kind].append(dict(_CONNECTION.findall(connections)))

    differ = {
        kind: [port for port in every[0] if len({connections[port] for connections in every}) > 1]
        for kind, every in instances.items()
        if len(every) > 1
    }
    lines = ["`verilator_config"]
    for kind, ports in differ.items():
        lines.append(f'no_inline -module "{kind}"')
        lines += [f'public_flat_rd -module "{kind}" -var "{port}"' for port in ports]

    def hide_constants(instance: re.Match[str]) -> str:
        def hide(connection: re.Match[str]) -> str:
            constant = _CONSTANT.match(connection[2])
            if connection[1] not in differ.get(instance[1], ()) or not constant:
                return connection[0]
            return connection[0].replace(connection[2], f"{connection[2]} ^ {{{constant[1]}{{{_ZERO}}}}}")

        return _CONNECTION.sub(hide, instance[0])

    def rewrite(module: re.Match[str]) -> str:
        text = _INSTANCE.sub(hide_constants, module[0])
        if text == module[0]:
            return text
        first = _INSTANCE.search(text)
        assert first is not None
        return text[: first.start()] + _DECLARATION + text[first.start() :]

    return _MODULE.sub(rewrite, verilog), "\n".join(lines) + "\n"
