"""The `model` backend: the golden model of the whole accelerator, as the driver sees it."""

from __future__ import annotations

import threading

from hotline_device.checks import bus_error, check_register, check_shell
from hotline_device.device import Device, DeviceError, DeviceTimeout
from hotline_device.host_memory import PAGE_BYTES, HostMemory
from hotline_hw.spec.capabilities import capability_values
from hotline_hw.spec.descriptors import GRANULE_BYTES
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import Access, Register
from hotline_hw.spec.shell_registers import (
    DEVICE_ADDRESS_BITS,
    DMA_COUNTERS,
    SHELL_BASE,
    SHELL_REGISTERS,
    WINDOWS,
    DmaCommand,
    DmaError,
    DmaIrq,
    dma_counter_offset,
    window_offset,
)

from .descriptors import DescriptorModel, ShellCore
from .gather import Table
from .rings import RingsModel
from .windowed_memory import Window, WindowedMemory

__all__ = ["ModelDevice"]

_BY_OFFSET = {register.offset: register for register in SHELL_REGISTERS}
_RINGS_PLACES = ("RING_LO", "RING_HI", "CPL_LO", "CPL_HI", "RING_SIZE")
_COUNTERS_BEGIN = dma_counter_offset(DMA_COUNTERS[0].name)


class ModelDevice(Device):
    """An accelerator that answers immediately: a doorbell returns when its descriptors are done. Timing counters are 0.

    Registers below SHELL_BASE are those of `ModelCore`. Those above follow the same rules: bits outside a register's
    fields read as zero and writing them has no effect; all 32 bits of DMA_COMMAND are the code, and an unknown code is
    ignored; every occurrence of an error sets its bit in DMA_ERROR and DMA_IRQ_STATUS.error, even if it was set before,
    and the two are cleared separately.

    Args:
        geometry: what the accelerator is built with, a shell included.
        reference: use `GoldenCore`, which is slow, instead of `CompiledCore`.
    """

    def __init__(self, geometry: Geometry, *, reference: bool = False) -> None:
        check_shell(geometry)
        self.geometry, self.memory = geometry, HostMemory()
        self._reference, self._closed = reference, False
        self._changed = threading.Condition()
        self._begin()

    def _begin(self) -> None:
        """As after reset."""
        self._values = dict.fromkeys(_BY_OFFSET, 0)
        for name, value in capability_values(self.geometry, SHELL_REGISTERS).items():
            self._values[_offset(name)] = value
        self._irq_status, self._errors = DmaIrq(0), DmaError(0)
        self._snapshot: dict[str, int] = {}
        self.shell_core = ShellCore(self.geometry, reference=self._reference)
        self.windows = [Window() for _ in range(WINDOWS)]
        memory = WindowedMemory(self.memory, self.windows)
        self.descriptors = DescriptorModel(self.shell_core, memory)
        self.rings = RingsModel(memory, self.descriptors)

    @property
    def core(self):
        """The golden model of the stream core."""
        return self.shell_core.core

    @property
    def irq(self) -> bool:
        """Level of the interrupt line."""
        return self.shell_core.irq or bool(self._irq_status & self._values[_offset("DMA_IRQ_ENABLE")])

    def read(self, offset: int) -> int:
        check_register("read", offset, address_bits=DEVICE_ADDRESS_BITS)
        with self._changed:
            self._check_open()
            return self.shell_core.read(offset) if offset < SHELL_BASE else self._read(offset)

    def write(self, offset: int, value: int) -> None:
        check_register("write", offset, value, address_bits=DEVICE_ADDRESS_BITS)
        with self._changed:
            self._check_open()
            if offset < SHELL_BASE:
                self.shell_core.write(offset, value)
            else:
                self._write(offset, value)
                self._collect()
            self._changed.notify_all()

    def wait_irq(self, timeout: float | None = None) -> bool:
        with self._changed:
            self._check_open()
            if timeout is not None:
                self._changed.wait_for(lambda: self.irq or self._closed, timeout)
                self._check_open()
            elif not self.irq:
                enabled = DmaIrq(self._values[_offset("DMA_IRQ_ENABLE")])
                raise DeviceTimeout(
                    f"irq stayed low: DMA_IRQ_STATUS is {self._irq_status!r}, DMA_IRQ_ENABLE is {enabled!r}, and the "
                    "model has nothing under way that could raise it"
                )
            return self.irq

    def reset(self) -> None:
        with self._changed:
            self._check_open()
            self._begin()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self.memory.close()
            self._changed.notify_all()

    def _check_open(self) -> None:
        if self._closed:
            raise DeviceError("the device was closed; open another one")

    # Registers of the shell

    def _read(self, offset: int) -> int:
        register = self._register("read", offset)
        rings = self.rings
        match register.name:
            case "DMA_STATUS":
                return rings.full << register.field("full").low
            case "RING_PRODUCER":
                return rings.producer
            case "RING_CONSUMER":
                return rings.consumer
            case "CPL_PRODUCER":
                return rings.cpl_producer
            case "CPL_CONSUMER":
                return rings.cpl_consumer
            case "DMA_IRQ_STATUS":
                return int(self._irq_status)
            case "DMA_ERROR":
                return int(self._errors)
        if register.access == Access.WO:
            return 0
        if offset >= _COUNTERS_BEGIN:
            place, high = divmod(offset - _COUNTERS_BEGIN, 8)
            return self._snapshot.get(DMA_COUNTERS[place].name, 0) >> 8 * high & 0xFFFF_FFFF
        return self._values[offset]

    def _write(self, offset: int, value: int) -> None:
        register = self._register("write", offset)
        if register.access == Access.RO:
            raise bus_error("write", offset)
        kept = value & sum(field.mask for field in register.fields)
        rings = self.rings
        match register.name:
            case "RING_PRODUCER":
                return rings.write_producer(value)
            case "CPL_CONSUMER":
                return rings.write_cpl_consumer(value)
            case "DMA_IRQ_STATUS":
                self._irq_status &= ~DmaIrq(kept)
                return
            case "DMA_ERROR":
                self._errors &= ~DmaError(kept)
                return
            case "DMA_COMMAND":
                return self._command(value)
            case "TABLE_STRIDE":
                return self._set_table(kept * GRANULE_BYTES)
        if register.name in _RINGS_PLACES and rings.enabled:
            rings.errors |= DmaError.DOORBELL
            return
        self._values[offset] = kept
        match register.name:
            case "DMA_CONTROL":
                rings.enable(bool(kept))
            case "RING_LO" | "RING_HI":
                rings.ring = self._whole("RING")
            case "CPL_LO" | "CPL_HI":
                rings.cpl = self._whole("CPL")
            case "RING_SIZE":
                rings.log2_size = kept
            case "DMA_COALESCE":
                rings.coalesce = kept
            case "DMA_DELAY":
                rings.delay = kept
        if register.name.startswith("WINDOW_"):
            self._set_window((offset - window_offset(0)) // 16)

    def _register(self, access: str, offset: int) -> Register:
        if offset not in _BY_OFFSET:
            raise bus_error(access, offset)
        return _BY_OFFSET[offset]

    def _whole(self, name: str) -> int:
        return self._values[_offset(f"{name}_LO")] | self._values[_offset(f"{name}_HI")] << 32

    def _set_window(self, index: int) -> None:
        window, name = self.windows[index], f"WINDOW_{index}"
        control = self._values[_offset(f"{name}_CONTROL")]
        window.page, window.pages = self._whole(name) // PAGE_BYTES, self._values[_offset(f"{name}_PAGES")]
        window.read, window.write = bool(control & 1), bool(control & 2)

    def _set_table(self, stride: int) -> None:
        number, rows = self._values[_offset("TABLE_INDEX")], self._values[_offset("TABLE_ROWS")]
        if rows:
            self.descriptors.tables[number] = Table(self._whole("TABLE"), rows, stride)
        else:
            self.descriptors.tables.pop(number, None)

    def _command(self, code: int) -> None:
        counters = self.rings.counters
        if code == DmaCommand.SNAPSHOT:
            self._snapshot = counters | {"rows_gathered": self.descriptors.rows_gathered}
        elif code == DmaCommand.RESET_COUNTERS:
            counters.update(dict.fromkeys(counters, 0))
            self.descriptors.rows_gathered = 0
        elif code == DmaCommand.RESET:
            self._begin()

    def _collect(self) -> None:
        """Makes what the rings have raised visible in the registers."""
        rings = self.rings
        if rings.interrupt:
            self._irq_status |= DmaIrq.COMPLETION
        if rings.errors:
            self._errors |= rings.errors
            self._irq_status |= DmaIrq.ERROR
        rings.interrupt, rings.errors = False, DmaError(0)


def _offset(name: str) -> int:
    return _OFFSETS[name]


_OFFSETS = {register.name: register.offset for register in SHELL_REGISTERS}
