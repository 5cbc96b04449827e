"""Skips tests that need a program which is not installed, and says why."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hotline_device.device import DeviceError
from hotline_device.registry import find_backend
from hotline_sim.build.tools import find_compiler, find_icarus, find_make
from hotline_sim.build.verilator import find_verilator

__all__ = ["TOOL_OF", "backends", "needs", "reason_to_skip", "simulators"]


TOOL_OF = {"verilator": "verilator", "icarus": "iverilog"}
"""The tool that each of cocotb's simulators needs."""


def _find_verilator() -> None:
    """Verilator, and the tools that compile its output."""
    find_verilator(), find_compiler(), find_make()


_FINDERS: dict[str, Callable[[], object]] = {
    "g++": find_compiler, "iverilog": find_icarus, "verilator": _find_verilator,
}  # fmt: skip


def reason_to_skip(check: Callable[[], object]) -> str | None:
    """What `check` says if something is not installed. None if nothing is missing."""
    try:
        check()
    except DeviceError as error:
        return str(error)
    return None


def needs(*tools: str) -> pytest.MarkDecorator:
    """Marks a test, or as `pytestmark` a module, that needs tools: g++, iverilog, verilator."""
    reasons = [reason for tool in tools if (reason := reason_to_skip(_FINDERS[tool]))]
    return pytest.mark.skipif(bool(reasons), reason="; ".join(reasons))


def simulators(*names: str, slow: tuple[str, ...] = ()) -> list:
    """cocotb's simulators as parameters of a test. Those in `slow` are marked slow."""
    return [
        pytest.param(name, marks=[needs(TOOL_OF[name]), *([pytest.mark.slow] if name in slow else [])])
        for name in (*names, *slow)
    ]


def backends(*names: str, slow: tuple[str, ...] = ()) -> list:
    """Backends as parameters of a test. One that lacks something is skipped; those in `slow` are marked slow."""
    parameters = []
    for name in (*names, *slow):
        reason = reason_to_skip(find_backend(name).check_installed)
        marks = [pytest.mark.skipif(reason is not None, reason=reason or "")]
        parameters.append(pytest.param(name, marks=[*marks, pytest.mark.slow] if name in slow else marks))
    return parameters
