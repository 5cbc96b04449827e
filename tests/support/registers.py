"""What tests of a device's registers and ports share."""

from __future__ import annotations

import numpy as np

from hotline_device.device import Device
from hotline_device.host_memory import PAGE_BYTES, Region
from hotline_device.ring_entries import ENTRY_WORDS, Completion, Descriptor
from hotline_hw.spec.regmap import Error, Irq, Register, counter_offset, register
from hotline_hw.spec.shell_registers import DmaError, DmaIrq, dma_counter_offset, shell_register, window_offset
from hotline_sim.stream_core import Results, StreamCore


class Registers:
    """Registers by name: the core's and the shell's."""

    def __init__(self, device: StreamCore | Device) -> None:
        self.device = device

    def __getitem__(self, name: str) -> int:
        return self.device.read(_register(name).offset)

    def __setitem__(self, name: str, value: int) -> None:
        self.device.write(_register(name).offset, value)

    def counter(self, name: str) -> int:
        """A counter's snapshot, 64 bits."""
        low = counter_offset(name)
        return self.device.read(low) | self.device.read(low + 4) << 32

    def status(self) -> dict[str, int]:
        return register("STATUS").unpack(self["STATUS"])

    def irq(self) -> Irq:
        """Reads and clears the interrupt causes."""
        causes = self["IRQ_STATUS"]
        self["IRQ_STATUS"] = causes
        return Irq(causes)

    def errors(self) -> Error:
        """Reads and clears the errors, and clears their interrupt cause."""
        errors = self["ERROR"]
        self["ERROR"] = errors
        self["IRQ_STATUS"] = int(Irq.ERROR)
        return Error(errors)


def until_idle(csr: Registers) -> None:
    while csr.status()["busy"]:
        pass


def send(device: StreamCore, batches: list[np.ndarray]) -> Results:
    return device.stream(np.concatenate(batches), np.cumsum([len(batch) for batch in batches]))


def _register(name: str) -> Register:
    try:
        return shell_register(name)
    except KeyError:
        return register(name)


class RawRings:
    """A device's rings, used through its registers and its memory directly.

    Opening it gives the device a region for both rings, and window 0 over that region.

    Attributes:
        region: descriptors in its first page, completions in its second.
    """

    def __init__(self, device: Device, log2_size: int = 3) -> None:
        self.device, self.csr, self.size = device, Registers(device), 1 << log2_size
        assert self.size * 4 * ENTRY_WORDS <= PAGE_BYTES
        self.region = device.memory.allocate("rings", 2 * PAGE_BYTES)
        shape = self.size, ENTRY_WORDS
        self.entries = self.region.array(shape, np.uint32)
        self.completions = self.region.array(shape, np.uint32, PAGE_BYTES)
        self.set_window(0, self.region)
        self.set_places(log2_size)
        self.start()

    def set_places(self, log2_size: int) -> None:
        for name, address in (("RING", self.region.address), ("CPL", self.region.address + PAGE_BYTES)):
            self.csr[f"{name}_LO"], self.csr[f"{name}_HI"] = address & 0xFFFF_FFFF, address >> 32
        self.csr["RING_SIZE"] = log2_size

    def start(self) -> None:
        self.produced = self.consumed = 0
        self.csr["DMA_CONTROL"] = 1

    def set_window(
        self, index: int, region: Region | None, *, read: bool = True, write: bool = True, pages: int | None = None
    ) -> None:
        """Sets a window over a region, or over its first pages. None removes it."""
        at = window_offset(index)
        address, size = (region.address, region.size) if region else (0, 0)
        self.device.write(at, address & 0xFFFF_FFFF)
        self.device.write(at + 4, address >> 32)
        self.device.write(at + 8, size // PAGE_BYTES if pages is None else pages)
        self.device.write(at + 12, (read | write << 1) if region else 0)

    def buffer(self, window: int, pages: int = 1, **rights: bool) -> Region:
        """Makes a new region with a window of its own."""
        region = self.device.memory.allocate(f"buffer{window}", pages * PAGE_BYTES)
        self.set_window(window, region, **rights)
        return region

    def set_table(self, table: int, address: int, rows: int, stride: int) -> None:
        """Sets a table. `stride` is in bytes."""
        self.csr["TABLE_INDEX"], self.csr["TABLE_ROWS"] = table, rows
        self.csr["TABLE_LO"], self.csr["TABLE_HI"] = address & 0xFFFF_FFFF, address >> 32
        self.csr["TABLE_STRIDE"] = stride // 16

    def put(self, *descriptors: Descriptor) -> None:
        """Writes descriptors and rings the doorbell."""
        for descriptor in descriptors:
            self.entries[self.produced % self.size] = descriptor.pack()
            self.produced = (self.produced + 1) % (1 << 16)
        self.csr["RING_PRODUCER"] = self.produced

    def take(self) -> Completion:
        """Returns the next completion, which must be there, and frees its entry."""
        assert self.consumed != self.csr["CPL_PRODUCER"], "no completion"
        completion = Completion.unpack(self.completions[self.consumed % self.size])
        assert completion.generation == (self.consumed // self.size + 1) % 2
        self.consumed = (self.consumed + 1) % (1 << 16)
        self.csr["CPL_CONSUMER"] = self.consumed
        return completion

    def run(self, descriptor: Descriptor, timeout: float = 20) -> Completion:
        """Carries out one descriptor."""
        self.dma_irq()
        self.csr["DMA_IRQ_ENABLE"] = DmaIrq.COMPLETION
        self.put(descriptor)
        assert self.device.wait_irq(timeout), "no interrupt"
        return self.take()

    def dma_irq(self) -> DmaIrq:
        """Reads and clears the interrupt causes of the rings."""
        causes = self.csr["DMA_IRQ_STATUS"]
        self.csr["DMA_IRQ_STATUS"] = causes
        return DmaIrq(causes)

    def dma_errors(self) -> DmaError:
        """Reads and clears the errors of the rings, and clears their interrupt cause."""
        errors = self.csr["DMA_ERROR"]
        self.csr["DMA_ERROR"] = errors
        self.csr["DMA_IRQ_STATUS"] = int(DmaIrq.ERROR)
        return DmaError(errors)

    def dma_counter(self, name: str) -> int:
        """A counter's snapshot, 64 bits."""
        low = dma_counter_offset(name)
        return self.device.read(low) | self.device.read(low + 4) << 32
