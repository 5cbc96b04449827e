"""Builds a shared library from Verilog with Verilator and a harness, one for each geometry and top module."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import hotline_sim
from hotline_hw.spec.params import Geometry
from hotline_sim.build.cache import cached_build, digest
from hotline_sim.build.library import build_verilated, find_toolchain
from hotline_sim.build.rewriting import verilog_for_verilator
from hotline_sim.build.sources import digest_sources, read_sources
from hotline_sim.build.tools import SAFE_OPTIMISATION
from hotline_sim.build.verilog import DEVICE_TOP, TOP, core_verilog
from hotline_sim.memory.library import memory_sources

__all__ = ["CORE", "DEVICE", "Top", "build_library", "trace_format"]

_PACKAGE = Path(hotline_sim.__file__).parent
_FOLDER = Path(__file__).parent
_HEADERS = tuple(sorted(_FOLDER.glob("*.hpp")))


@dataclass(frozen=True)
class Top:
    """A top module that can be Verilated.

    Attributes:
        name: of the top module.
        compiled: its C++ files, the harness first.
        included: the headers that they include.
    """

    name: str
    compiled: tuple[Path, ...]
    included: tuple[Path, ...]

    @property
    def library_name(self) -> str:
        return f"lib{self.name}.so"


CORE = Top(TOP, (_FOLDER / "harness.cpp",), _HEADERS)
_MODEL, *_MODEL_HEADERS = memory_sources()
DEVICE = Top(DEVICE_TOP, (_FOLDER / "harness_device.cpp", _MODEL), (*_HEADERS, *_MODEL_HEADERS))

# Reset and the walk that clears the tracker define every register that matters, so unknowns may have any value.
_VERILATOR_FLAGS = (
    "--cc", "--exe", "-O3", "--no-timing", "--x-assign", "fast", "--x-initial", "fast", "--no-assert",
    "--output-split", "20000", "-Wno-fatal", "-Wno-lint", "-fno-dfg-scoped",
)  # fmt: skip
# Hidden symbols: libraries of several geometries share a process, and their classes share names.
_COMPILER_FLAGS = ("-fPIC", "-fvisibility=hidden", "-fvisibility-inlines-hidden", *SAFE_OPTIMISATION)
# The library runs on the processor that builds it.
_FOR_THIS_PROCESSOR = "-march=native"
# Bytes of Verilog. What is smaller is as fast with -O1 (measured with `tiny`), and compiled in two thirds of the time.
_SMALL = 1_150_000


def build_library(geometry: Geometry, *, top: Top = CORE, trace: str | None = None) -> Path:
    """The shared library of a geometry, from the cache if it was built before.

    Args:
        geometry: what the accelerator is built with.
        top: the stream core alone, or the device.
        trace: `fst` or `vcd` builds a library that can record waves, and is slower.

    Raises:
        DeviceError: a tool is missing, or the build failed; the message says what to install, or where its log is.
    """
    tools = find_toolchain()
    sources = read_sources(_PACKAGE, (*top.compiled, *top.included))
    verilog, sharing = verilog_for_verilator(core_verilog(geometry, top.name))
    named = ("--top-module", top.name, "--prefix", f"V{top.name}")
    compiler_flags = [*_COMPILER_FLAGS, *([_FOR_THIS_PROCESSOR] if tools.native else [])]
    flags = [*_VERILATOR_FLAGS, *named, *([f"--trace-{trace}"] if trace else [])]
    # Verilator's own library runs in a cycle only if waves are recorded.
    optimisation = {
        "OPT_FAST": "-O1" if len(verilog) < _SMALL else "-O2",
        "OPT_SLOW": "-O0",
        "OPT_GLOBAL": "-O1" if trace else "-O0",
    }
    key = digest(
        verilog, sharing, digest_sources(sources), *tools.key, tools.native, *flags, *compiler_flags,
        *optimisation.values(),
    )  # fmt: skip
    kind = top.name.removeprefix("hotline_")
    name = f"verilated-{kind}-{geometry.name}{f'-{trace}' if trace else ''}-{key}"

    def build(folder: Path) -> None:
        (folder / f"{top.name}.v").write_text(verilog)
        (folder / "sharing.vlt").write_text(sharing)
        build_verilated(
            folder, top.library_name, geometry.name, tools=tools, inputs=("sharing.vlt", f"{top.name}.v"),
            sources=sources, compiled=[path.relative_to(_PACKAGE).as_posix() for path in top.compiled], flags=flags,
            compiler_flags=compiler_flags, linker_flags=["-shared"], optimisation=optimisation,
        )  # fmt: skip

    what = f"the Verilated {kind} of {geometry.name} (seconds for a small one, a minute or so for a large one, once)"
    return cached_build(name, what, build) / top.library_name


def trace_format(waves: Path | None) -> str | None:
    """The `trace` argument of `build_library` for this file of waves; None: no waves are recorded.

    Raises:
        ValueError: the suffix is not that of a known format.
    """
    if waves is None:
        return None
    if waves.suffix not in (".fst", ".vcd"):
        raise ValueError(f"waves={waves} must end in .fst or .vcd")
    return waves.suffix[1:]
