"""Makes Verilator generate one piece of C++ for all instances of a module.

Verilator generates code for every instance of a module, unless the code is identical. For 32 tracker banks that is 32
times the code: minutes of compiling, and a loop that does not fit the cache. `share_instances` keeps anything that
names the instance out of a repeated module's code: a configuration file stops Verilator from inlining the module, and
ports whose connections differ between instances stay variables of the module. `-fno-dfg-scoped` turns off a pass that
numbers its helpers across instances. The code is then identical, and Verilator merges it.

Verilator would fold a constant on such a port into the code. It does not do so with a variable that may be written from
outside, but then checks that variable in every evaluation. So constants become a function of a register that is always
0.
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
    """Verilog of the same behaviour, and the Verilator configuration (.vlt) for it.

    A module that connects constants must have the ports clk and rst. The register is 0 only after the first edge
    without rst.
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
