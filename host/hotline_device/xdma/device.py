"""`XdmaDevice`: an accelerator on a card in a PCIe slot."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

from hotline_device.checks import bus_error, check_register
from hotline_device.device import Device, DeviceError, DeviceTimeout
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import ID_VALUE, REGISTERS, Access, Command
from hotline_hw.spec.shell_registers import DEVICE_ADDRESS_BITS, SHELL_REGISTERS, DmaCommand

from .capabilities import check_geometry
from .events import EventFile
from .memory import BufferMemory
from .registers import RegisterFile

__all__ = ["XdmaDevice"]

_ALL = (*REGISTERS, *SHELL_REGISTERS)
_REGISTERS = {one.name: one for one in _ALL}
_ACCESS = {one.offset: one.access for one in _ALL}
_INDEXES = ("RING_PRODUCER", "CPL_CONSUMER")  # zero once the rings have stopped
_ID = _REGISTERS["ID"].offset
_TABLES = 1 << _REGISTERS["TABLE_INDEX"].fields[0].width
_NOTHING = 0xFFFF_FFFF  # the value of a read that nothing answers
_LOOK = 1.0  # seconds between two checks of irq, in case an interrupt is lost


class XdmaDevice(Device):
    """A card behind the XDMA driver of AMD's dma_ip_drivers, with memory of u-dma-buf.

        registers   xdma0_user      AXI4-Lite master of the XDMA IP, its BAR at the device's s_axil
        interrupts  xdma0_events_0  the device's irq at usr_irq_req[0]
        memory      udmabuf0        contiguous host memory, which the device's m_axi accesses at its bus address

    The card's design must connect m_axi to host memory, at bus addresses. The XDMA IP has no port for that when it is
    configured as a DMA; the subordinate port of an AXI bridge to the same host is one. The host needs a PCIe root that
    is coherent with its caches and keeps the order of writes (as on x86), and either no IOMMU between card and memory
    (iommu=pt, or off) or u-dma-buf bound to the card (bind=pci/0000:01:00.0).

    This backend has never run on a board. It was tested with ordinary files in place of the drivers', and follows the
    drivers' sources. What depends on the card is untested: a mapped BAR, the path of the interrupt through the IP, bus
    addresses, the order of writes, a card that disappears.

    An access to a register that does not exist is refused here by its offset, as PCIe would report no error. The level
    of `irq` is read from the registers; interrupts only wake waiting threads, so an early or repeated one does no
    harm.

    Args:
        geometry: the geometry that the card must have; None: any.
        registers, events: the driver's files.
        buffers, sysfs: see `BufferMemory`.
        mapped: map the registers; if not, each access is a system call.
        timeout: seconds that `reset` and `close` wait for the device to become idle.

    Raises:
        DeviceError: something is missing or wrong; the message says what to load or to change.
    """

    def __init__(
        self,
        geometry: Geometry | None = None,
        *,
        registers: str | Path = "/dev/xdma0_user",
        events: str | Path = "/dev/xdma0_events_0",
        buffers: Sequence[str | Path] = ("/dev/udmabuf0",),
        sysfs: str | Path = "/sys/class/u-dma-buf",
        mapped: bool = True,
        timeout: float = 10.0,
    ) -> None:
        self.geometry, self.timeout = geometry, timeout
        self._lock = threading.Lock()  # of register accesses
        self._closed = False
        self._registers = RegisterFile(Path(registers), mapped=mapped)
        try:
            self._check_card()
            self._events = EventFile(Path(events))
        except BaseException:
            self._registers.close()
            raise
        try:
            self.memory = BufferMemory(buffers, sysfs=sysfs)
        except BaseException:
            self._registers.close()
            self._events.close()
            raise

    @property
    def mapped(self) -> bool:
        """Whether registers are mapped."""
        return self._registers.mapped

    def read(self, offset: int) -> int:
        check_register("read", offset, address_bits=DEVICE_ADDRESS_BITS)
        if offset not in _ACCESS:
            raise bus_error("read", offset)
        with self._lock:
            self._check_open()
            value = self._registers.read(offset)
            if value == _NOTHING and self._registers.read(_ID) != ID_VALUE:
                raise DeviceError(
                    f"read of offset {offset:#05x}: the card does not answer any more. See dmesg, and lspci -d 10ee:"
                )
            return value

    def write(self, offset: int, value: int) -> None:
        check_register("write", offset, value, address_bits=DEVICE_ADDRESS_BITS)
        if _ACCESS.get(offset, Access.RO) == Access.RO:
            raise bus_error("write", offset)
        with self._lock:
            self._check_open()
            self._registers.write(offset, int(value))

    def wait_irq(self, timeout: float | None = None) -> bool:
        end = None if timeout is None else time.monotonic() + timeout
        while not self._irq():
            left = _LOOK if end is None else min(_LOOK, end - time.monotonic())
            if left <= 0:
                return False
            self._events.wait(left)
        return True

    def reset(self) -> None:
        """Does by register writes what a reset does, as a reset of the card would also reset the driver's part of it.

        The rings stop, every register gets its reset value, all tables are removed, counters are zero and the tracker
        is empty. Only the lists of the last classified mini-batch stay, until the next one is classified.

        Raises:
            DeviceTimeout: the accelerator does not become idle.
        """
        self._stop_rings()
        self._await_idle("STATUS", "busy")
        for one in _ALL:
            if one.access == Access.RW and one.reset is not None and one.name not in _INDEXES:
                self.write(one.offset, one.reset)
        self._write("HOT_ROWS", self._hot_capacity())  # clears the tracker too
        for table in range(_TABLES):
            self._write("TABLE_INDEX", table)
            self._write("TABLE_STRIDE", 0)  # with TABLE_ROWS 0
        self._write("TABLE_INDEX", 0)
        self._await_idle("STATUS", "busy")
        self._write("COMMAND", Command.RESET_COUNTERS)
        self._write("COMMAND", Command.SNAPSHOT)
        self._write("DMA_COMMAND", DmaCommand.RESET_COUNTERS)
        self._write("DMA_COMMAND", DmaCommand.SNAPSHOT)
        for one in _ALL:
            if one.access == Access.W1C:
                self.write(one.offset, sum(field.mask for field in one.fields))

    def close(self) -> None:
        """Stops the rings, so that the card no longer accesses memory, and closes the files."""
        if self._closed:
            return
        try:
            self._stop_rings()
        except DeviceError:
            pass  # the card does not answer: nothing more can be done
        finally:
            self._events.close()
            with self._lock:
                self._closed = True
                self._registers.close()
            self.memory.close()

    def _irq(self) -> bool:
        """Level of irq: whether a cause is both raised and enabled."""
        return any(self._read(f"{prefix}IRQ_ENABLE") & self._read(f"{prefix}IRQ_STATUS") for prefix in ("DMA_", ""))

    def _stop_rings(self) -> None:
        self._write("DMA_CONTROL", 0)
        for field in ("running", "reading", "writing"):
            self._await_idle("DMA_STATUS", field)

    def _await_idle(self, name: str, field: str) -> None:
        end = time.monotonic() + self.timeout
        while _REGISTERS[name].field(field).get(self._read(name)):
            if time.monotonic() > end:
                raise DeviceTimeout(f"{name}.{field} of the card was still 1 after {self.timeout:g} s")

    def _hot_capacity(self) -> int:
        """The most rows that can be hot: the reset value of HOT_ROWS."""
        tracker, policy = (_REGISTERS[name].unpack(self._read(name)) for name in ("CAP_TRACKER", "CAP_POLICY"))
        entries = tracker["ways"] << tracker["log2_banks"] + tracker["log2_sets"]
        return entries // policy["entries_per_hot_row"]

    def _read(self, name: str) -> int:
        return self.read(_REGISTERS[name].offset)

    def _write(self, name: str, value: int) -> None:
        self.write(_REGISTERS[name].offset, value)

    def _check_open(self) -> None:
        if self._closed:
            raise DeviceError("the device was closed; open another one")

    def _check_card(self) -> None:
        """Checks that the accelerator is there and has the expected geometry."""
        path, found = self._registers.path, self._registers.read(_ID)
        if found != ID_VALUE:
            why = "nobody answers on PCIe" if found == _NOTHING else "something else is behind this file"
            raise DeviceError(
                f"{path} reads {found:#010x} where the accelerator's ID, {ID_VALUE:#010x}, should be: {why}. Load the "
                "accelerator's bitstream and rescan PCIe, or name the file of the BAR that its registers are in"
            )
        if self.geometry is not None:
            check_geometry(self.geometry, self._registers)
