"""Builds the cocotb simulator of a geometry, once."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

from hotline_device.cache_folder import CACHE_VARIABLE
from hotline_device.device import DeviceError
from hotline_hw.spec.params import Geometry
from hotline_sim.build.cache import builds_folder, cached_build, digest, run_logged
from hotline_sim.build.memories import interleave_memories
from hotline_sim.build.sharing import share_instances
from hotline_sim.build.tools import find_cocotb, find_compiler, find_icarus, find_make
from hotline_sim.build.verilator import find_verilator
from hotline_sim.build.verilog import TOP, core_verilog

__all__ = ["build_simulator", "default_simulator", "runner_command", "runner_environment"]

_HERE = Path(__file__).parent
_RUNNER = "hotline_sim.cocotb_backend.runner"
_BUILD_SOURCES = ("runner.py", "ports.py")  # the sources that affect a build; the server does not
# The caller's own settings for cocotb, pytest or a simulator would change what the runner does.
_DROPPED = ("WAVES", "GUI", "PYTEST_CURRENT_TEST", "TOPLEVEL_LANG", "GPI_USERS", "PYGPI_USERS")


def default_simulator() -> str:
    """`icarus` if it is installed, else `verilator`."""
    return "icarus" if shutil.which("iverilog") else "verilator"


def build_simulator(geometry: Geometry, simulator: str, *, waves: bool, top: str = TOP) -> Path:
    """The folder of the simulator, from the cache if it was built before.

    Args:
        geometry: what the hardware is built with.
        simulator: its name in cocotb's runner.
        waves: whether it can record waves.
        top: TOP, the stream core alone, or DEVICE_TOP, the whole accelerator.

    Raises:
        DeviceError: cocotb or the simulator is missing, or the build failed; the message says what to do.
    """
    version = _check_tools(simulator)
    verilog, rules = core_verilog(geometry, top), ""
    if simulator == "verilator":  # as the in-process library does, for speed
        verilog, rules = share_instances(interleave_memories(verilog))
    key = digest(
        top, verilog, rules, version, importlib.metadata.version("cocotb"), sys.prefix,
        *((_HERE / name).read_text() for name in _BUILD_SOURCES),
    )  # fmt: skip

    what = geometry.name if top == TOP else f"{top} of {geometry.name}"

    def build(folder: Path) -> None:
        (folder / f"{top}.v").write_text(verilog)
        if rules:
            (folder / "sharing.vlt").write_text(rules)
        command = [*runner_command("build", simulator, folder, top), *(["--waves", "yes"] if waves else [])]
        run_logged(command, folder, runner_environment(simulator), f"building {simulator} of {what}")
        for path in [*folder.glob("*.o"), *folder.glob("*.a"), *folder.glob("*.gch")]:
            path.unlink()

    kind = "" if top == TOP else f"-{top.removeprefix('hotline_')}"
    name = f"{simulator}{kind}-{geometry.name}{'-waves' if waves else ''}-{key}"
    return cached_build(name, f"{simulator} of {what} under cocotb (once)", build)


def runner_command(action: str, simulator: str, folder: Path, top: str = TOP) -> list[str | Path]:
    """The command that builds or runs a simulator of `top`. Options may be appended."""
    return [sys.executable, "-m", _RUNNER, action, simulator, folder, "--top", top]


def runner_environment(simulator: str) -> dict[str, str]:
    """Environment of the runner's process: the same Python path as here, and the Verilator that was found."""
    env = find_verilator().environment() if simulator == "verilator" else dict(os.environ)
    env = {key: value for key, value in env.items() if key not in _DROPPED and not key.startswith("COCOTB_")}
    env["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
    return env


def _check_tools(simulator: str) -> str:
    """The version of the simulator, for the key of the cache.

    Raises:
        DeviceError: something is missing; the message says how to install it.
    """
    find_cocotb()
    if simulator == "verilator":
        find_compiler(), find_make()
        _check_paths()
        return str(find_verilator().version)
    if simulator == "icarus":
        run = subprocess.run([find_icarus(), "-V"], capture_output=True, text=True)
        return run.stdout.partition("\n")[0]
    from cocotb_tools import runner

    try:
        runner.get_runner(simulator)
    except ValueError as error:
        raise DeviceError(f"cocotb knows no simulator {simulator!r}: {error}") from None
    except SystemExit as error:
        raise DeviceError(f"{simulator} cannot be used: {error}. Put it on PATH") from None
    return simulator


def _check_paths() -> None:
    """Raises DeviceError if a path that cocotb hands to make contains a space, at which make cuts it."""
    cocotb = importlib.util.find_spec("cocotb_tools")
    remedies = {
        str(builds_folder()): f"Set {CACHE_VARIABLE} to a folder without one",
        str(cocotb.origin if cocotb else ""): "Install cocotb in a folder without one",
    }
    for path, remedy in remedies.items():
        if " " in path:
            raise DeviceError(
                f"{path} contains a space, and cocotb cannot build Verilator's simulator there. {remedy}, "
                "or take the backend verilated"
            )
