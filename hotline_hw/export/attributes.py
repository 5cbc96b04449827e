"""Changes to generated Verilog that only users of it need: names of its own, and the vendors' attributes.

They are made in the text, so that simulators are built from the same Verilog whatever its names are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .interfaces import Interface

__all__ = ["with_interfaces", "with_prefix"]


def with_prefix(verilog: str, prefix: str) -> str:
    """The same Verilog, with modules called `prefix_x` instead of `hotline_x`.

    So the Verilog of several geometries can be in one project.
    """
    modules = set(re.findall(r"^module (hotline_\w+)", verilog, flags=re.MULTILINE))

    def rename(found: re.Match[str]) -> str:
        name = found[2]
        return f"{found[1]}{prefix}_{name.removeprefix('hotline_')}{found[3]}" if name in modules else found[0]

    return re.sub(r"^(module |  )(hotline_\w+)( ?\(| \S+ +\()", rename, verilog, flags=re.MULTILINE)


def with_interfaces(verilog: str, top: str, found: Iterable[Interface]) -> str:
    """The same Verilog, with X_INTERFACE attributes on the ports of module `top`.

    With them Vivado groups the ports in a block design without a packaged core.
    """
    attributes = {}
    for interface in found:
        library, bus, version = interface.bus
        first = True
        for logical, port in interface.ports.items():
            text = f'(* X_INTERFACE_INFO = "xilinx.com:{library}:{bus}:{version} {interface.name} {logical}" *)'
            if first:
                settings = ", ".join(f"{key} {value}" for key, value in interface.parameters.items())
                text += f'\n  (* X_INTERFACE_PARAMETER = "XIL_INTERFACENAME {interface.name}, {settings}" *)'
            attributes[port] = text
            first = False
    begin = verilog.index(f"module {top}(")
    end = verilog.index("endmodule", begin)

    def mark(found: re.Match[str]) -> str:
        text = attributes.get(found[2])
        return f"  {text}\n{found[0]}" if text else found[0]

    declaration = re.compile(r"^  ((?:input|output)(?: \[\d+:0\])?) (\w+);", flags=re.MULTILINE)
    return verilog[:begin] + declaration.sub(mark, verilog[begin:end]) + verilog[end:]
