"""Builds and runs a cocotb simulator, as a program of its own: `python -m hotline_sim.cocotb_backend.runner`.

A separate process protects the caller from cocotb's settings and output, and from a crash of the simulator.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from cocotb_tools import config, runner

from .ports import PORT_NAMES, TIMESCALE

SERVER = "hotline_sim.cocotb_backend.device_server"


class LinkedVerilator(runner.Verilator):
    """Runs what `build._build_with_verilator` makes: this environment's libraries of cocotb go with it."""

    def _set_env_test(self) -> None:
        super()._set_env_test()
        folders = [str(config.libs_dir), self.env.get("LD_LIBRARY_PATH")]
        self.env["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, folders))


def get_runner(simulator: str) -> runner.Runner:
    return LinkedVerilator() if simulator == "verilator" else runner.get_runner(simulator)


def build(simulator: str, folder: Path, *, top: str, waves: bool) -> None:
    """Builds a simulator of the module `top` from `top`.v in `folder`. For Verilator see build.py."""
    get_runner(simulator).build(
        sources=[folder / f"{top}.v"], hdl_toplevel=top, build_dir=folder, timescale=TIMESCALE, waves=waves
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
