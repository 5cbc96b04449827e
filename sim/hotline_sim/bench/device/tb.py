"""`DeviceTB`: runs descriptors on the whole device, and compares the results with the golden model's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hotline_device.ring_entries import Completion, Descriptor
from hotline_hw.lib.interrupts import LOW_CYCLES
from hotline_hw.spec.descriptors import ENTRY_BYTES, Opcode, Status
from hotline_hw.spec.regmap import COUNTERS, Access, Command, counter_offset
from hotline_hw.spec.shell_registers import (
    DMA_COUNTERS,
    SHELL_REGISTERS,
    DmaCommand,
    DmaError,
    DmaIrq,
    dma_counter_offset,
)

from .coverage import REFUSALS
from .memory import Extent
from .outputs import outputs
from .registers import DeviceRegisters, offset_of

__all__ = ["DeviceTB"]

_QUIET_CYCLES = 6_000  # the longest time without a transfer while a completion is due
_LOOK = 8  # cycles between two looks for a completion
_EXACT = (Status.OK, Status.CORE, Status.WORKING, *REFUSALS)  # all fields must equal the golden model's
_CORE_REGISTERS = ("HOT_ROWS", "INDEX_BITS", "HOT_COUNT", "THRESHOLD", "ERROR", "IRQ_STATUS")
_COUNTS = ("samples", "popular_samples", "popular_words", "nonpopular_words", "listed", "held")


class DeviceTB(DeviceRegisters):
    """The DUT and a golden model that gets the same requests. Everything that both have is compared.

    A bench begins with `await tb.start()` and ends with `await tb.finish()`.
    """

    async def finish(self) -> None:
        """The final checks."""
        await self.check()
        self.clock.watch.statistics(self.clock.model)
        if self.clock.gated:
            self.coverage.hit("core_clock_stopped", self.clock.stopped)
        else:
            self.coverage.hit("core_clock_tied")
        self.coverage.write(Path("coverage.txt"))  # in the folder of the run
        self.golden.close()
        self.memory.theirs.close()

    # Descriptors

    @property
    def ring_size(self) -> int:
        return 1 << self.ring_log2

    @property
    def state_rows(self) -> int:
        """Beats of a DUMP with the current budget."""
        return self.geometry.state_rows_per_set << self.golden.core.index_bits

    async def run(self, *descriptors: Descriptor, exact: bool = True) -> list[Completion]:
        """Submits descriptors together, waits until the last is done, and compares. Returns the DUT's completions.

        If not `exact`, the golden model knows less than the DUT does. Then completions and outputs are not compared.
        """
        await self.write("DMA_COALESCE", len(descriptors))
        named = await self.submit(*descriptors)
        await self.until_complete(named[-1].tag)
        self.ring_golden()
        return await self.settle(named, exact=exact)

    async def one(self, descriptor: Descriptor, status: Status = Status.OK) -> Completion:
        """Runs a descriptor, which must end with this status."""
        done = (await self.run(descriptor))[0]
        assert done.status == status, f"{descriptor} ended {Status(done.status).name}; it must end {status.name}"
        return done

    async def submit(self, *descriptors: Descriptor) -> list[Descriptor]:
        """Writes descriptors to both rings, but rings the DUT's doorbell only. Returns them with their tags."""
        assert len(descriptors) <= self.ring_size
        named = []
        for descriptor in descriptors:
            named.append(replace(descriptor, tag=self._tag))
            self.memory.put(self._entry(self.produced), named[-1].pack())
            self.produced, self._tag = self.produced + 1, self._tag + 1
        await self.tell("RING_PRODUCER", self.produced & 0xFFFF)
        first = self.produced - len(descriptors)
        self.coverage.hit("ring_wraps", first // self.ring_size != (self.produced - 1) // self.ring_size)
        self.coverage.hit("many_at_once", len(descriptors) == self.ring_size > 1)
        return named

    async def disable(self) -> None:
        """Clears DMA_CONTROL.enable of the DUT and waits until it is idle. All indexes are 0 then."""
        await self.tell("DMA_CONTROL", 0)
        for _ in range(_QUIET_CYCLES // 4):
            if not (status := await self.read("DMA_STATUS") & 0b111):
                break
        assert not status, f"DMA_STATUS stays {status:#x} after the rings were disabled"
        for name in ("RING_PRODUCER", "RING_CONSUMER", "CPL_PRODUCER", "CPL_CONSUMER"):
            index = await self.read(name)
            assert index == 0, f"{name} is {index} after the rings were disabled; DMA_STATUS was 0"

    async def quiesced(self) -> None:
        """Waits until no burst from before a reset is outstanding."""
        for _ in range(_QUIET_CYCLES // 4):
            if not (status := await self.read("DMA_STATUS") & 0b10000):
                return
        raise AssertionError(f"DMA_STATUS stays {status:#x} after a reset")

    async def restart(self) -> None:
        """Disables the rings of both devices, and enables them again."""
        await self.disable()
        self.golden.write(offset_of("DMA_CONTROL"), 0)
        self.produced = 0
        await self.write("DMA_CONTROL", 1)
        self.coverage.hit("restart")

    def ring_golden(self) -> None:
        """Makes the golden model run the submitted descriptors."""
        self.golden.write(offset_of("RING_PRODUCER"), self.produced & 0xFFFF)

    async def until_complete(self, tag: int, quiet_limit: int = _QUIET_CYCLES) -> None:
        """Waits until the completion with this tag is in memory."""
        moved, quiet = -1, 0
        while tag not in self.tags():
            await self.cycles(_LOOK)
            now = self.clock.watch.read_bytes + self.clock.watch.written_bytes
            moved, quiet = now, 0 if now != moved else quiet + _LOOK
            if quiet > quiet_limit:
                raise AssertionError(
                    f"no completion of tag {tag}, and no transfer for {quiet} cycles; DMA_STATUS is "
                    f"{await self.read('DMA_STATUS'):#x}, DMA_ERROR {await self.read('DMA_ERROR'):#x}"
                )

    def tags(self) -> dict[int, int]:
        """The position in the completion ring of every tag that was completed in this round or before."""
        entries = self._completions()
        return {int(entry[0]): place for place, entry in enumerate(entries) if entry[1] & 0xFF00FFFF}

    def completion(self, tag: int) -> Completion:
        """The DUT's completion."""
        return Completion.unpack(self._completions()[self.tags()[tag]])

    async def settle(self, named: Sequence[Descriptor], *, exact: bool = True) -> list[Completion]:
        """Call after both ran the descriptors. Compares completions, memory and interrupt, and consumes completions."""
        done = [self.compare_completion(it, exact) for it in named]
        self.memory.compare()
        while await self.read("CPL_PRODUCER") != self.produced & 0xFFFF:
            pass
        await self.check_interrupt()
        await self.consume()
        return done

    async def consume(self) -> None:
        """Tells both devices that the host has read all completions."""
        await self.write("CPL_CONSUMER", self.produced & 0xFFFF)
        await self.write("DMA_IRQ_STATUS", int(DmaIrq.COMPLETION))

    async def check_interrupt(self) -> None:
        """Compares DMA_IRQ_STATUS and the interrupt line, which may have been acknowledged right before."""
        await self.cycles(LOW_CYCLES + 2)
        causes, due = await self.read("DMA_IRQ_STATUS"), self.golden.read(offset_of("DMA_IRQ_STATUS"))
        assert causes == due, f"DMA_IRQ_STATUS is {causes:#x}; it must be {due:#x}"
        assert bool(self.dut.irq.value) == self.golden.irq, f"irq is {self.dut.irq.value}"

    def _entry(self, index: int) -> int:
        return self.rings.address + ENTRY_BYTES * (index % self.ring_size)

    def _completions(self) -> np.ndarray:
        return self.rings.array((self.ring_size, ENTRY_BYTES // 4), np.uint32, self.completions_at)

    def follow(self, it: Descriptor, *, exact: bool = False) -> Completion:
        """Copies a descriptor's completion and outputs from the DUT to the golden model, without comparing them."""
        at = self._completion_at(it.tag)
        got = Completion.unpack(self.memory.get(at, ENTRY_BYTES).view(np.uint32))
        self.coverage.completed(it, got)
        self.gather_failed |= it.opcode == Opcode.GATHER and got.status != Status.OK
        self.memory.follow([Extent(at, ENTRY_BYTES)])
        if not exact or got.status not in (Status.OK, Status.CORE, Status.WORKING):
            self.memory.follow(outputs(it, self.geometry, self.state_rows))
        return got

    def _completion_at(self, tag: int) -> int:
        return self.rings.address + self.completions_at + ENTRY_BYTES * self.tags()[tag]

    def compare_completion(self, it: Descriptor, exact: bool = True) -> Completion:
        """Compares a descriptor's completion. Then copies the DUT's entry to the golden model's, cycles included."""
        if not exact:
            return self.follow(it)
        at = self._completion_at(it.tag)
        got = Completion.unpack(self.memory.get(at, ENTRY_BYTES).view(np.uint32))
        due = Completion.unpack(self.memory.due(at, ENTRY_BYTES).view(np.uint32))
        assert got.cycles > 0, f"{it}: it took no cycle"
        seen, must = replace(got, cycles=0), due
        if due.status not in _EXACT or due.address:
            # Counts up to a failed access are unspecified. If several failed, it is unspecified which came first.
            empty = {
                "samples": 0,
                "popular_samples": 0,
                "popular_words": 0,
                "nonpopular_words": 0,
                "listed": 0,
                "held": 0,
            }
            seen, must = (replace(one, **empty, address=0) for one in (seen, must))
            self._check_address(it, got, due)
        assert seen == must, f"{it}: {seen}; it must be {must}"
        self.coverage.hit("generation_0", due.generation == 0)
        return self.follow(it, exact=True)

    def _check_address(self, it: Descriptor, got: Completion, due: Completion) -> None:
        """Checks that the address is 0 (unknown) or one that cannot be accessed."""
        if got.status in (Status.READ, Status.WRITE):
            assert not got.address or self.memory.is_bad(got.address), f"{it}: {got.address:#x} could be accessed"
        elif got.status == Status.WINDOW:
            beat = due.address & -self.geometry.axi_bytes  # accesses are whole beats
            assert got.address == beat, f"{it}: WINDOW at {got.address:#x}; it must be at {beat:#x}"

    def watch_rows(self, it: Descriptor) -> None:
        """Counts coverpoints of the addresses of a list's rows."""
        for word in self.memory.get(it.source, 8 * it.count).view(np.uint64).tolist():
            table = self.golden.descriptors.tables.get(word >> 32 & 0xFF)
            if table is not None:
                self.coverage.row_at(table.address + (word & 0xFFFF_FFFF) * table.stride, it.operand)

    # Checks

    async def check(self) -> None:
        """Waits until the device is idle, and compares memory, registers and counters."""
        while await self.read("DMA_STATUS") & 0b111:
            pass
        self.memory.compare()
        for one in SHELL_REGISTERS:
            if one.access != Access.WO and one.name != "DMA_STATUS" and not one.name.startswith("COUNTER_"):
                await self.check_register(one.name)
        for name in _CORE_REGISTERS:
            await self.check_register(name)
        await self.check_counters()

    async def check_register(self, name: str) -> None:
        value, due = await self.read(name), self.golden.read(offset_of(name))
        assert value == due, f"{name} is {value:#x}; it must be {due:#x}"

    async def check_counters(self) -> None:
        """Compares counters that are not timing with the golden model's. Checks what is known of the timing ones."""
        await self.write("DMA_COMMAND", DmaCommand.SNAPSHOT)
        await self.write("COMMAND", Command.SNAPSHOT)
        counters = {one.name: await self._counter(dma_counter_offset(one.name)) for one in DMA_COUNTERS}
        for counted, at in ((DMA_COUNTERS, dma_counter_offset), (COUNTERS, counter_offset)):
            for one in counted:
                if not one.timing and (one.name != "rows_gathered" or not self.gather_failed):
                    value, due = await self._counter(at(one.name)), self.golden.read(at(one.name))
                    assert value == due, f"counter {one.name} is {value}; it must be {due}"
        parts = [name for name in counters if name.startswith("dma_") and name != "dma_cycles"]
        assert sum(counters[name] for name in parts) == counters["dma_cycles"], (
            f"cycles of no kind, or of two: {counters}"
        )
        moved = {"bytes_read": self.clock.watch.read_bytes, "bytes_written": self.clock.watch.written_bytes}
        for name, due in moved.items():
            assert counters[name] == due, f"counter {name} is {counters[name]}; {due} were seen"

    async def _counter(self, offset: int) -> int:
        return await self.read_offset(offset) | await self.read_offset(offset + 4) << 32

    async def check_errors(self, errors: DmaError) -> None:
        """Checks that DMA_ERROR of both devices has exactly these bits, and clears them."""
        value, due = DmaError(await self.read("DMA_ERROR")), DmaError(self.golden.read(offset_of("DMA_ERROR")))
        assert value == due == errors, f"DMA_ERROR is {value!r}, of the golden model {due!r}; it must be {errors!r}"
        for error in errors:
            self.coverage.hit(f"error_{error.name}")
        await self.write("DMA_ERROR", int(errors))
        await self.write("DMA_IRQ_STATUS", int(DmaIrq.ERROR))
