"""Draws the rooms of the code and the imports between them into docs/architecture.md: `make picture`.

A room is a folder or a file directly below a package. An arrow means "imports". An arrow that follows from two others
is left out, so what a room may reach is what its arrows lead to.
"""

from __future__ import annotations

from pathlib import Path

import grimp

PACKAGES = ("hotline", "hotline_host", "hotline_sim", "hotline_device", "hotline_hw")
DOCUMENT = Path(__file__).with_name("architecture.md")
BEGIN, END = "<!-- rooms: made by `make picture` -->", "<!-- end of rooms -->"

Arrows = dict[str, set[str]]


def room(module: str) -> str:
    """`hotline_host.driver.rings` is in the room `hotline_host.driver`."""
    return ".".join(module.split(".")[:2])


def rooms(graph: grimp.ImportGraph) -> Arrows:
    """For each room the rooms that it imports. What a package itself defines (its version) is no room."""
    arrows: Arrows = {room(module): set() for module in graph.modules if "." in module}
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            if "." in module and "." in imported and room(module) != room(imported):
                arrows[room(module)].add(room(imported))
    return arrows


def reachable(arrows: Arrows, start: str) -> set[str]:
    """Every room that `start` reaches, itself only if the arrows go in a circle."""
    found: set[str] = set()
    waiting = list(arrows[start])
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += arrows[name]
    return found


def reduced(arrows: Arrows) -> Arrows:
    """The arrows without those that follow from two others.

    Raises:
        ValueError: the arrows go in a circle.
    """
    reach = {name: reachable(arrows, name) for name in arrows}
    circles = sorted(name for name in arrows if name in reach[name])
    if circles:
        raise ValueError(f"these rooms import each other in a circle: {', '.join(circles)}")
    return {
        name: {target for target in targets if not any(target in reach[other] for other in targets)}
        for name, targets in arrows.items()
    }


def mermaid(arrows: Arrows) -> str:
    """The rooms as a Mermaid flowchart, grouped by package."""
    lines = ["```mermaid", "flowchart TD"]
    for package in PACKAGES:
        lines.append(f"  subgraph {package}")
        lines += [f"    {name}[{name.split('.')[1]}]" for name in sorted(arrows) if name.startswith(f"{package}.")]
        lines.append("  end")
    lines += [f"  {name} --> {target}" for name in sorted(arrows) for target in sorted(arrows[name])]
    return "\n".join([*lines, "```"])


def with_picture(text: str) -> str:
    """The text of the document with the picture of today's code between its two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    picture = mermaid(reduced(rooms(grimp.build_graph(*PACKAGES))))
    return f"{before}{BEGIN}\n{picture}\n{END}{after}"


if __name__ == "__main__":
    DOCUMENT.write_text(with_picture(DOCUMENT.read_text()))
