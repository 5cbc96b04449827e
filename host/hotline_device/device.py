"""The device interface: what the driver needs of an accelerator.

Every backend (golden model, Verilated library, cocotb simulator, board) implements `Device`, and the driver uses
nothing else. It is what PCIe offers: registers, shared memory and an interrupt. A device does not tell its geometry:
the driver reads that from the capability registers, as on a board.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType

from .host_memory import HostMemory

__all__ = ["BusError", "Device", "DeviceError", "DeviceTimeout"]


class DeviceError(RuntimeError):
    """The device cannot be started or cannot continue; the message says what to do."""


class BusError(DeviceError):
    """A register access was answered with SLVERR; the message names the offset."""


class DeviceTimeout(DeviceError):
    """The device did not answer within the limit of cycles or seconds; the message names the limit."""


class Device(ABC):
    """One accelerator. Several threads may call it; calls are carried out one at a time.

    Attributes:
        memory: the memory that the device's AXI manager accesses. Add regions only while no descriptor is in progress.
    """

    memory: HostMemory

    @abstractmethod
    def read(self, offset: int) -> int:
        """The 32-bit register at byte `offset`. Raises BusError if there is none."""

    @abstractmethod
    def write(self, offset: int, value: int) -> None:
        """Writes the 32-bit register at byte `offset`. Raises BusError if there is none, or it is read-only."""

    @abstractmethod
    def wait_irq(self, timeout: float | None = None) -> bool:
        """Waits until `irq` is high. The clock of a simulated device runs only here and in register accesses.

        The GIL is released for most of the time, so a thread that waits here runs beside training.

        Args:
            timeout: seconds of wall-clock time to wait; None: no limit.

        Returns:
            whether `irq` is high; False after the timeout.

        Raises:
            DeviceTimeout: a simulated device made no transfer for its limit of clock cycles.
        """

    @abstractmethod
    def reset(self) -> None:
        """Resets the device. Registers, rings, windows and tracker get their initial state; memory is unchanged."""

    @abstractmethod
    def close(self) -> None:
        """Frees the device, its memory and, if there is one, its process. Idempotent."""

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
