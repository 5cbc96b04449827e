"""Finds the programs and packages that simulation needs, or says how to install them. `verilator` finds Verilator."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
from pathlib import Path

from hotline_device.device import DeviceError

__all__ = ["SAFE_OPTIMISATION", "ToolError", "find_cocotb", "find_compiler", "find_icarus", "find_make", "find_tool"]

SAFE_OPTIMISATION = ("-fno-tree-slp-vectorize",)
"""Flags for every C++ build of a simulator. GCC 12.2 makes -1 of each true term when it vectorizes a sum of comparisons
(`(a != 0) + (b != 0) + ...` of four neighbouring bytes), from -O2 on. Verilator writes a count of bits so."""


class ToolError(DeviceError):
    """A tool is missing or too old; the message says which one, where it was looked for and what to install."""


def find_tool(name: str) -> Path:
    """The executable `name` (make, perl, ...) on PATH.

    Raises:
        ToolError: it is not there.
    """
    path = shutil.which(name)
    if path is None:
        raise ToolError(f"{name} is not on PATH. Install it with your system's packages (Debian: apt install {name})")
    return Path(path)


def find_make() -> Path:
    """The `make` on PATH. Raises ToolError."""
    return find_tool("make")


def find_compiler() -> list[str]:
    """The command of the C++ compiler, in words: $CXX if it is set ("ccache g++" is two words), else g++, else clang++.

    Raises:
        ToolError: $CXX does not begin with an executable, or there is no compiler.
    """
    if chosen := shlex.split(os.environ.get("CXX", "")):
        if shutil.which(chosen[0]) is None:
            raise ToolError(
                f"CXX={' '.join(chosen)}: {chosen[0]} is not on PATH. Unset it, or set it to a C++ compiler"
            )
        return chosen
    for name in ("g++", "clang++"):
        if path := shutil.which(name):
            return [path]
    raise ToolError("neither g++ nor clang++ is on PATH. Install a C++ compiler (Debian: apt install g++)")


def find_icarus() -> Path:
    """Icarus Verilog's compiler.

    Raises:
        ToolError: it, or its simulator, is not on PATH.
    """
    for tool in ("iverilog", "vvp"):
        if shutil.which(tool) is None:
            raise ToolError(
                f"{tool} is not on PATH. Install Icarus Verilog (Debian: apt install iverilog), "
                "or choose another backend: cocotb:verilator, verilated or model"
            )
    return Path(shutil.which("iverilog") or "")


def find_cocotb() -> None:
    """Raises ToolError if cocotb is not installed."""
    if importlib.util.find_spec("cocotb_tools") is None:
        raise ToolError("the cocotb backend needs cocotb. Install it: pip install 'cocotb>=2.1,<2.2'")
