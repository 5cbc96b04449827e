"""Place and route with nextpnr."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from .targets import Router, SynthesisError, Target
from .wrapper import DUT, WRAPPER

__all__ = ["Hop", "Placement", "check_router", "place_and_route"]

_RUN = "import sys, {package} as package; sys.exit(package.{function}(sys.argv[1:]))"


@dataclass(frozen=True)
class Hop:
    """A piece of the critical path: the delay of a cell or of a wire, in ns, and what it leads to."""

    kind: str
    delay: float
    to: str


@dataclass(frozen=True)
class Placement:
    """A design that was placed and routed.

    Attributes:
        fmax_mhz: the highest clock at which the slowest path fits, as nextpnr's model of the part has it.
        cells: cells used and available by type, those of the wrapper included.
        path: the slowest path.
    """

    fmax_mhz: float
    cells: dict[str, tuple[int, int]]
    path: list[Hop]


def check_router(target: Target) -> None:
    """Raises SynthesisError if the target has a place-and-route tool that is not installed."""
    if target.router and not find_spec(target.router.package):
        name = target.router.package.replace("_", "-")
        raise SynthesisError(
            f"place and route for {target.name} needs the Python package {name}. Install it: pip install "
            "'hotline[synth]', or leave it out: --levels-only"
        )


def place_and_route(
    netlist: Path,
    router: Router,
    folder: Path,
    names: Callable[[str], str | None],
    seed: int,
    say: Callable[[str], None],
) -> Placement:
    """Places and routes the wrapper in a JSON netlist.

    Args:
        netlist: in `folder`, where the files of nextpnr go.
        names: the name in the source of a cell's output, by the name of the cell in nextpnr.
        say: called with the stage that nextpnr is in.

    Raises:
        SynthesisError: nextpnr failed, or cannot route the design. The message has its error.
    """
    # In WebAssembly it sees the current folder, and not every other one.
    report, log = folder / "report.json", folder / "route.log"
    arguments = [
        *router.options, "--json", netlist.name, "--top", WRAPPER, "--freq", "200", "--timing-allow-fail",
        "--router", "router2", "--threads", "1", "--seed", str(seed), "--report", report.name,
    ]  # fmt: skip
    run = _RUN.format(package=router.package, function=router.function)
    estimate = "unknown"
    with log.open("w", buffering=1) as kept, subprocess.Popen(
        [sys.executable, "-c", run, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:  # fmt: skip
        try:
            for line in process.stdout or ():
                kept.write(line)
                if clock := re.search(r"Max frequency for clock.*?: ([\d.]+ MHz)", line):
                    estimate = clock[1]
                found = _ITERATION.search(line)
                if found and int(found[1]) > _MOST_ITERATIONS:
                    raise SynthesisError(
                        f"nextpnr does not route the design: {int(found[2]):,} wires are overused after "
                        f"{_MOST_ITERATIONS} iterations. The estimate after placement was {estimate}. Try a --seed"
                    )
                if stage := _stage(line):
                    say(stage)
        except BaseException:
            process.kill()
            raise
    if process.returncode or not report.exists():
        text = log.read_text()
        error = re.findall(r"^ERROR: .*", text, flags=re.MULTILINE) or text.strip().splitlines()[-1:]
        raise SynthesisError(f"nextpnr could not place and route the design: {' '.join(error)}")
    return _read(json.loads(report.read_text()), names)


_STAGES = {
    "Packing": "packing", "Creating initial": "placing", "Running simulated annealing": "placing", "Routing": "routing",
    "Running router2": "routing",
}  # fmt: skip
_ITERATION = re.compile(r"iter=(\d+) .*overused=(\d+)")
_MOST_ITERATIONS = 200
"""The `tiny` device is routed in 98 iterations. One that is not in these goes on forever."""


def _stage(line: str) -> str | None:
    """The stage that a line of nextpnr's log begins, with how far it is."""
    text = line.removeprefix("Info: ").strip()
    if found := re.match(r"at iteration #(\d+).*wirelen\D*(\d+)", text):
        return f"placing, iteration {found[1]}"
    if found := _ITERATION.match(text):
        return f"routing, {int(found[2]):,} wires overused"
    return next((stage for start, stage in _STAGES.items() if text.startswith(start)), None)


def _read(report: dict, names: Callable[[str], str | None]) -> Placement:
    clocks = report["fmax"]
    between = [path["path"] for path in report["critical_paths"] if path["from"] == path["to"]]
    slowest: list[dict] = max(between, key=lambda path: sum(hop["delay"] for hop in path), default=[])
    return Placement(
        round(min((clock["achieved"] for clock in clocks.values()), default=0.0), 1),
        {kind: (held["used"], held["available"]) for kind, held in report["utilization"].items()},
        [_hop(hop, names) for hop in slowest],
    )


def _hop(hop: dict, names: Callable[[str], str | None]) -> Hop:
    cell = hop["to"]["cell"]
    return Hop(hop["type"], round(hop["delay"], 2), (names(cell) or cell).removeprefix(f"{DUT}."))
