"""Builds and runs a cocotb simulator, as a program of its own: `python -m hotline_sim.cocotb_backend.runner`.

A separate process protects the caller from cocotb's settings and output, and from a crash of the simulator.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from cocotb_tools import runner

from hotline_sim.build.tools import SAFE_OPTIMISATION

from .ports import PORT_NAMES

TIMESCALE = ("1ns", "1ps")
SERVER = "hotline_sim.cocotb_backend.device_server"


class PortsOnlyVerilator(runner.Verilator):
    """cocotb's Verilator with only the ports public, instead of all signals. It is twice as fast."""

    def _build_command(self) -> list[list[str]]:
        public = "--public-flat-rw"
        return [[word for word in command if word != public] for command in super()._build_command()]


def control_file(top: str) -> str:
    """A Verilator control file that lets cocotb see the ports of the top module."""
    lines = ["`verilator_config"]
    lines += [f'public_flat_rw -module "{top}" -var "{name}"' for name in PORT_NAMES[top]]
    return "\n".join(lines) + "\n"


def get_runner(simulator: str) -> runner.Runner:
    return PortsOnlyVerilator() if simulator == "verilator" else runner.get_runner(simulator)


def build(simulator: str, folder: Path, *, top: str, waves: bool) -> None:
    """Builds a simulator of the module `top` from `top`.v in `folder`. Verilator also gets the control files (*.vlt)
    there."""
    sources: list[Path] = [folder / f"{top}.v"]
    arguments: list[str] = []
    if simulator == "verilator":
        (folder / "ports.vlt").write_text(control_file(top))
        sources = [*sorted(folder.glob("*.vlt")), *sources]
        arguments = ["-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-assert", "--no-timing", "-Wno-fatal",
                     "-Wno-lint", "--output-split", "20000", "-fno-dfg-scoped",
                     "-CFLAGS", " ".join(("-O2", *SAFE_OPTIMISATION))]  # fmt: skip
    get_runner(simulator).build(
        sources=sources, hdl_toplevel=top, build_args=arguments, build_dir=folder, timescale=TIMESCALE, waves=waves
    )


def run(
    simulator: str,
    folder: Path,
    *,
    top: str,
    run_folder: Path,
    waves: Path | None,
    test_module: str | None = None,
    test_filter: str | None = None,
) -> None:
    """Runs the simulator that `build` made in `folder`. Results are in results.xml of `run_folder`.

    Args:
        test_module: cocotb tests to run; None: the server of a `CocotbDevice`, which runs until the device is closed.
        test_filter: a regular expression; only tests whose names match it are run.
    """
    options: dict[str, Sequence[str]] = {}
    if waves and simulator == "verilator":
        options["test_args"] = ["--trace-file", str(waves)]
    elif waves and simulator == "icarus":
        options["plusargs"] = [f"+dumpfile_path={waves}"]
    get_runner(simulator).test(
        test_module=test_module or SERVER, hdl_toplevel=top, hdl_toplevel_lang="verilog", build_dir=folder,
        test_dir=run_folder, results_xml=str(run_folder / "results.xml"), timescale=TIMESCALE, waves=waves is not None,
        test_filter=test_filter, **options,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("build", "run"))
    parser.add_argument("simulator")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--top", choices=PORT_NAMES, required=True)
    parser.add_argument("--run-folder", type=Path)
    parser.add_argument("--waves", type=Path)
    parser.add_argument("--test-module")
    parser.add_argument("--test-filter")
    given = parser.parse_args()
    if given.action == "build":
        build(given.simulator, given.folder, top=given.top, waves=given.waves is not None)
        return
    owner = os.getppid()
    try:
        run(given.simulator, given.folder, top=given.top, run_folder=given.run_folder, waves=given.waves,
            test_module=given.test_module, test_filter=given.test_filter)  # fmt: skip
    finally:
        if os.getppid() != owner:  # killed before it could clean up
            shutil.rmtree(given.run_folder, ignore_errors=True)


if __name__ == "__main__":
    main()
