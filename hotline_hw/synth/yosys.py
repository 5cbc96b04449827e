"""Runs Yosys on a unit, in a process of its own: Yosys ends the process it runs in when it meets an error."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from .targets import SynthesisError

__all__ = ["check_yosys", "synthesize"]

_RUN = "import sys; from pyosys import libyosys; libyosys.run_pass(f'script {sys.argv[1]}', libyosys.Design())"


def check_yosys() -> None:
    """Raises SynthesisError if Yosys is not installed."""
    if not find_spec("pyosys"):
        raise SynthesisError("synthesis needs the Python package pyosys. Install it: pip install 'hotline[synth]'")


def synthesize(verilog: str, top: str, command: str, folder: Path) -> Path:
    """Maps Verilog to cells.

    Args:
        command: of Yosys, with {top} in it.
        folder: for its files: TOP.v, TOP.ys, TOP.log, and TOP.json, which is returned.

    Raises:
        SynthesisError: Yosys failed. The message has its error.
    """
    source, script, log, target = (folder / f"{top}.{suffix}" for suffix in ("v", "ys", "log", "json"))
    source.write_text(verilog)
    # Names alone: a script has no paths with spaces.
    script.write_text(
        f"read_verilog {source.name}\n{command.format(top=top)}\nblackbox =A:whitebox\nwrite_json {target.name}\n"
    )
    with log.open("w") as output:
        done = subprocess.run(
            [sys.executable, "-c", _RUN, script.name], cwd=folder, stdout=output, stderr=subprocess.STDOUT
        )
    if done.returncode or not target.exists():
        said = log.read_text(errors="replace")
        error = re.findall(r"^ERROR: .*", said, flags=re.MULTILINE) or said.strip().splitlines()[-1:]
        raise SynthesisError(f"Yosys could not synthesize {top}: {' '.join(error) or f'exit {done.returncode}'}")
    return target
