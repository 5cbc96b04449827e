"""Golden model of the rings: indexes, doorbells, completions and when they interrupt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hotline_device.ring_entries import Descriptor
from hotline_hw.spec.descriptors import ENTRY_BYTES, Flag, Status
from hotline_hw.spec.shell_registers import MAX_RING_LOG2, DmaError

from .descriptors import DescriptorModel
from .windowed_memory import WindowedMemory

__all__ = ["RingsModel"]

_MODULUS = 1 << 16


class RingsModel:
    """Both rings. A doorbell returns after the descriptors that it makes ready have been carried out, in order.

    - Indexes are free-running 16-bit numbers. RING_PRODUCER must not go back, nor be more than the ring's size ahead of
      the consumer; CPL_CONSUMER must not pass CPL_PRODUCER; bits above 15 must be zero. Otherwise the write is ignored
      and DOORBELL is raised.
    - While the rings are disabled all indexes stay 0; a doorbell is checked all the same.
    - While they are enabled, writes of their addresses and size are ignored, and raise DOORBELL.
    - A completion interrupts if `coalesce` of them are waiting (0 is like 1), or if its descriptor says so. If `delay`
      is not 0, every completion does, and so does a write of CPL_CONSUMER that leaves some waiting: in the model the
      delay has always passed.

    Attributes:
        enabled, ring, cpl, log2_size, coalesce, delay: as the registers say.
        producer, consumer, cpl_producer, cpl_consumer: indexes.
        errors, interrupt: raised since the reader last cleared them.
        counters: the shell's counters that are not timing, without rows_gathered.
    """

    def __init__(self, memory: WindowedMemory, descriptors: DescriptorModel) -> None:
        self.memory, self.descriptors = memory, descriptors
        self.ring = self.cpl = self.log2_size = self.coalesce = self.delay = 0
        self.errors, self.interrupt = DmaError(0), False
        self.counters = {"descriptors": 0, "failed_descriptors": 0}
        self.enabled = False
        self.producer = self.consumer = self.cpl_producer = self.cpl_consumer = 0
        self._halted = self._stalled = False

    @property
    def size(self) -> int:
        """Entries of either ring."""
        return 1 << min(self.log2_size, MAX_RING_LOG2)

    @property
    def full(self) -> bool:
        """Descriptors wait for room in the completion ring."""
        return self.enabled and not self._halted and self._ready > 0 and self._waiting >= self.size

    def enable(self, on: bool) -> None:
        if on and not self.enabled:
            self.enabled = True
        elif not on:
            self.enabled = False
            self._clear()

    def write_producer(self, value: int) -> None:
        """The doorbell of descriptors."""
        if value >= _MODULUS or (value - self.producer) % _MODULUS > self.size - self._ready:
            self.errors |= DmaError.DOORBELL
        elif self.enabled:
            self.producer = value
            self._run()

    def write_cpl_consumer(self, value: int) -> None:
        """The doorbell of completions."""
        if value >= _MODULUS or (value - self.cpl_consumer) % _MODULUS > self._waiting:
            self.errors |= DmaError.DOORBELL
            return
        self.cpl_consumer = value
        self._stalled = False
        self.interrupt |= self._waiting > 0 and self.delay > 0
        self._run()

    def _clear(self) -> None:
        self.producer = self.consumer = self.cpl_producer = self.cpl_consumer = 0
        self._halted = self._stalled = False

    @property
    def _ready(self) -> int:
        return (self.producer - self.consumer) % _MODULUS

    @property
    def _waiting(self) -> int:
        return (self.cpl_producer - self.cpl_consumer) % _MODULUS

    def _run(self) -> None:
        while self._ready and not self._halted:
            if self._waiting >= self.size:
                if not self._stalled:
                    self._stalled = True
                    self.errors |= DmaError.COMPLETIONS_FULL
                return
            words, _, fault = self.memory.read(self.ring + ENTRY_BYTES * (self.consumer % self.size), ENTRY_BYTES)
            self.consumer = (self.consumer + 1) % _MODULUS
            if fault:
                self.errors |= DmaError.DESCRIPTOR_READ
                self._halted = True
                return
            self._carry_out(Descriptor.unpack(words.view(np.uint32)))

    def _carry_out(self, descriptor: Descriptor) -> None:
        completion = self.descriptors.run(descriptor)
        generation = int(self.cpl_producer & self.size == 0)
        entry = replace(completion, generation=generation).pack()
        if self.memory.write(self.cpl + ENTRY_BYTES * (self.cpl_producer % self.size), entry):
            self.errors |= DmaError.COMPLETION_WRITE
            self._halted = True
            return
        self.cpl_producer = (self.cpl_producer + 1) % _MODULUS
        self.counters["descriptors"] += 1
        self.counters["failed_descriptors"] += completion.status != Status.OK
        enough = self._waiting >= self.coalesce
        self.interrupt |= bool(descriptor.flags & Flag.INTERRUPT) or enough or self.delay > 0
