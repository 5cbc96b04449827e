"""The result of a synthesis: as data for JSON, and as rows for tables."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from .flow import Synthesis
from .paths import Path
from .usage import RESOURCES

__all__ = ["figures", "memory_rows", "path_rows", "resource_rows"]


def figures(preset: str, synthesis: Synthesis) -> dict[str, Any]:
    """All that is known, by name. `fmax_mhz` is None where nothing was placed and routed.

    `levels` is that of the longest path, the top's ports included; `levels_inside` that of the longest between
    registers.
    """
    used, timings, placement = synthesis.usage, synthesis.timings, synthesis.placement
    inside = timings.kinds.get("register to register")
    return {
        "preset": preset,
        "top": synthesis.top,
        "target": synthesis.target.name,
        "part": synthesis.target.part,
        "fmax_mhz": placement.fmax_mhz if placement else None,
        **{name: _whole(count) for name, count in used.resources.items()},
        "share": {name: round(used.resources[name] / held, 4) for name, held in synthesis.target.capacity.items()},
        "levels": timings.longest.levels if timings.longest else 0,
        "levels_inside": inside.levels if inside else 0,
        "seconds": round(sum(synthesis.seconds.values()), 1),
        "stages": {stage: round(seconds, 1) for stage, seconds in synthesis.seconds.items()},
        "paths": {kind: _path(path) for kind, path in timings.kinds.items()},
        "modules": {module: _path(path) for module, path in timings.modules.items()},
        "routed_path": [asdict(hop) for hop in placement.path] if placement else None,
        "routed_cells": placement.cells if placement else None,
        "memories": {memory.name: memory.cells for memory in used.memories},
        "units": {
            unit: {name: _whole(count) for name, count in resources.items()} for unit, resources in used.modules.items()
        },
        "cells": used.cells,
    }


def resource_rows(synthesis: Synthesis) -> list[tuple[str, str, str]]:
    """What the design uses, and the share of the part."""
    rows = []
    for name, meaning in RESOURCES.items():
        used, held = synthesis.usage.resources[name], synthesis.target.capacity.get(name)
        rows.append((meaning, f"{_whole(used):,}", f"{used / held:.1%} of {held:,}" if held else ""))
    return rows


def path_rows(synthesis: Synthesis) -> list[tuple[str, str, str, str, str]]:
    """The longest path of each kind and to each module: what it is, levels, what they are, start and end."""
    paths = {**synthesis.timings.kinds, **synthesis.timings.modules}
    return [(name, str(path.levels), path.content, path.start, path.end) for name, path in paths.items()]


def memory_rows(synthesis: Synthesis) -> list[tuple[str, str]]:
    """Memories by name, and the cells that they became."""
    return [
        (memory.name, ", ".join(f"{count:,} {kind}" for kind, count in memory.cells.items()))
        for memory in synthesis.usage.memories
    ]


def _path(path: Path) -> dict[str, Any]:
    return {
        "levels": path.levels, "luts": path.luts, "muxes": path.muxes, "carry_bits": path.carry_bits,
        "start": path.start, "end": path.end, "steps": [[step.levels, step.net] for step in path.steps],
    }  # fmt: skip


def _whole(count: float) -> float:
    return int(count) if count == int(count) else count
