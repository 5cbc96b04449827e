"""The two rings that drive the accelerator: descriptors in, completions out."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from time import monotonic, perf_counter

import numpy as np

from hotline_device.device import Device, DeviceError, DeviceTimeout
from hotline_device.ring_entries import ENTRY_WORDS, Completion, Descriptor
from hotline_host.errors import DriverError
from hotline_hw.spec.descriptors import STATUS_DOCS, Flag, Opcode, Status
from hotline_hw.spec.regmap import Error, register
from hotline_hw.spec.shell_registers import DmaError, DmaIrq, shell_register

from .windows import Windows

__all__ = ["RingStatistics", "Rings", "core_errors"]

_INDEXES, _TAGS = 1 << 16, 1 << 32


@dataclass
class RingStatistics:
    """Counts since the rings were opened.

    Attributes:
        interrupts: interrupts that woke `wait` up.
        polls: looks at a completion that was not there yet.
        errors: failed descriptors by the name of their status.
        cycles: clock cycles of the completed descriptors, by opcode.
        seconds: time spent waiting for completions.
    """

    descriptors: int = 0
    completions: int = 0
    interrupts: int = 0
    polls: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    cycles: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0


class Rings:
    """Submits descriptors and waits for them. The accelerator runs them one at a time, in order.

    Calls may come from several threads. While one waits, the others wait too.

    Args:
        device: open. Descriptors that are under way are aborted.
        log2_size: log2 of the number of descriptors that may be under way.
        coalesce: completions for one interrupt. The last descriptor that is waited for interrupts by itself.
        delay: clock cycles, above 0, after which fewer completions interrupt too.
        poll: look at memory over and over instead of waiting for interrupts.
        timeout: seconds without a completion after which a wait raises DeviceTimeout.

    Attributes:
        windows: the memory that the accelerator may access.
    """

    def __init__(
        self,
        device: Device,
        *,
        log2_size: int = 6,
        coalesce: int = 16,
        delay: int = 4096,
        poll: bool = False,
        timeout: float = 600.0,
    ) -> None:
        self.device, self.size, self.poll, self.timeout = device, 1 << log2_size, poll, timeout
        self.statistics = RingStatistics()
        self._lock = threading.RLock()
        ring_bytes = self.size * 4 * ENTRY_WORDS
        descriptors = device.memory.allocate("descriptors", ring_bytes)
        completions = device.memory.allocate("completions", ring_bytes)
        self._descriptors = descriptors.array((self.size, ENTRY_WORDS), np.uint32)
        self._completions = completions.array((self.size, ENTRY_WORDS), np.uint32)
        self._tag = 0  # of the next descriptor
        self._producer = self._consumer = 0
        self._whole = 0  # completions before this index are known to be whole
        self._due: dict[int, Descriptor] = {}  # submitted and not completed, by tag, in order
        self._done: dict[int, tuple[Descriptor, Completion]] = {}  # completed, and not waited for
        self._stop()
        self.windows = Windows(device, shell_register("CAP_DMA").field("windows").get(self._read("CAP_DMA")))
        self.windows.expose(descriptors, read=True)
        self.windows.expose(completions, write=True)
        for name, region in (("RING", descriptors), ("CPL", completions)):
            self._write(f"{name}_LO", region.address & 0xFFFF_FFFF)
            self._write(f"{name}_HI", region.address >> 32)
        self._write("RING_SIZE", log2_size)
        self._write("DMA_COALESCE", coalesce)
        self._write("DMA_DELAY", delay)
        self._start()

    def submit(self, descriptor: Descriptor) -> int:
        """Hands a descriptor over, and returns the tag that it was given. Waits only if the ring is full."""
        with self._lock:
            while len(self._due) >= self.size:
                self._await(next(iter(self._due)))
            tag, self._tag = self._tag, (self._tag + 1) % _TAGS
            descriptor = replace(descriptor, tag=tag)
            self._descriptors[self._producer % self.size] = descriptor.pack()
            self._producer = (self._producer + 1) % _INDEXES
            self._due[tag] = descriptor
            self._write("RING_PRODUCER", self._producer)
            self.statistics.descriptors += 1
            return tag

    def wait(self, tag: int, *, allowed: Collection[Status] = ()) -> Completion:
        """The completion of a descriptor that `submit` has taken.

        Args:
            allowed: statuses other than OK that are no failure.

        Raises:
            DriverError: the descriptor failed; those behind it run all the same. Or it was given up by a restart.
            DeviceTimeout: nothing was completed in `timeout` seconds. The rings were restarted, and the descriptors
                under way given up.
        """
        with self._lock:
            if tag in self._due:
                self._await(tag)
            if tag not in self._done:
                raise DriverError(f"the descriptor with tag {tag} was given up, or has been waited for")
            descriptor, completion = self._done.pop(tag)
            if completion.status != Status.OK and completion.status not in allowed:
                raise DriverError(_failure(descriptor, completion))
            return completion

    def run(self, descriptors: Sequence[Descriptor], *, allowed: Collection[Status] = ()) -> list[Completion]:
        """Submits all, as many at once as fit, and waits for all. The last one interrupts. Raises the first failure.

        If another exception ends the call, such as KeyboardInterrupt, no descriptor stays under way: the memory that
        they name may be reused.
        """
        with self._lock:
            final = len(descriptors) - 1
            tags: list[int] = []
            try:
                for place, it in enumerate(descriptors):
                    tags.append(self.submit(replace(it, flags=it.flags | Flag.INTERRUPT) if place == final else it))
                if tags:
                    self._await(tags[-1])
            except BaseException:
                for tag in tags:
                    self._done.pop(tag, None)
                if self._due:
                    with suppress(DeviceError):  # a device that is closed or dead has nothing under way
                        self.restart()
                raise
            failed, completions = None, []
            for tag in tags:
                try:
                    completions.append(self.wait(tag, allowed=allowed))
                except DriverError as error:
                    failed = failed or error
            if failed:
                raise failed
            return completions

    def restart(self) -> None:
        """Gives up the descriptors under way, and starts with empty rings."""
        with self._lock:
            self._due.clear()
            self._stop()
            self._start()

    # Waiting

    def _await(self, tag: int) -> None:
        """Returns when the descriptor has completed."""
        begin = perf_counter()
        try:
            limit = monotonic() + self.timeout
            while tag in self._due:
                if self._reap():
                    limit = monotonic() + self.timeout
                elif monotonic() >= limit:
                    self._time_out()
                elif self.poll:
                    self.statistics.polls += 1
                    self._check(DmaIrq(self._read("DMA_IRQ_STATUS")))  # reads keep a simulated device's clock running
                elif self.device.wait_irq(max(0.0, limit - monotonic())):
                    self.statistics.interrupts += 1
                    causes = self._read("DMA_IRQ_STATUS")
                    self._write("DMA_IRQ_STATUS", causes)  # before looking: a later completion interrupts again
                    self._check(DmaIrq(causes))
        finally:
            self.statistics.seconds += perf_counter() - begin

    def _reap(self) -> int:
        """Takes the completions that are there. Returns how many."""
        taken = 0
        while self._due:
            words = self._completions[self._consumer % self.size]
            if int(words[1]) >> 31 != (self._consumer // self.size + 1) % 2:
                break
            if self._consumer == self._whole:
                self._whole = self._read("CPL_PRODUCER")
                if self._consumer == self._whole:
                    break  # only its first words are there so far
            completion = Completion.unpack(words)
            tag, descriptor = next(iter(self._due.items()))
            if (completion.tag, completion.opcode) != (tag, descriptor.opcode):
                self.restart()
                raise DriverError(
                    f"a completion came of opcode {completion.opcode}, tag {completion.tag}, but {descriptor} was due"
                )
            del self._due[tag]
            self._done[tag] = descriptor, completion
            self._consumer = (self._consumer + 1) % _INDEXES
            taken += 1
            self._count(completion)
        if taken:
            self._write("CPL_CONSUMER", self._consumer)
        return taken

    def _count(self, completion: Completion) -> None:
        self.statistics.completions += 1
        self.statistics.cycles[completion.opcode] += completion.cycles
        if completion.status != Status.OK:
            known = completion.status in list(Status)
            self.statistics.errors[Status(completion.status).name if known else str(completion.status)] += 1
        if completion.errors:
            self.device.write(
                register("ERROR").offset, completion.errors & int(sum(Error))
            )  # reported with the completion

    def _check(self, causes: DmaIrq) -> None:
        """Raises DriverError if the rings report an error."""
        if not causes & DmaIrq.ERROR:
            return
        errors = self._read("DMA_ERROR")
        self._write("DMA_ERROR", errors)
        self._write("DMA_IRQ_STATUS", int(DmaIrq.ERROR))
        if not errors:
            return
        fields = shell_register("DMA_ERROR").fields
        named = "; ".join(f"{bit.name.upper()} ({bit.doc})" for bit in fields if bit.get(errors))
        lost = next(iter(self._due.values()), None)
        if errors & (DmaError.DESCRIPTOR_READ | DmaError.COMPLETION_WRITE):
            self.restart()
        raise DriverError(f"the rings report {named}" + (f"; {lost} was due" if lost else ""))

    def _time_out(self) -> None:
        first = next(iter(self._due.values()))
        status = shell_register("DMA_STATUS").unpack(self._read("DMA_STATUS"))
        doing = ", ".join(name for name, value in status.items() if value) or "nothing"
        count = len(self._due)
        self.restart()
        raise DeviceTimeout(
            f"{first}: no completion in {self.timeout:g} s; the accelerator was doing this: {doing}; "
            f"{count} descriptors were given up"
        )

    # Registers

    def _stop(self) -> None:
        """Aborts the descriptors under way."""
        self._write("DMA_CONTROL", 0)
        running = shell_register("DMA_STATUS").field("running")
        limit = monotonic() + self.timeout
        while running.get(self._read("DMA_STATUS")) or self._read("CPL_PRODUCER") or self._read("RING_CONSUMER"):
            if monotonic() > limit:
                raise DeviceTimeout(f"a descriptor was still under way {self.timeout:g} s after it was aborted")

    def _start(self) -> None:
        self._completions[:] = 0  # the generation bits start over
        self._producer = self._consumer = self._whole = 0
        self._write("DMA_ERROR", int(sum(DmaError)))
        self._write("DMA_IRQ_STATUS", int(sum(DmaIrq)))
        self._write("DMA_IRQ_ENABLE", 0 if self.poll else int(sum(DmaIrq)))
        self._write("DMA_CONTROL", 1)

    def _read(self, name: str) -> int:
        return self.device.read(shell_register(name).offset)

    def _write(self, name: str, value: int) -> None:
        self.device.write(shell_register(name).offset, value)


def core_errors(bits: int) -> str:
    """The names and meanings of bits of the core's ERROR register."""
    return "; ".join(f"{bit.name.upper()} ({bit.doc})" for bit in register("ERROR").fields if bit.get(bits))


def _failure(descriptor: Descriptor, completion: Completion) -> str:
    known = completion.status in list(Status)
    status = Status(completion.status) if known else None
    text = f"{status.name}: {STATUS_DOCS[status]}" if status else f"status {completion.status}, which does not exist"
    name = Opcode(completion.opcode).name if completion.opcode in list(Opcode) else f"opcode {completion.opcode}"
    if completion.errors:
        text = f"the accelerator reports {core_errors(completion.errors)}" + (
            "" if status == Status.CORE else f"; {text}"
        )
    where = f", at address {completion.address:#x}" if completion.address else ""
    return f"{name}: {text}{where}; the descriptor was {descriptor}"
