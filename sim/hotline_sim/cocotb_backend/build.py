"""Builds the cocotb simulator of a geometry, once."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

from hotline_device.device import DeviceError
from hotline_hw.spec.params import Geometry
from hotline_sim.build.cache import cached_build, digest, run_logged
from hotline_sim.build.library import build_verilated, find_toolchain
from hotline_sim.build.rewriting import verilog_for_verilator
from hotline_sim.build.sources import digest_sources, read_sources, write_sources
from hotline_sim.build.tools import SAFE_OPTIMISATION, find_cocotb, find_icarus
from hotline_sim.build.verilator import find_verilator
from hotline_sim.build.verilog import TOP, core_verilog

from .ports import PORT_NAMES, TIMESCALE

__all__ = ["build_simulator", "default_simulator", "runner_command", "runner_environment"]

_HERE = Path(__file__).parent
_RUNNER = "hotline_sim.cocotb_backend.runner"
_BUILDER = (_HERE / "runner.py", _HERE / "ports.py")  # the sources that affect a build; the server does not
# Most of the time is Python's. Verilator's code that VPI calls runs in every cycle.
_OPTIMISATION = {"OPT_FAST": "-O1", "OPT_SLOW": "-O0", "OPT_GLOBAL": "-O1"}
_VERILATOR_FLAGS = (
    "--cc", "--exe", "--vpi", "--prefix", "Vtop", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-assert",
    "--no-timing", "-Wno-fatal", "-Wno-lint", "--output-split", "20000", "-fno-dfg-scoped",
    "--timescale", "/".join(TIMESCALE),
)  # fmt: skip
_LINKER_FLAGS = ("-Wl,-rpath-link,../cocotb_libs", "-L../cocotb_libs", "-lcocotbvpi_verilator")
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
    find_cocotb()
    build = _build_with_verilator if simulator == "verilator" else _build_with_runner
    return build(geometry, simulator, waves, top)


def _build_with_verilator(geometry: Geometry, simulator: str, waves: bool, top: str) -> Path:
    """As the library for `verilated` is built, with the main program of cocotb. Only the ports are public, instead of
    all signals as cocotb would have it; that is twice as fast. It finds cocotb's libraries when it runs, so it is the
    same for all virtual environments with this version of cocotb."""
    from cocotb_tools import config

    tools = find_toolchain()
    verilog, sharing = verilog_for_verilator(core_verilog(geometry, top))
    ports = "".join(f'public_flat_rw -module "{top}" -var "{name}"\n' for name in PORT_NAMES[top])
    inputs = {"sharing.vlt": sharing, "ports.vlt": f"`verilator_config\n{ports}", f"{top}.v": verilog}
    main = Path(config.share_dir) / "lib" / "verilator" / "verilator.cpp"
    sources = read_sources(main.parent, [main])
    flags = [*_VERILATOR_FLAGS, "--top-module", top, *(["--trace"] if waves else [])]
    key = digest(
        *inputs.values(), digest_sources(sources), *tools.key, importlib.metadata.version("cocotb"), *flags,
        *SAFE_OPTIMISATION, *_LINKER_FLAGS, *_OPTIMISATION.values(),
    )  # fmt: skip
    what = _what(geometry, top)

    def build(folder: Path) -> None:
        write_sources(inputs, folder)
        build_verilated(
            folder, top, what, tools=tools, inputs=list(inputs), sources=sources, compiled=list(sources), flags=flags,
            compiler_flags=SAFE_OPTIMISATION, linker_flags=_LINKER_FLAGS, optimisation=_OPTIMISATION,
            links={"cocotb_libs": Path(config.libs_dir)},
        )  # fmt: skip

    return cached_build(_name(geometry, simulator, waves, top, key), f"Verilator of {what} under cocotb (once)", build)


def _build_with_runner(geometry: Geometry, simulator: str, waves: bool, top: str) -> Path:
    """As cocotb's runner builds it, with a copy of the sources that the key is made of."""
    version = _version(simulator)
    verilog = core_verilog(geometry, top)
    builder = read_sources(_HERE, _BUILDER)
    key = digest(top, verilog, version, importlib.metadata.version("cocotb"), digest_sources(builder))
    what = _what(geometry, top)

    def build(folder: Path) -> None:
        (folder / f"{top}.v").write_text(verilog)
        write_sources({"__init__.py": "", **builder}, folder / "builder")
        command = [
            *runner_command("build", simulator, folder, top, "builder.runner"),
            *(["--waves", "yes"] if waves else []),
        ]
        run_logged(command, folder, runner_environment(simulator), f"building {simulator} of {what}")
        shutil.rmtree(folder / "builder")

    return cached_build(
        _name(geometry, simulator, waves, top, key), f"{simulator} of {what} under cocotb (once)", build
    )


def _what(geometry: Geometry, top: str) -> str:
    return geometry.name if top == TOP else f"{top} of {geometry.name}"


def _name(geometry: Geometry, simulator: str, waves: bool, top: str, key: str) -> str:
    kind = "" if top == TOP else f"-{top.removeprefix('hotline_')}"
    return f"{simulator}{kind}-{geometry.name}{'-waves' if waves else ''}-{key}"


def runner_command(
    action: str, simulator: str, folder: Path, top: str = TOP, module: str = _RUNNER
) -> list[str | Path]:
    """The command that builds or runs a simulator of `top`. Options may be appended."""
    return [sys.executable, "-m", module, action, simulator, folder, "--top", top]


def runner_environment(simulator: str) -> dict[str, str]:
    """Environment of the runner's process: the same Python path as here, and the Verilator that was found."""
    env = find_verilator().environment() if simulator == "verilator" else dict(os.environ)
    env = {key: value for key, value in env.items() if key not in _DROPPED and not key.startswith("COCOTB_")}
    env["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
    return env


def _version(simulator: str) -> str:
    """The version of the simulator, for the key of the cache.

    Raises:
        DeviceError: something is missing; the message says how to install it.
    """
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
