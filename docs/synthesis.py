"""Measures area, clock and levels of the presets, and keeps a history: `make synth`, `make synth-budget`.

python docs/synthesis.py measure tiny:ecp5-85k kaggle:xcup    appends to synthesis.jsonl, then draws
python docs/synthesis.py draw                                 table and picture from synthesis.jsonl
python docs/synthesis.py budget [tiny:ecp5-85k ...]           levels that tests hold each module to
python docs/synthesis.py check tiny:ecp5-85k                  whether they hold
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hotline_hw.export.generate import generate_verilog
from hotline_hw.spec.params import preset
from hotline_hw.synth import budget
from hotline_hw.synth.flow import Synthesis, synthesize_design
from hotline_hw.synth.report import figures
from hotline_hw.synth.targets import find_target
from hotline_hw.synth.verilog import Design, read_design

DOCUMENT = Path(__file__).with_suffix(".md")
HISTORY = Path(__file__).with_suffix(".jsonl")
PICTURE = Path(__file__).with_suffix(".png")
BEGIN, END = "<!-- measured: made by `make synth` -->", "<!-- end of measured -->"
TOP = "hotline_device"
KEPT = ("preset", "top", "target", "fmax_mhz", "luts", "ffs", "lut_rams", "block_rams", "ultra_rams", "dsps", "levels",
        "levels_inside", "share", "seconds")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["measure", "draw", "budget", "check"])
    parser.add_argument("settings", nargs="*", metavar="PRESET:TARGET", type=setting)
    parser.add_argument("--levels-only", action="store_true", help="measure: do not place and route")
    arguments = parser.parse_args()
    if arguments.what == "budget":
        renew(arguments.settings or [*budget.ALONE, *budget.WHOLE])
    if arguments.what == "check":
        sys.exit("\n\n".join(text for each in arguments.settings for text in check(*each)) or None)
    if arguments.what == "measure":
        for each in arguments.settings:
            measure(*each, levels_only=arguments.levels_only)
    if arguments.what in ("measure", "draw"):
        draw()


def setting(text: str) -> tuple[str, str]:
    name, colon, target = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"{text!r}: write PRESET:TARGET, such as tiny:ecp5-85k")
    return preset(name).name, find_target(target).name


def say(what: str, done: int, total: int) -> None:
    print(f"{datetime.now():%H:%M:%S} {what}: {done} of {total}", file=sys.stderr, flush=True)


def design_of(name: str) -> Design:
    return read_design(generate_verilog(preset(name), TOP))


def whole(name: str, target: str, levels_only: bool = True) -> Synthesis:
    return synthesize_design(design_of(name), TOP, find_target(target), say, levels_only=levels_only)


def measure(name: str, target: str, levels_only: bool) -> None:
    """Appends a line to the history."""
    found = figures(name, whole(name, target, levels_only))
    line = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "revision": revision(), **{key: found[key] for key in KEPT}}
    with HISTORY.open("a") as history:
        history.write(json.dumps(line) + "\n")


def revision() -> str:
    """Of git, with a + where files are changed."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=DOCUMENT.parent, capture_output=True, text=True).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")


def renew(settings: list[tuple[str, str]]) -> None:
    """Takes what is measured as the budget of these presets and targets."""
    kept = budget.read() if budget.FILE.exists() else {"alone": {}, "whole": {}}
    for name, target in dict.fromkeys(settings):
        key = budget.setting(name, target)
        if (name, target) in budget.ALONE:
            design = design_of(name)
            alone = {
                module: synthesize_design(design, module, find_target(target), say, levels_only=True).timings.longest
                for module in budget.ALONE[name, target]
            }
            kept["alone"][key] = budget.limits({module: path for module, path in alone.items() if path})
        if (name, target) in budget.WHOLE:
            kept["whole"][key] = budget.limits(whole(name, target).timings.modules)
        budget.write(kept)


def check(name: str, target: str) -> list[str]:
    """What breaks the budget of the whole preset."""
    allowed = budget.read()["whole"][budget.setting(name, target)]
    return budget.excesses(allowed, whole(name, target).timings.modules)


def latest(lines: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """The last line of each preset and target."""
    return {(line["preset"], line["target"]): line for line in lines}


def table(lines: list[dict[str, Any]]) -> str:
    rows = [
        "| preset | target | clock | levels | LUTs | flip-flops | block RAM | UltraRAM | minutes | revision, date |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (name, target), line in sorted(latest(lines).items()):
        clock = f"{line['fmax_mhz']:.0f} MHz" if line["fmax_mhz"] else "not measured"
        amounts = [f"{line[key]:,}" + share(line, key) for key in ("luts", "ffs", "block_rams", "ultra_rams")]
        origin = f"{line['revision']}, {line['date']}"
        cells = [
            f"`{name}`",
            f"`{target}`",
            clock,
            f"{line['levels']}",
            *amounts,
            f"{line['seconds'] / 60:.0f}",
            origin,
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def share(line: dict[str, Any], key: str) -> str:
    return f" ({line['share'][key]:.0%})" if line["share"].get(key) and line[key] else ""


def draw() -> None:
    """Table and picture of the history."""
    lines = [json.loads(line) for line in HISTORY.read_text().splitlines()]
    picture = f"![Clock, levels and LUTs from measurement to measurement]({PICTURE.name})"
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table(lines)}\n\n{picture}\n{END}{rest.partition(END)[2]}")
    plot(lines)


def plot(lines: list[dict[str, Any]]) -> None:
    """Clock, levels and block RAM of each preset and target, from measurement to measurement."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = {"fmax_mhz": "clock after place and route, MHz", "levels": "levels of logic, longest path", "luts": "LUTs"}
    figure, axes = pyplot.subplots(1, len(panels), figsize=(13, 4), layout="constrained")
    when = list(dict.fromkeys(f"{line['date']}\n{line['revision']}" for line in lines))
    for axis, (key, title) in zip(axes, panels.items(), strict=True):
        for name, target in latest(lines):
            points = [
                (when.index(f"{line['date']}\n{line['revision']}"), line[key])
                for line in lines
                if (line["preset"], line["target"]) == (name, target) and line[key]
            ]
            if points:
                axis.plot(*zip(*points, strict=True), marker="o", label=f"{name} on {target}")
        axis.set_title(title)
        axis.set_xticks(range(len(when)), when, fontsize=7)
        axis.set_ylim(0, 1.1 * axis.dataLim.ymax)
        axis.grid(alpha=0.3)
    axes[1].legend(fontsize=8)
    figure.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
