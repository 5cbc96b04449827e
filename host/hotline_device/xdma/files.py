"""Opens what kernel drivers offer as files, and tells what is lacking."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from hotline_device.device import DeviceError

__all__ = ["open_file", "read_number"]


def open_file(path: Path, flags: int, what: str, remedy: str) -> int:
    """The descriptor of an open file.

    Args:
        what: it is, for the message.
        remedy: what to do if it is not there.

    Raises:
        DeviceError: it is not there, or may not be opened.
    """
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except OSError as error:
        raise _trouble(path, what, remedy, error) from None


def read_number(path: Path, what: str, remedy: str) -> int:
    """The number in a file of sysfs, decimal or with 0x.

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
