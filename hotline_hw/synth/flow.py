"""From Verilog to a result: synthesis, levels of logic, place and route."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from .netlist import Netlist, netlist_of
from .paths import Timings, longest_paths
from .place import Placement, check_router, place_and_route
from .resets import put_resets_on_globals
from .targets import Router, Target
from .usage import Usage, usage
from .verilog import Design
from .wrapper import DUT, WRAPPER, wrapper
from .yosys import check_yosys, synthesize

__all__ = ["Progress", "Synthesis", "check_tools", "synthesize_design"]

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many parts of it are done, and how many there are."""

SMALL = 60_000
"""Characters of Verilog up to which a module is synthesized with what is around it."""


@dataclass(frozen=True)
class Synthesis:
    """A design that was mapped to cells.

    Attributes:
        placement: None if it was not placed and routed.
        seconds: that each stage took.
    """

    top: str
    target: Target
    usage: Usage
    timings: Timings
    placement: Placement | None = None
    seconds: dict[str, float] = field(default_factory=dict)


def check_tools(target: Target, levels_only: bool) -> None:
    """Raises SynthesisError if a tool is missing."""
    check_yosys()
    if not levels_only:
        check_router(target)


def synthesize_design(
    design: Design,
    top: str,
    target: Target,
    progress: Progress,
    *,
    levels_only: bool = False,
    jobs: int | None = None,
    seed: int = 1,
) -> Synthesis:
    """Maps `top` with all that it places, and follows its paths.

    Args:
        levels_only: nothing is placed and routed, even if a tool can.
        jobs: processes at the same time; as many as there are cores if None.
        seed: of place and route.

    Raises:
        SynthesisError: a tool is missing or failed, or a cell is not known.
    """
    check_tools(target, levels_only)
    router = None if levels_only else target.router
    # What is placed and routed is synthesized as one unit. Yosys then sees all of it at once.
    names = [top] if router else design.units(top, SMALL)
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="hotline-synth-") as name:
        folder = Path(name)
        start = perf_counter()
        files = _map(design, names, target, folder, progress, jobs or os.cpu_count() or 1)
        seconds["synthesis"] = perf_counter() - start

        start = perf_counter()
        progress("following paths", 0, 1)
        units = {name: netlist_of(modules[name]) for name, modules in files.items()}
        instances = design.instances(top)
        timings = longest_paths(units, top, lambda path: instances.get(path, path))
        used = usage(units, Counter(instances.values()))
        seconds["levels"] = perf_counter() - start

        placement = None
        if router:
            start = perf_counter()
            placement = _place(design, top, target, router, files[top], units[top], folder, progress, seed)
            seconds["place and route"] = perf_counter() - start
    return Synthesis(top, target, used, timings, placement, seconds)


def _map(
    design: Design, names: list[str], target: Target, folder: Path, progress: Progress, jobs: int
) -> dict[str, dict]:
    """The modules of the JSON that Yosys wrote of each unit. The largest come first, lest they come last and alone."""
    texts = {name: design.unit_text(name, names) for name in names}
    if "-uram" not in target.synthesis:  # Yosys refuses a kind of memory that the part has not
        texts = {name: text.replace('ram_style = "ultra"', 'ram_style = "block"') for name, text in texts.items()}
    what = f"synthesizing {names[0]} for {target.name}"
    progress(what, 0, len(names))
    with ThreadPoolExecutor(jobs) as pool:
        begun = [
            pool.submit(synthesize, texts[name], name, target.synthesis, folder)
            for name in sorted(names, key=lambda name: -len(texts[name]))
        ]
        try:
            for done, future in enumerate(as_completed(begun), 1):
                future.result()
                progress(what, done, len(names))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return {name: json.loads((folder / f"{name}.json").read_text())["modules"] for name in names}


def _place(
    design: Design,
    top: str,
    target: Target,
    router: Router,
    modules: dict[str, dict],
    netlist: Netlist,
    folder: Path,
    progress: Progress,
    seed: int,
) -> Placement:
    """Synthesizes the wrapper around the mapped design, and places both."""
    what = f"placing and routing for {target.name}"
    progress(what, 0, 1)
    around = synthesize(wrapper(top, design.ports(top)), WRAPPER, target.pads, folder)
    linked = folder / "linked.json"
    parts = {WRAPPER: json.loads(around.read_text())["modules"][WRAPPER], top: modules[top]}
    parts[top]["attributes"].pop("top", None)
    if router.buffer:
        put_resets_on_globals(parts[top], router.buffer)
    linked.write_text(json.dumps({"creator": "hotline", "modules": parts}))
    names = {f"{DUT}.{cell.name}": _cell_name(cell, netlist.names) for cell in netlist.cells}
    return place_and_route(linked, router, folder, names.get, seed, lambda stage: progress(f"{what}: {stage}", 0, 1))


def _cell_name(cell, names: dict[int, str]) -> str | None:
    """The name of the first net out of a cell that has one."""
    return next((names[net] for net in cell.nets(*cell.outputs) if net in names), None)
