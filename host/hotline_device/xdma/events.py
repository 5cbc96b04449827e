"""Interrupts of the card, from the XDMA driver."""

from __future__ import annotations

import os
import select
import threading
from pathlib import Path

from hotline_device.device import DeviceError

from .files import open_file

__all__ = ["EventFile"]

_BYTES = 4
_LOAD = (
    "load the XDMA driver (dma_ip_drivers, XDMA/linux-kernel: insmod xdma.ko); the accelerator's irq must be on "
    "usr_irq_req of the XDMA IP, in the bit that the file is named after"
)


class EventFile:
    """A file that is readable from an interrupt until it is read. Several threads may wait for it.

    Args:
        path: the driver's file.

    Raises:
        DeviceError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # Reads block even with O_NONBLOCK; it is for opening a FIFO in tests.
        self._descriptor = open_file(path, os.O_RDONLY | os.O_NONBLOCK, "the accelerator's interrupts", _LOAD)
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._changed = threading.Condition()
        self._waiting, self._closed = 0, False

    def wait(self, seconds: float) -> bool:
        """Waits for an interrupt. Returns whether there was one, to every thread that waits.

        Raises:
            DeviceError: the file was closed meanwhile, or the driver was unloaded.
        """
        with self._changed:
            self._check_open()
            self._waiting += 1
        try:
            return self._wait(seconds)
        finally:
            with self._changed:
                self._waiting -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Ends every wait. Idempotent."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            os.eventfd_write(self._wake, 1)
            self._changed.wait_for(lambda: not self._waiting)
            os.close(self._descriptor)
            os.close(self._wake)

    def _wait(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        found = dict(poll.poll(1000 * max(0.0, seconds)))
        if self._wake in found:
            self._check_open()
        if self._descriptor not in found:
            return False
        with self._changed:
            self._take()
        return True

    def _take(self) -> None:
        """Reads the event, unless another thread has."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        for _, what in poll.poll(0):
            if what & select.POLLIN and len(os.read(self._descriptor, _BYTES)) == _BYTES:
                continue
            raise DeviceError(f"{self.path} reports an error: the driver was unloaded, or the card is gone")

    def _check_open(self) -> None:
        if self._closed:
            raise DeviceError("the device was closed; open another one")
