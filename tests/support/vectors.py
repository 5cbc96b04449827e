"""The vectors of `tests/vectors`, read."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["INTERFACE", "SESSION", "VECTORS", "Row", "bits", "registers"]

VECTORS = Path(__file__).parents[1] / "vectors"
INTERFACE: dict[str, Any] = tomllib.loads((VECTORS / "interface.toml").read_text())
SESSION: list[dict[str, Any]] = tomllib.loads((VECTORS / "session.toml").read_text())["step"]


class Row(NamedTuple):
    """A register. `reset` is None where the interface does not say. `fields` are (highest bit, lowest bit) by name."""

    offset: int
    name: str
    access: str
    reset: int | None
    fields: dict[str, tuple[int, int]]


def bits(text: str) -> tuple[int, int]:
    """(highest, lowest) of "7:0" or "3"."""
    high, _, low = text.partition(":")
    return int(high), int(low or high)


def registers() -> list[Row]:
    """Every register: those of the map, the other windows, and both halves of the counters."""
    rows = []
    for line in INTERFACE["registers"]["map"].replace(",\n", ", ").strip().splitlines():
        offset, name, access, reset, fields = line.split(None, 4)
        named = dict(field.rsplit(None, 1) for field in fields.split(", "))
        rows.append(Row(int(offset, 16), name, access, None if reset == "-" else int(reset, 16),
                        {field.strip(): bits(place) for field, place in named.items()}))  # fmt: skip
    for window in range(1, INTERFACE["limits"]["windows"]):
        rows += [
            row._replace(offset=row.offset + 16 * window, name=row.name.replace("WINDOW_0", f"WINDOW_{window}"))
            for row in rows
            if row.name.startswith("WINDOW_0")
        ]
    for line in INTERFACE["registers"]["counters"].strip().splitlines():
        offset, name = line.split()
        rows += [
            Row(int(offset, 16) + 4 * half, f"COUNTER_{name.upper()}_{suffix}", "RO", 0, {"count": (31, 0)})
            for half, suffix in enumerate(("LO", "HI"))
        ]
    return rows
