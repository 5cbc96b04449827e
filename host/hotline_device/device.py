"""The device interface: what the driver needs of an accelerator, whatever stands behind it.

Every backend (golden model, Verilated library, cocotb simulator, board) implements `Device`; the driver is written
against it alone. It is what PCIe gives: registers, memory that both sides see, and an interrupt. A device carries no
knowledge of the geometry: the driver discovers that from the capability registers, as it would on a board.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType

from .host_memory import HostMemory

__all__ = ["BusError", "Device", "DeviceError", "DeviceTimeout"]


class DeviceError(RuntimeError):
    """The device cannot go on, or could not be started; the message says what to do about it."""


class BusError(DeviceError):
    """A CSR access was answered with SLVERR; the message names the offset."""


class DeviceTimeout(DeviceError):
    """The device did not answer within the limit of cycles or seconds; the message names both."""


class Device(ABC):
    """One accelerator on its bus. Calls may come from several threads; each is carried out by itself.

    Attributes:
        memory: what the device's AXI manager sees. Regions may be added at any time while no descriptor is under way.
    """

    memory: HostMemory

    @abstractmethod
    def read(self, offset: int) -> int:
        """The 32-bit register at byte `offset`. Raises BusError where there is none."""

    @abstractmethod
    def write(self, offset: int, value: int) -> None:
        """Writes the 32-bit register at byte `offset`. Raises BusError where that is refused."""

    @abstractmethod
    def wait_irq(self, timeout: float | None = None) -> bool:
        """Waits until `irq` is high. A simulated device's clock runs only here and in register accesses.

        The GIL is released (or another process waited for) for most of the time, so that a thread which waits runs
        beside training.

        Args:
            timeout: seconds of wall-clock time after which it returns False; None: no limit of time. A simulated
                device whose clock has run for its limit of cycles without any transfer raises DeviceTimeout.

        Returns:
            whether `irq` is high.
        """

    @abstractmethod
    def reset(self) -> None:
        """Pulses the device's reset: all registers, rings, windows and the tracker are as new; memory stays."""

    @abstractmethod
    def close(self) -> None:
        """Gives back the simulator, its process and its memory. Idempotent."""

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
