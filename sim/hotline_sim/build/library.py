"""Makes a library or a program of Verilog and C++ files, with Verilator, make and the compiler."""

from __future__ import annotations

import functools
import os
import platform
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .cache import cached_build, digest, run_logged
from .sources import write_sources
from .tools import find_compiler, find_make
from .verilator import Verilator, find_verilator

__all__ = ["Toolchain", "build_verilated", "compiler_version", "find_toolchain"]

_SOURCES, _ROOT, _OBJECTS = "sources", "verilator_root", "obj"
_JOBS = 2


@dataclass(frozen=True)
class Toolchain:
    """What Verilates and compiles.

    Attributes:
        compiler: its command, in words.
        native: what the compiler detects of this processor with -march=native; empty if it does not know that option.
    """

    verilator: Verilator
    compiler: tuple[str, ...]
    native: str

    @property
    def key(self) -> tuple[str, ...]:
        """What a build's name contains of it, without `native`."""
        return str(self.verilator.version), compiler_version(self.compiler), *self.compiler[1:], platform.machine()


def find_toolchain() -> Toolchain:
    """Raises DeviceError if a tool is missing; the message says how to install it."""
    verilator, compiler, _ = find_verilator(), tuple(find_compiler()), find_make()
    return Toolchain(verilator, compiler, _native(compiler))


@functools.cache
def compiler_version(compiler: tuple[str, ...]) -> str:
    """The first line of `--version`."""
    run = subprocess.run([*compiler, "--version"], capture_output=True, text=True)
    return run.stdout.partition("\n")[0]


@functools.cache
def _native(compiler: tuple[str, ...]) -> str:
    command = [*compiler, "-march=native", "-E", "-v", "-x", "c++", os.devnull]
    run = subprocess.run(command, capture_output=True, text=True)
    return "" if run.returncode else run.stderr


def build_verilated(
    folder: Path,
    name: str,
    what: str,
    *,
    tools: Toolchain,
    inputs: Sequence[str],
    sources: Mapping[str, str],
    compiled: Sequence[str],
    flags: Sequence[str],
    compiler_flags: Sequence[str],
    linker_flags: Sequence[str],
    optimisation: Mapping[str, str],
    links: Mapping[str, Path] | None = None,
) -> None:
    """Makes the library or program `name` in `folder`.

    make takes a space in a path for the end of it. So both tools see relative paths alone, through links to what is not
    in `folder`. The compiler runs in a folder below it.

    Args:
        folder: holds the Verilog. Its path, and those of `links` and of Verilator, may contain spaces.
        what: is Verilated, for messages.
        inputs: names of Verilog and control files in `folder`.
        sources: texts of the C++ files by path, with headers.
        compiled: those of `sources` that are compiled.
        flags: of Verilator, with `--prefix` among them.
        optimisation: options of the compiler by the name that Verilator's Makefile has for them. OPT_FAST is for code
            that runs every cycle, OPT_SLOW for code that runs once, OPT_GLOBAL for Verilator's own library.
        links: folders by the name that they have in `folder`, for `linker_flags`.

    Raises:
        DeviceError: a step failed; the message says where its log is.
    """
    env = tools.verilator.environment()
    root = subprocess.run([tools.verilator.path, "--getenv", "VERILATOR_ROOT"], env=env, capture_output=True, text=True)
    links = {_ROOT: Path(root.stdout.strip()), **(links or {})}
    for link, target in links.items():
        (folder / link).symlink_to(target)
    write_sources(sources, folder / _SOURCES)
    prefix = flags[flags.index("--prefix") + 1]
    verilate: list[str | Path] = [
        tools.verilator.path, *flags, "-o", name, "-Mdir", _OBJECTS,
        *(["-CFLAGS", " ".join(compiler_flags)] if compiler_flags else []), "-LDFLAGS", " ".join(linker_flags),
        *inputs, *(f"{_SOURCES}/{path}" for path in compiled),
    ]  # fmt: skip
    run_logged(verilate, folder, env, f"Verilator on {what}")
    program = shlex.join(tools.compiler)
    make: list[str | Path] = [
        find_make(), "-C", _OBJECTS, "-f", f"{prefix}.mk", f"-j{_JOBS}", f"CXX={program}", f"LINK={program}",
        f"VERILATOR_ROOT=../{_ROOT}", "CURDIR=.", *(f"{name}={options}" for name, options in optimisation.items()),
    ]  # fmt: skip
    key = (*tools.key, *compiler_flags, optimisation["OPT_GLOBAL"])
    _add_runtime(folder, prefix, make, env, key if "-march=native" not in compiler_flags else (*key, tools.native))
    run_logged(make, folder, env, f"compiling the Verilated {what}")
    (folder / _OBJECTS / name).rename(folder / name)
    for made in (_OBJECTS, _SOURCES):
        shutil.rmtree(folder / made)
    for link in links:
        (folder / link).unlink()


def _add_runtime(
    folder: Path, prefix: str, make: Sequence[str | Path], env: Mapping[str, str], key: Sequence[str]
) -> None:
    """Puts Verilator's own library, compiled once for all designs, among the object files.

    Args:
        key: of the tools and of the options that it is compiled with.
    """
    objects = folder / _OBJECTS
    classes = (objects / f"{prefix}_classes.mk").read_text()
    names = [f"{name}.o" for name in re.findall(r"^  (verilated\w*) \\$", classes, re.MULTILINE)]
    settings = re.findall(r"^VM_(?!PARALLEL_BUILDS)\w+ = \w+$", classes, re.MULTILINE)  # that is about the design alone

    def build(kept: Path) -> None:
        run_logged([*make, *names], folder, env, "compiling Verilator's own library")
        for name in names:
            shutil.copyfile(objects / name, kept / name)

    what = "Verilator's own library (seconds, once)"
    runtime = cached_build(f"verilator-library-{digest(*names, *settings, *key)}", what, build)
    for name in names:
        if not (objects / name).exists():
            shutil.copyfile(runtime / name, objects / name)  # newer than what it is made of, so make leaves it
