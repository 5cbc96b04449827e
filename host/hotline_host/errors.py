"""The errors that a user can mend. The `hotline` command turns each into one line and exit code 2.

    HotlineError
     |- SettingsError    an option, alone or for this log
     |- DataError        a log that cannot be read or used
     |- DriverError      a request beyond the accelerator, or a wrong answer of it
     '- RanksError       another process that trains together with this one is gone, or out of step

Devices raise `DeviceError`, geometries `GeometryError`, and synthesis `SynthesisError`. They belong to packages below
this one.
"""

from __future__ import annotations

from hotline_device.device import DeviceError
from hotline_hw.spec.params import GeometryError
from hotline_hw.synth.targets import SynthesisError

__all__ = ["EXPECTED", "DataError", "DriverError", "HotlineError", "RanksError", "SettingsError"]


class HotlineError(Exception):
    """Base of the errors below. The message says what is wrong, where, and what would be right."""


class SettingsError(HotlineError, ValueError):
    """A setting makes no sense, alone or for this log. The message names the setting, its value and the rule."""


class DataError(HotlineError, ValueError):
    """A log cannot be used. The message names file, line and field where there are any."""


class DriverError(HotlineError, RuntimeError):
    """A request is beyond the accelerator, or its answer is wrong. The message says which, and where."""


class RanksError(HotlineError, RuntimeError):
    """Another process that trains together with this one is gone, out of step, or has failed. It says by itself why."""


EXPECTED = (HotlineError, DeviceError, GeometryError, SynthesisError)
"""What the command reports in one line, apart from errors of the operating system."""
