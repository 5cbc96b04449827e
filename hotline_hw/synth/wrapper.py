"""A top with few pins around a module with many ports.

Inputs come from a shift register, and outputs go to registers and from there through a tree of XORs to one pin, four
at a time with a register behind each. So every port is a path from or to a register, and pins limit nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from .verilog import Port

__all__ = ["DUT", "WRAPPER", "wrapper"]

WRAPPER = "hotline_wrapper"
DUT = "dut"


def is_clock(port: Port) -> bool:
    return port.is_input and port.width == 1 and (port.name == "clk" or port.name.endswith("_clk"))


def wrapper(module: str, ports: Sequence[Port]) -> str:
    """Verilog of the wrapper around `module`, which is a black box in it. All clocks are one."""
    clocks = [port for port in ports if is_clock(port)]
    inputs = [port for port in ports if port.is_input and port not in clocks]
    outputs = [port for port in ports if not port.is_input]
    connections = [f".{_escaped(port)}(clk)" for port in clocks]
    connections += _connections(inputs, "from_pin") + _connections(outputs, "to_tree")
    declared = "".join(
        f"  {'input' if port.is_input else 'output'} [{port.width - 1}:0] {_escaped(port)};\n" for port in ports
    )
    lines = [
        f"(* blackbox *)\nmodule {module}({', '.join(_escaped(port) for port in ports)});\n{declared}endmodule",
        f"module {WRAPPER}(input clk, input in, output out);",
        *_shift_register(sum(port.width for port in inputs)),
        *_tree(sum(port.width for port in outputs)),
        f"  {module} {DUT}({', '.join(connections)});",
        "endmodule",
    ]
    return "\n".join(lines) + "\n"


def _escaped(port: Port) -> str:
    return f"\\{port.name} "


def _connections(ports: Sequence[Port], bus: str) -> list[str]:
    connections, low = [], 0
    for port in ports:
        connections.append(f".{_escaped(port)}({bus}[{low + port.width - 1}:{low}])")
        low += port.width
    return connections


def _shift_register(width: int) -> list[str]:
    """The attribute keeps it from becoming memory."""
    return [
        f"  (* keep *) reg [{width}:0] from_pin;",
        f"  always @(posedge clk) from_pin <= {{from_pin[{width - 1}:0], in}};",
    ]


def _tree(width: int) -> list[str]:
    lines = [f"  wire [{max(width, 1) - 1}:0] to_tree;", f"  reg [{max(width, 1) - 1}:0] level0;"]
    lines.append("  always @(posedge clk) level0 <= to_tree;")
    depth = 0
    while width > 1:
        below, width, depth = width, -(-width // 4), depth + 1
        lines.append(f"  reg [{width - 1}:0] level{depth};")
        for bit in range(width):
            high = min(4 * bit + 3, below - 1)
            lines.append(f"  always @(posedge clk) level{depth}[{bit}] <= ^level{depth - 1}[{high}:{4 * bit}];")
    lines.append(f"  assign out = level{depth}[0];")
    return lines
