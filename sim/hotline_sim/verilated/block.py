"""Runs a single block of the hardware, Verilated, over whole arrays: for tests that need millions of cycles."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hotline_sim.build.cache import cached_build, digest, run_logged
from hotline_sim.build.library import build_library
from hotline_sim.build.tools import find_compiler, find_make
from hotline_sim.build.verilator import find_verilator

__all__ = ["Run", "VerilatedBlock"]

_HARNESS = Path(__file__).with_name("block.cpp")
_LIBRARY_NAME = "libhotline_block.so"
_VERILATOR_FLAGS = (
    "--cc", "--exe", "--top-module", "block", "--prefix", "Vblock", "-O3", "--no-timing",
    "--x-assign", "fast", "--x-initial", "fast", "--no-assert", "-Wno-fatal", "-Wno-lint",
)  # fmt: skip
_COMPILER_FLAGS = ("-std=c++17", "-fPIC", "-fvisibility=hidden", "-fvisibility-inlines-hidden", "-I..")
_OPTIMISATION = ("OPT_FAST=-O2", "OPT_SLOW=-O0", "OPT_GLOBAL=-O0")
_YOSYS = "read_rtlil block.il\nproc -nomux -norom\nmemory_collect\nwrite_verilog -norename -noattr block.v\n"
_RUN_YOSYS = "import sys; from pyosys import libyosys as ys; ys.run_pass('script ' + sys.argv[1], ys.Design())"


@dataclass(frozen=True)
class Run:
    """The result of a run.

    Attributes:
        outputs: uint32 [rows, words], the rows received.
        sent: input rows that the block accepted.
        cycles: clock cycles.
        sending_cycles: clock cycles until the last input row was accepted.
    """

    outputs: np.ndarray
    sent: int
    cycles: int
    sending_cycles: int


class VerilatedBlock:
    """An Amaranth component as a library.

    It has inputs, outputs and settings. If the component has streams `input` and `output`, their payloads are the input
    and the output, and its other outputs are not visible; if not, all its ports are. Settings are inputs that are
    constant during a run.

    A row of an array has the values of all inputs, or all outputs, in the order of the signature; each value takes as
    many 32-bit words as it needs (65 bits: 3), the lowest first.

    Raises:
        DeviceError: a tool is missing, or the build failed.
    """

    def __init__(self, component: object, name: str, *, settings: tuple[str, ...] = ()) -> None:
        from hotline_hw.lib.blocks import BlockLibrary, flat_ports

        flows = {port: (len(value), flow.name) for port, (value, flow) in flat_ports(component).items()}
        self.stream = "input_valid" in flows and "output_valid" in flows
        self.settings = {port: flows[port][0] for port in settings}
        if self.stream:
            self.inputs = {"input_payload": flows["input_payload"][0]}
            self.outputs = {"output_payload": flows["output_payload"][0]}
        else:
            self.inputs = {port: bits for port, (bits, flow) in flows.items() if flow == "In" and port not in settings}
            self.outputs = {port: bits for port, (bits, flow) in flows.items() if flow == "Out"}
        library = BlockLibrary()
        top = library.emit(component, "block")
        text = "\n".join((*library.modules.values(), top))
        self._run = ctypes.CDLL(str(_build(name, text, self._header()))).hotline_block_run
        self._run.restype = None
        words, number, rate = ctypes.c_void_p, ctypes.c_int64, ctypes.c_uint64
        self._run.argtypes = [words, words, number, number, words, number, number, number, rate, rate, rate, words]

    def _header(self) -> str:
        """`ports.hpp` of block.cpp."""
        kinds = {"INPUTS": self.inputs, "SETTINGS": self.settings, "OUTPUTS": self.outputs}
        lines = [f"#define {kind}(X) {' '.join(f'X({port})' for port in ports)}" for kind, ports in kinds.items()]
        return "\n".join(
            ['#include "Vblock.h"', "#define BLOCK Vblock", f"#define STREAM {int(self.stream)}", *lines, ""]
        )

    def run(
        self,
        inputs: np.ndarray,
        wanted: int,
        *,
        settings: Mapping[str, int] | None = None,
        limit: int | None = None,
        seed: int = 0,
        offer: float = 1.0,
        take: float = 1.0,
    ) -> Run:
        """Resets the block and runs it until all inputs are sent and `wanted` outputs received; at most `limit` cycles.

        Args:
            inputs: uint32 [rows, words].
            wanted: output rows to wait for.
            settings: values of the settings, of up to 32 bits each.
            limit: most clock cycles; None: 1000, and 100 for each row.
            seed: for the stalls.
            offer, take: probability, in a cycle, that an input is offered, and an output accepted (streams only).
        """
        inputs = np.ascontiguousarray(inputs, dtype=np.uint32)
        words = [sum(-(-bits // 32) for bits in ports.values()) for ports in (self.inputs, self.outputs)]
        if inputs.ndim != 2 or inputs.shape[1] != words[0]:
            raise ValueError(f"inputs must be [rows, {words[0]}] for the ports {self.inputs}, not {inputs.shape}")
        constants = np.array([(settings or {})[port] for port in self.settings], dtype=np.uint32)
        outputs = np.zeros((wanted, words[1]), dtype=np.uint32)
        moved = np.zeros(4, dtype=np.int64)
        self._run(
            constants.ctypes.data, inputs.ctypes.data, len(inputs), words[0], outputs.ctypes.data, wanted, words[1],
            100 * (len(inputs) + wanted) + 1000 if limit is None else limit,
            seed, int(offer * (1 << 32)), int(take * (1 << 32)), moved.ctypes.data,
        )  # fmt: skip
        sent, came, cycles, sending_cycles = moved.tolist()
        return Run(outputs[:came], sent, cycles, sending_cycles)


def _build(name: str, rtlil: str, ports: str) -> Path:
    """The library of a block, from the cache if it was built before."""
    verilator, compiler, _ = find_verilator(), find_compiler(), find_make()
    said = subprocess.run([*compiler, "--version"], capture_output=True, text=True).stdout
    key = digest(
        rtlil, ports, _HARNESS.read_text(), str(verilator.version), said, platform.machine(), _YOSYS,
        *_VERILATOR_FLAGS, *_COMPILER_FLAGS, *_OPTIMISATION,
    )  # fmt: skip

    def build(folder: Path) -> None:
        (folder / "block.il").write_text(rtlil)
        (folder / "block.ys").write_text(_YOSYS)
        (folder / "ports.hpp").write_text(ports)
        run_logged([sys.executable, "-c", _RUN_YOSYS, "block.ys"], folder, os.environ, f"Yosys on {name}")
        build_library(
            folder, _LIBRARY_NAME, name, verilator=verilator, compiler=compiler, inputs=("block.v",),
            sources=(_HARNESS,), flags=_VERILATOR_FLAGS, compiler_flags=_COMPILER_FLAGS, optimisation=_OPTIMISATION,
        )  # fmt: skip

    return cached_build(f"block-{name}-{key}", f"the Verilated block {name} (seconds, once)", build) / _LIBRARY_NAME
