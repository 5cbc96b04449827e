"""Builds the simulator of a geometry, once, for the `cocotb` backend."""

from __future__ import annotations

import importlib.metadata
import importlib.util
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
from hotline_sim.build.verilator import find_compiler, find_tool, find_verilator
from hotline_sim.build.verilog import TOP, core_verilog

__all__ = ["build_simulator", "default_simulator", "runner_command", "runner_environment"]

_HERE = Path(__file__).parent
_RUNNER = "hotline_sim.cocotb_backend.runner"
_BUILD_SOURCES = ("runner.py", "ports.py")  # what a build depends on; the server does not count
# The caller's own settings for cocotb, pytest or a simulator would change what the runner does.
_DROPPED = ("WAVES", "GUI", "PYTEST_CURRENT_TEST", "TOPLEVEL_LANG", "GPI_USERS", "PYGPI_USERS")


def default_simulator() -> str:
    """`icarus` where that is installed, else `verilator`."""
    return "icarus" if shutil.which("iverilog") else "verilator"


def build_simulator(geometry: Geometry, simulator: str, *, waves: bool, top: str = TOP) -> Path:
    """Folder with the built simulator, from the cache where it was built before.

    Args:
        geometry: what the hardware is built with.
        simulator: as cocotb's runner calls it.
        waves: it can record waves.
        top: TOP, the stream core alone, or DEVICE_TOP, the whole accelerator.

    Raises:
        DeviceError: cocotb or the simulator is lacking, or the build failed; the message says what to do.
    """
    version = _check_tools(simulator)
    verilog, rules = core_verilog(geometry, top), ""
    if simulator == "verilator":  # as fast as the library in this process is made
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
    """The program that builds or runs a simulator of `top`; its options may follow."""
    return [sys.executable, "-m", _RUNNER, action, simulator, folder, "--top", top]


def runner_environment(simulator: str) -> dict[str, str]:
    """Environment of the runner's process: this one's modules, and the Verilator that was found."""
    env = find_verilator().environment() if simulator == "verilator" else dict(os.environ)
    env = {key: value for key, value in env.items() if key not in _DROPPED and not key.startswith("COCOTB_")}
    env["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
    return env


def _check_tools(simulator: str) -> str:
    """What tells one version of the simulator from another.

    Raises:
        DeviceError: what is lacking, and how to install it.
    """
    if importlib.util.find_spec("cocotb_tools") is None:
        raise DeviceError("the cocotb backend needs cocotb. Install it: pip install 'cocotb>=2.1,<2.2'")
    if simulator == "verilator":
        find_compiler(), find_tool("make")
        _check_paths()
        return str(find_verilator().version)
    if simulator == "icarus":
        for tool in ("iverilog", "vvp"):
            if shutil.which(tool) is None:
                raise DeviceError(
                    f"{tool} is not on PATH. Install Icarus Verilog (Debian: apt install iverilog), "
                    "or take another backend: cocotb:verilator, verilated or model"
                )
        return subprocess.run(["iverilog", "-V"], capture_output=True, text=True).stdout.partition("\n")[0]
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
