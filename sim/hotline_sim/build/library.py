"""Makes a shared library of Verilog and a C++ harness, with Verilator, make and the compiler."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import hotline_sim

from .cache import run_logged
from .tools import find_make
from .verilator import Verilator

__all__ = ["build_library"]

_PACKAGE = Path(hotline_sim.__file__).parent
_JOBS = 2


def build_library(
    folder: Path,
    name: str,
    what: str,
    *,
    verilator: Verilator,
    compiler: list[str],
    inputs: Sequence[str],
    sources: Sequence[Path],
    flags: Sequence[str],
    compiler_flags: Sequence[str],
    optimisation: Sequence[str],
) -> None:
    """Makes the library `name` in `folder`.

    make takes a space in a path for the end of it. So both tools see relative paths alone, through links to the sources
    and to Verilator's own files.

    Args:
        folder: holds the Verilog. Its path, and those of the sources and of Verilator, may contain spaces.
        what: is Verilated, for messages.
        inputs: names of Verilog and control files in `folder`.
        sources: C++ files of this package; they find each other's headers.
        flags: of Verilator, with `--prefix` among them.
        optimisation: settings of Verilator's Makefile.

    Raises:
        DeviceError: a step failed; the message says where its log is.
    """
    env = verilator.environment()
    root = subprocess.run([verilator.path, "--getenv", "VERILATOR_ROOT"], env=env, capture_output=True, text=True)
    links = {"sources": _PACKAGE, "verilator_root": Path(root.stdout.strip())}
    for link, target in links.items():
        (folder / link).symlink_to(target)
    prefix = flags[flags.index("--prefix") + 1]
    verilate: list[str | Path] = [
        verilator.path, *flags, "-o", name, "-Mdir", "obj", "-CFLAGS", " ".join(compiler_flags), "-LDFLAGS", "-shared",
        *inputs, *(f"sources/{path.relative_to(_PACKAGE)}" for path in sources),
    ]  # fmt: skip
    run_logged(verilate, folder, env, f"Verilator on {what}")
    program = shlex.join(compiler)
    make: list[str | Path] = [
        find_make(), "-C", "obj", "-f", f"{prefix}.mk", f"-j{_JOBS}", f"CXX={program}", f"LINK={program}",
        "VERILATOR_ROOT=../verilator_root", "CURDIR=.", *optimisation,
    ]  # fmt: skip
    run_logged(make, folder, env, f"compiling the Verilated {what}")
    (folder / "obj" / name).rename(folder / name)
    shutil.rmtree(folder / "obj")
    for link in links:
        (folder / link).unlink()
