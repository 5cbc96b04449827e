"""Opens the files of kernel drivers, and says what is missing."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from hotline_device.device import DeviceError

__all__ = ["open_file", "read_number"]


def open_file(path: Path, flags: int, what: str, remedy: str) -> int:
    """Opens a file. Returns its descriptor.

    Args:
        what: describes the file in the message.
        remedy: what to do if the file is missing.

    Raises:
        DeviceError: it is missing, or access is denied.
    """
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except OSError as error:
        raise _trouble(path, what, remedy, error) from None


def read_number(path: Path, what: str, remedy: str) -> int:
    """The number in a sysfs file, decimal or with 0x.

    Raises:
        DeviceError: it cannot be read, or is no number.
    """
    try:
        text = path.read_text().strip()
    except OSError as error:
        raise _trouble(path, what, remedy, error) from None
    try:
        return int(text, 0)
    except ValueError:
        raise DeviceError(f"{path}, {what}, holds {text!r} and not a number: is it a file of u-dma-buf?") from None


def _trouble(path: Path, what: str, remedy: str, error: OSError) -> DeviceError:
    if error.errno in (errno.EACCES, errno.EPERM):
        remedy = f"give this user the right to it (a udev rule, say), or run as root; {path} is there"
    return DeviceError(f"{path}, {what}, cannot be opened: {error.strerror}. To mend that: {remedy}")
