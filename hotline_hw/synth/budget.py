"""The levels of logic that each module may have: data beside this file, which tests hold the design to.

`alone`: longest path of any kind of a module out of its context. `whole`: longest path that ends in a module of the
whole accelerator. By preset and target, `tiny on ecp5-85k`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from . import paths

__all__ = ["ALONE", "FILE", "WHOLE", "excesses", "limits", "read", "setting", "write"]

FILE = Path(__file__).with_name("budget.json")

ALONE = {
    ("tiny", "ecp5-85k"): [
        "hotline_key_hash", "hotline_popularity_bank_lookups_queue", "hotline_popularity_bank_tracker_update",
        "hotline_rows_aligner", "hotline_stream_core_dispatcher", "hotline_stream_core_scatter",
    ],
}  # fmt: skip
"""Modules that are measured alone, in seconds each."""

WHOLE = [("tiny", "ecp5-85k"), ("edge", "ecp5-85k"), ("kaggle", "xcup")]
"""Presets that are measured as a whole, and for what: minutes to an hour each."""

Budget = dict[str, dict[str, dict[str, int]]]
_REMEDY = "Shorten the path, or take a longer one into the budget: make synth-budget"


def setting(preset: str, target: str) -> str:
    """The key of a preset and a target."""
    return f"{preset} on {target}"


def read(file: Path = FILE) -> Budget:
    return json.loads(file.read_text())


def write(budget: Budget, file: Path = FILE) -> None:
    file.write_text(json.dumps(budget, indent=1, sort_keys=True) + "\n")


def limits(found: Mapping[str, paths.Path]) -> dict[str, int]:
    """The budget that paths keep to."""
    return {module: path.levels for module, path in found.items()}


def excesses(allowed: Mapping[str, int], found: Mapping[str, paths.Path]) -> list[str]:
    """What breaks a budget, a text each with the path. Modules that only one side has break it too."""
    texts = [
        f"{module} has {path.levels} levels, {allowed[module]} are allowed. {_REMEDY}\n{path.listing()}"
        for module, path in found.items()
        if module in allowed and path.levels > allowed[module]
    ]
    texts += [f"{module} has no budget: make synth-budget\n{path}" for module, path in found.items()
              if module not in allowed]  # fmt: skip
    gone = [module for module in allowed if module not in found]
    return texts + ([f"no longer there: {', '.join(gone)}. Update the budget: make synth-budget"] if gone else [])
