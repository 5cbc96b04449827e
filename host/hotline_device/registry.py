"""The backends: one entry says all that the rest of the program needs to know of one.

A new backend is a class that implements `Device`, and an entry here. Nothing else compares a backend's name: callers
ask its entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from hotline_hw.spec.params import Geometry

from .device import Device, DeviceError

__all__ = ["BACKENDS", "Backend", "backend_help", "backend_table", "find_backend", "open_device"]


@dataclass(frozen=True, kw_only=True)
class Backend:
    """One way to open an accelerator.

    Functions and classes are given as `module:name`, and imported only when they are used: a backend may need
    packages that the others do without.

    Attributes:
        name: what a user writes after `--backend`.
        summary: what it is, in one line of Markdown.
        purpose: what it is good for, in a few words.
        factory: the class of the device. Its first argument is the geometry.
        arguments: keyword arguments that are always given to `factory`.
        options: keyword arguments that a caller of `open_device` may give.
        has_clock: it counts clock cycles.
        simulates: it is built from a geometry; if not, it finds the geometry of a card, and one that is given is
            compared with the card's.
        needs: what must be installed, by name, with the function that raises DeviceError, with the remedy, if it is
            not.
    """

    name: str
    summary: str
    purpose: str
    factory: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    options: frozenset[str] = frozenset()
    has_clock: bool = True
    simulates: bool = True
    needs: Mapping[str, str] = field(default_factory=dict)

    def check_installed(self) -> None:
        """Raises DeviceError, with the remedy, if something that the backend needs is not installed."""
        for check in self.needs.values():
            _load(check)()

    def chosen(self, **options: Any) -> dict[str, Any]:
        """Those of `options` that this backend takes."""
        return {name: value for name, value in options.items() if name in self.options}

    def open(self, geometry: Geometry | None, **options: Any) -> Device:
        """A new device, see `open_device`."""
        if unknown := sorted(options.keys() - self.options):
            takes = f"its options are {', '.join(sorted(self.options))}" if self.options else "it takes no options"
            raise DeviceError(f"backend {self.name} has no option {unknown[0]}; {takes}")
        if geometry is None and self.simulates:
            raise DeviceError(f"backend {self.name} simulates: it needs a geometry")
        self.check_installed()
        return _load(self.factory)(geometry, **self.arguments, **options)


_TOOLS = "hotline_sim.build.tools"
_COMPILER = {"a C++ compiler": f"{_TOOLS}:find_compiler"}
_VERILATOR = _COMPILER | {"make": f"{_TOOLS}:find_make", "Verilator": "hotline_sim.build.verilator:find_verilator"}
_COCOTB = _COMPILER | {"cocotb": f"{_TOOLS}:find_cocotb"}
_SIMULATED = frozenset({"timing", "seed", "waves", "quiet_limit"})


def _cocotb(name: str, summary: str, simulator: str | None, needs: Mapping[str, str]) -> Backend:
    return Backend(
        name=name, summary=summary, purpose="other simulators, waves",
        factory="hotline_sim.cocotb_backend.device:CocotbDevice", arguments={"simulator": simulator},
        options=_SIMULATED, needs={**_COCOTB, **needs},
    )  # fmt: skip


BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (
        Backend(
            name="model", summary="the golden model, compiled by Numba", purpose="whole epochs, sweeps",
            factory="hotline_sim.model.device:ModelDevice", options=frozenset({"reference"}), has_clock=False,
        ),
        Backend(
            name="verilated", summary="the generated Verilog, compiled by Verilator into this process",
            purpose="RTL in the loop", factory="hotline_sim.verilated.device:VerilatedDevice",
            options=_SIMULATED, needs=_VERILATOR,
        ),
        _cocotb("cocotb", "Icarus under cocotb if it is installed, else Verilator", None, {}),
        _cocotb(
            "cocotb:icarus", "Icarus Verilog in a process of its own, under cocotb", "icarus",
            {"Icarus Verilog": f"{_TOOLS}:find_icarus"},
        ),
        _cocotb("cocotb:verilator", "Verilator in a process of its own, under cocotb", "verilator", _VERILATOR),
        Backend(
            name="xdma", summary="a card on PCIe, behind the XDMA driver and u-dma-buf",
            purpose="the real thing (never run on one yet)", factory="hotline_device.xdma.device:XdmaDevice",
            options=frozenset({"registers", "events", "buffers", "sysfs", "mapped", "timeout"}), simulates=False,
        ),
    )
}  # fmt: skip


def find_backend(name: str) -> Backend:
    """The entry of a backend.

    Raises:
        DeviceError: there is none of that name; the message names those that there are.
    """
    if name not in BACKENDS:
        raise DeviceError(f"unknown backend {name!r}; the backends are {', '.join(BACKENDS)}")
    return BACKENDS[name]


def open_device(backend: str, geometry: Geometry | None, **options: Any) -> Device:
    """A new device, with memory of its own.

    Args:
        backend: the name of one of BACKENDS.
        geometry: what the accelerator is built with, its shell included. A backend that does not simulate also takes
            None: whatever the card has.
        options: those of `Backend.options`, as the backend's class describes them.

    Raises:
        DeviceError: an unknown backend or option, a geometry without a shell, something that is not installed, or a
            backend that cannot be built or started; the message says what to do.
    """
    return find_backend(backend).open(geometry, **options)


def backend_help() -> str:
    """The backends in a sentence, for the help of a command."""
    return "; ".join(f"{backend.name}: {backend.summary}" for backend in BACKENDS.values())


def backend_table() -> str:
    """The backends as a table in Markdown, for README and docs."""
    lines = ["| backend | what it is | for | needs |", "|---|---|---|---|"]
    for backend in BACKENDS.values():
        needs = ", ".join(backend.needs)
        lines.append(f"| `{backend.name}` | {backend.summary} | {backend.purpose} | {needs} |")
    return "\n".join(lines) + "\n"


def _load(path: str) -> Any:
    """The object that `module:name` names."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
