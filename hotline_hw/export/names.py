"""Gives ports, wires and instances of generated modules names that a timing report can be read by.

Amaranth makes three kinds of names up, with numbers that change with every change of the source:

    port$1287$0     a port that is a part of a signal        -> data__payload_data, the field; base_63_32, bits of one;
                                                                window_read_etc, a field with those after it
    take$3635       a wire of a name that is taken           -> bank0_take, if it goes to a port of an instance
    $signature__en  a wire of a memory's port without a name -> tags_en
    scatter$4720    an instance of a name that is taken      -> u_scatter

Works on the text of RTLIL, module by module.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["name_wires"]

_ALIAS = re.compile(r"^ ? ?connect (\\\S+) (.*)$", flags=re.MULTILINE)
_CELL = re.compile(r"^  cell (\S+) (\S+)\n(.*?)^  end$", flags=re.MULTILINE | re.DOTALL)
_CONNECTION = re.compile(r"^    connect (\\\S+) (.*)$", flags=re.MULTILINE)
_MODULE = re.compile(r"^module (\\\S+)", flags=re.MULTILINE)
_NUMBERED = re.compile(r"\\(?!port\$)([\w.]+)\$\d+$")
_PIECE = re.compile(r"(\S+) \[(\d+)(?::(\d+))?\]")
_PIECE_OR_CONSTANT = re.compile(r"(\d+)'\S+|(\S+) \[(\d+)(?::(\d+))?\]")
_PORT = re.compile(r"^  wire width (\d+) (?:input|output) \d+  ?(\\port\$\S+)$", flags=re.MULTILINE)
_TOKEN = re.compile(r"\\\S+")
_WIRE = re.compile(r"^  wire width (\d+)(?: signed)?(?: (?:input|output) \d+)?  ?(\\\S+)$", flags=re.MULTILINE)


def name_wires(modules: Iterable[str]) -> list[str]:
    """The same modules with better names. Modules that instantiate each other must come together."""
    texts = {_name(text): text for text in modules}
    names: dict[str, dict[str, str]] = {}

    def find(module: str) -> None:
        """The new names in a module, after those in the modules that it instantiates."""
        text = texts[module]
        for kind, _, _ in _CELL.findall(text):
            if kind in texts and kind not in names:
                find(kind)
        own = _port_names(text)
        names[module] = own | _wire_names(text, own, names)

    for module in texts:
        if module not in names:
            find(module)
    return [_rename(text, names[module], names) for module, text in texts.items()]


def _name(text: str) -> str:
    found = _MODULE.search(text)
    return found[1] if found else ""


def _port_names(text: str) -> dict[str, str]:
    """New names of a module's ports that are parts of signals."""
    unnamed = {port: int(width) for width, port in _PORT.findall(text)}
    if not unnamed:
        return {}
    widths = {wire: int(width) for width, wire in _WIRE.findall(text)}
    whole: dict[str, str] = {}
    part: dict[str, str] = {}
    several: dict[str, str] = {}
    for signal, value in _ALIAS.findall(text):
        if signal in unnamed and (source := _PIECE.fullmatch(value)):
            part.setdefault(signal, f"{source[1]}_{source[2]}_{source[3] or source[2]}")
        low = 0
        pieces = _PIECE_OR_CONSTANT.findall(value)
        for constant, piece, high, last in reversed(pieces):
            width = int(constant or int(high) - int(last or high) + 1)
            if piece in unnamed and width < unnamed[piece] and len(pieces) == 1:
                several.setdefault(piece, f"{signal}_etc")
            if piece in unnamed and width == unnamed[piece]:
                bits = f"{low + width - 1}_{low}" if width > 1 else f"{low}"
                if widths.get(signal) == width:
                    whole.setdefault(piece, signal)
                else:
                    part.setdefault(piece, f"{signal}_{bits}")
            low += width
    best = several | part | whole
    return _unique(text, {port: best[port] for port in unnamed if port in best})


def _wire_names(text: str, own: dict[str, str], names: dict[str, dict[str, str]]) -> dict[str, str]:
    """New names of wires and instances whose own name was taken, and of the wires of memories' ports."""
    wanted: dict[str, str] = {}
    for kind, cell, body in _CELL.findall(text):
        memory = re.search(r'parameter \\MEMID "\\\\(\w+)"', body)
        if kind.startswith("\\"):
            prefix = cell
            if found := _NUMBERED.match(cell):
                prefix = wanted[cell] = f"\\u_{found[1]}"
        elif memory:
            prefix = f"\\{memory[1]}"
        else:
            continue
        for port, value in _CONNECTION.findall(body):
            token = _TOKEN.search(value)
            if token is None:
                continue
            wire = token[0]
            if wire.startswith("\\port$") and kind in names:
                wanted.setdefault(wire, names[kind].get(port, port))
            elif _NUMBERED.match(wire) or wire.startswith("\\$signature__"):
                ending = wire.rpartition("__")[2] if memory else names.get(kind, {}).get(port, port)[1:]
                wanted.setdefault(wire, f"{prefix}_{ending}")
    return _unique(text, {wire: name for wire, name in wanted.items() if wire not in own and wire != name}, own)


def _unique(text: str, wanted: dict[str, str], given: dict[str, str] | None = None) -> dict[str, str]:
    """Makes new names plain, and different from each other, from those given before and from all that are there."""
    taken = {*_TOKEN.findall(text), *(given or {}).values()}
    names = {}
    for old, new in wanted.items():
        plain = "\\" + re.sub(r"\W", "_", re.sub(r"\$\d+", "", new[1:]))
        while plain in taken:
            plain += "_"
        taken.add(plain)
        names[old] = plain
    return names


def _rename(text: str, own: dict[str, str], names: dict[str, dict[str, str]]) -> str:
    def renamed(part: str) -> str:
        return _TOKEN.sub(lambda token: own.get(token[0], token[0]), part)

    lines = []
    ports: dict[str, str] = {}
    for line in text.split("\n"):
        indent, _, rest = line.partition("connect ")
        if line.startswith("  cell "):
            kind, cell = line.split()[1:3]
            ports = names.get(kind, {})
            line = f"  cell {kind} {own.get(cell, cell)}"
        elif indent == "    " and rest:
            port, _, value = rest.partition(" ")
            line = f"    connect {ports.get(port, port)} {renamed(value)}"
        elif not line.lstrip().startswith(("module", "parameter", "attribute")):
            line = renamed(line)
        lines.append(line)
    return "\n".join(lines)
