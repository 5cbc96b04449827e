"""A short table of the benchmarks in a folder: `gpu_table.py OUT`. One line for each rival of each case."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

COLUMNS = (
    "part", "threads", "rival", "ms a step", "samples/s", "x ordinary", "x resident", "MB in", "MB out", "CPU, ms",
    "GPU", "AUC",
)  # fmt: skip


def main(folder: Path) -> None:
    lines, remarks = [COLUMNS], []
    for path in sorted(folder.glob("*.json")):
        figures = json.loads(path.read_text())
        if "cases" not in figures:  # the timeline
            continue
        if not figures["finished"]:
            remarks.append(f"{path.stem}: cut short; these are the figures so far")
        for case in figures["cases"]:
            lines += [_line(path.stem, case, name) for name in case["rivals"]]
            remarks += [f"{path.stem}, {name}: {reason}" for name, reason in case["skipped"].items()]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    for line in lines:
        print("  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)))
    print(*remarks, sep="\n")


def _line(part: str, case: dict[str, Any], name: str) -> tuple[str, ...]:
    rival, ratios = case["rivals"][name], case["ratios"].get(name, {})
    seconds, speed = rival["seconds_per_step"], rival["samples_per_second"]
    return (
        part, str(case["threads"]), name, f"{1e3 * seconds:.3f}", f"{speed:,.0f}",
        *(f"{ratios[other]['median']:.2f}" if other in ratios else "" for other in ("ordinary", "resident")),
        f"{rival['link_bytes_in'] / 1e6:.2f}", f"{rival['link_bytes_out'] / 1e6:.2f}",
        f"{1e3 * rival['host_cpu_seconds']:.2f}", _number(rival["gpu_busy"], ".0%"), _number(rival["auc"], ".4f"),
    )  # fmt: skip


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
