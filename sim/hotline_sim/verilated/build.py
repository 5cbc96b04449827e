"""Builds the in-process library: Verilog through Verilator, with the harness, to one shared object per geometry."""

from __future__ import annotations

import platform
import shlex
import shutil
import subprocess
from pathlib import Path

from hotline_hw.params import Geometry

from ..build_cache import cached_build, digest, run_logged
from ..core_verilog import TOP, core_verilog
from ..verilator import find_compiler, find_tool, find_verilator
from .memories import interleave_memories
from .sharing import sharing_rules

__all__ = ["LIBRARY_NAME", "build_library"]

LIBRARY_NAME = "libhotline_core.so"
HARNESS = Path(__file__).with_name("harness.cpp")

# Reset and the clearing walk define every register that matters, so unknowns may be whatever is fastest.
_VERILATOR_FLAGS = (
    "--cc", "--exe", "--top-module", TOP, "--prefix", "Vhotline_core", "-o", LIBRARY_NAME, "-O3", "--no-timing",
    "--x-assign", "fast", "--x-initial", "fast", "--no-assert", "--output-split", "20000", "-Wno-fatal", "-Wno-lint",
    "-fno-dfg-scoped",
)  # fmt: skip
# Hidden symbols: libraries of several geometries share a process, and their classes share names.
_COMPILER_FLAGS = ("-fPIC", "-fvisibility=hidden", "-fvisibility-inlines-hidden")
_LINKER_FLAGS = ("-shared",)
# Verilator's Makefile knows the code that runs every cycle, that which runs once, and Verilator's own library, of
# which nothing runs in a cycle unless waves are recorded.
_OPTIMISATION = ("OPT_FAST=-O2", "OPT_SLOW=-O0")
_OPTIMISE_LIBRARY, _OPTIMISE_TRACING_LIBRARY = "OPT_GLOBAL=-O0", "OPT_GLOBAL=-O1"
_JOBS = 2


def build_library(geometry: Geometry, *, trace: str | None = None) -> Path:
    """The shared library of a geometry, from the cache where it was built before.

    Args:
        geometry: what the accelerator is built with.
        trace: `fst` or `vcd` builds a library that can record waves, and is slower.

    Raises:
        DeviceError: a tool is lacking, or the build failed; the message says what to install, or where its log is.
    """
    verilator, compiler, make = find_verilator(), find_compiler(), find_tool("make")
    verilog = interleave_memories(core_verilog(geometry))
    sharing = sharing_rules(verilog)
    flags = [*_VERILATOR_FLAGS, *([f"--trace-{trace}"] if trace else [])]
    optimisation = [*_OPTIMISATION, _OPTIMISE_TRACING_LIBRARY if trace else _OPTIMISE_LIBRARY]
    key = digest(
        verilog, sharing, HARNESS.read_text(), str(verilator.version), _compiler_version(compiler),
        platform.machine(), *flags, *_COMPILER_FLAGS, *_LINKER_FLAGS, *optimisation,
    )  # fmt: skip
    name = f"verilated-{geometry.name}{f'-{trace}' if trace else ''}-{key}"

    def build(folder: Path) -> None:
        (folder / f"{TOP}.v").write_text(verilog)
        (folder / "sharing.vlt").write_text(sharing)
        env = verilator.environment()
        verilate: list[str | Path] = [
            verilator.path, *flags, "-Mdir", "obj", "-CFLAGS", " ".join(_COMPILER_FLAGS), "-LDFLAGS",
            " ".join(_LINKER_FLAGS), "sharing.vlt", f"{TOP}.v", HARNESS,
        ]  # fmt: skip
        run_logged(verilate, folder, env, f"Verilator on {geometry.name}")
        program = shlex.join(compiler)
        command: list[str | Path] = [
            make, "-C", "obj", "-f", "Vhotline_core.mk", f"-j{_JOBS}", f"CXX={program}", f"LINK={program}",
            *optimisation,
        ]  # fmt: skip
        run_logged(command, folder, env, f"compiling the Verilated {geometry.name}")
        (folder / "obj" / LIBRARY_NAME).rename(folder / LIBRARY_NAME)
        shutil.rmtree(folder / "obj")

    what = f"the Verilated library of {geometry.name} (seconds for a small one, a minute or so for a large one, once)"
    return cached_build(name, what, build) / LIBRARY_NAME


def _compiler_version(compiler: list[str]) -> str:
    """The first line of what the compiler says of itself."""
    run = subprocess.run([*compiler, "--version"], capture_output=True, text=True)
    return run.stdout.partition("\n")[0]
