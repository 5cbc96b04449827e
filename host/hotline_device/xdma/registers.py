"""The accelerator's registers in a BAR of the card, through the file of the XDMA driver."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import stat
from pathlib import Path

from hotline_device.device import DeviceError
from hotline_hw.spec.shell_registers import DEVICE_ADDRESS_BITS

from .files import open_file

__all__ = ["RegisterFile"]

_BYTES = 1 << DEVICE_ADDRESS_BITS
_LOAD = (
    "load the driver (dma_ip_drivers, XDMA/linux-kernel: insmod xdma.ko) and see that the card is there "
    "(lspci -d 10ee:); the card's design needs the AXI4-Lite master of the XDMA IP"
)
_UNABLE = (errno.ENODEV, errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP)  # the driver does not support mapping


class RegisterFile:
    """32-bit words by byte offset. Each access is one 32-bit access on the bus.

    Args:
        path: the driver's file.
        mapped: map the file. If not, or if the driver cannot map, each access is a system call.

    The file is locked until it is closed, as two that drive one card would not know of each other.

    Raises:
        DeviceError: it cannot be opened, somebody else has it, or the BAR is smaller than the registers.
    """

    def __init__(self, path: Path, *, mapped: bool = True) -> None:
        self.path = path
        self._words: memoryview | None = None
        self._descriptor = open_file(path, os.O_RDWR | os.O_SYNC, "the accelerator's registers", _LOAD)
        try:
            self._lock()
            if mapped:
                self._map()
            self._check_size()
        except BaseException:
            self.close()
            raise

    @property
    def mapped(self) -> bool:
        return self._words is not None

    def read(self, offset: int) -> int:
        if self._words is not None:
            return self._words[offset >> 2]
        try:
            data = os.pread(self._descriptor, 4, offset)
        except OSError as error:
            raise DeviceError(f"{self.path}: read of offset {offset:#05x}: {error.strerror}") from None
        if len(data) != 4:
            raise DeviceError(f"{self.path}: read of offset {offset:#05x}: {len(data)} bytes of 4")
        return int.from_bytes(data, "little")

    def write(self, offset: int, value: int) -> None:
        if self._words is not None:
            self._words[offset >> 2] = value
            return
        try:
            os.pwrite(self._descriptor, value.to_bytes(4, "little"), offset)
        except OSError as error:
            raise DeviceError(f"{self.path}: write of offset {offset:#05x}: {error.strerror}") from None

    def close(self) -> None:
        """Closes the file. Idempotent. No access may be in progress."""
        self._words = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DeviceError(
                f"{self.path}: the card is in use, by another process or elsewhere in this one; one at a time can "
                "drive it, so end or close the other first"
            ) from None

    def _map(self) -> None:
        try:
            # Items of a cast view are copied as one access; slices use memcpy, which may access a word twice.
            self._words = memoryview(mmap.mmap(self._descriptor, _BYTES)).cast("I")
        except (OSError, ValueError) as error:
            if getattr(error, "errno", None) not in _UNABLE:
                raise self._too_small(str(error)) from None

    def _check_size(self) -> None:
        status = os.fstat(self._descriptor)
        if stat.S_ISREG(status.st_mode) and status.st_size < _BYTES:
            raise self._too_small(f"it has {status.st_size} bytes")

    def _too_small(self, why: str) -> DeviceError:
        return DeviceError(
            f"{self.path} does not have the {_BYTES} bytes of the accelerator's registers ({why}): give the AXI4-Lite "
            f"master of the XDMA IP a BAR of {_BYTES >> 10} KiB or more"
        )
