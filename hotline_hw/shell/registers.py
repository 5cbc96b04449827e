"""ShellRegisters: the shell's registers, with the indexes of both rings, the windows and the counters behind them."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.lib.axi import axil_signature
from hotline_hw.lib.counters import CounterBank
from hotline_hw.lib.csr import CsrBank
from hotline_hw.shell.layouts import table_entry, window_signature
from hotline_hw.shell.rings.ring_control import RingControl
from hotline_hw.spec.capabilities import capability_values
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.shell_registers import (
    DMA_COUNTERS,
    MAX_RING_LOG2,
    SHELL_REGISTERS,
    WINDOWS,
    DmaCommand,
    shell_register,
)
from hotline_hw.spec.words import TABLE_FIELD

__all__ = ["ShellRegisters"]


class ShellRegisters(wiring.Component):
    """Connects the registers of `spec.shell_registers` with the blocks of the shell.

    Ports:
        bus: AXI4-Lite.
        causes: an enabled cause of the rings is set.
        acknowledged: high for a cycle when software writes DMA_IRQ_STATUS.
        enable: DMA_CONTROL.enable.
        ring_base: address of the descriptor ring.
        entry: its next entry.
        available: that entry holds a descriptor.
        cpl_base: address of the completion ring.
        cpl_entry, generation, room: of the completion ring, as in RingControl.
        fetched, completed, urgent: as in RingControl.
        running: a descriptor is under way.
        fetching: a descriptor is being read.
        reading: AXI reads are outstanding.
        writing: AXI writes are outstanding.
        quiescing: bursts from before a reset may be outstanding.
        waits: a descriptor waits for room in the completion ring.
        failed: a descriptor could not be read.
        lost: a completion could not be written.
        reset: high for a cycle when DMA_COMMAND asks for a reset.
        windows: memory that may be accessed.
        table_write, table_index, table: an embedding table is set up, as in RowWalker.
        event_*: added to that counter of DMA_COUNTERS in every cycle.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.event_bits = {
            counter.name: range(geometry.axi_bytes + 1) if counter.name.startswith("bytes_") else 1
            for counter in DMA_COUNTERS
        }
        super().__init__(
            {
                "bus": In(axil_signature()),
                "causes": Out(1),
                "acknowledged": Out(1),
                "enable": Out(1),
                "ring_base": Out(64),
                "entry": Out(MAX_RING_LOG2),
                "available": Out(1),
                "cpl_base": Out(64),
                "cpl_entry": Out(MAX_RING_LOG2),
                "generation": Out(1),
                "room": Out(1),
                "fetched": In(1),
                "completed": In(1),
                "urgent": In(1),
                "running": In(1),
                "fetching": In(1),
                "reading": In(1),
                "writing": In(1),
                "quiescing": In(1),
                "waits": In(1),
                "failed": In(1),
                "lost": In(1),
                "reset": Out(1),
                "windows": Out(window_signature()).array(WINDOWS),
                "table_write": Out(1),
                "table_index": Out(TABLE_FIELD.width),
                "table": Out(table_entry()),
                **{f"event_{name}": In(bits) for name, bits in self.event_bits.items()},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.csr = csr = CsrBank(SHELL_REGISTERS)
        m.submodules.rings = rings = RingControl()
        wiring.connect(m, wiring.flipped(self.bus), csr.bus)
        capabilities = capability_values(self.geometry, SHELL_REGISTERS)
        m.d.comb += [
            *(getattr(csr, name.lower()).eq(value) for name, value in capabilities.items()),
            self.enable.eq(csr.dma_control[0]),
            csr.dma_status.eq(
                Cat(self.running | self.fetching, self.reading, self.writing, self.waits, self.quiescing)
            ),
            self.table_write.eq(csr.table_stride_write), self.table_index.eq(csr.table_index),
            self.table.base.eq(Cat(csr.table_lo[4:], csr.table_hi)), self.table.rows.eq(csr.table_rows),
            self.table.stride.eq(csr.write_data),
        ]  # fmt: skip
        for index, window in enumerate(self.windows):
            lo, hi, pages, control = (
                getattr(csr, f"window_{index}_{part}") for part in ("lo", "hi", "pages", "control")
            )
            m.d.comb += [
                window.page.eq(Cat(lo[12:], hi)), window.pages.eq(pages),
                window.read.eq(control[0]), window.write.eq(control[1]),
            ]  # fmt: skip
        moved = self._places(m, csr, rings)
        self._indexes(m, csr, rings)
        self._errors(m, csr, rings, moved)
        self._counters(m, csr)
        return m

    def _places(self, m: Module, csr: CsrBank, rings: RingControl) -> Signal:
        """Holds the rings' places. They are fixed while the rings are enabled.

        Returns whether a write was refused for that.
        """
        moved = Signal()
        places = {name: Signal(32, name=name) for name in ("ring_lo", "ring_hi", "cpl_lo", "cpl_hi", "ring_size")}
        for name, place in places.items():
            mask = sum(field.mask for field in shell_register(name.upper()).fields)
            written = getattr(csr, f"{name}_write")
            m.d.comb += getattr(csr, name).eq(place)
            with m.If(written & self.enable):
                m.d.comb += moved.eq(1)
            with m.Elif(written):
                m.d.sync += place.eq(csr.write_data & mask)
        m.d.comb += [
            self.ring_base.eq(Cat(places["ring_lo"], places["ring_hi"])),
            self.cpl_base.eq(Cat(places["cpl_lo"], places["cpl_hi"])),
            rings.log2_size.eq(Mux(places["ring_size"] > MAX_RING_LOG2, MAX_RING_LOG2, places["ring_size"])),
        ]
        return moved

    def _indexes(self, m: Module, csr: CsrBank, rings: RingControl) -> None:
        m.d.comb += [
            csr.ring_producer.eq(rings.producer), csr.ring_consumer.eq(rings.consumer),
            csr.cpl_producer.eq(rings.cpl_producer), csr.cpl_consumer.eq(rings.cpl_consumer),
            rings.clear.eq(~self.enable & ~self.running & ~self.fetching),
            rings.producer_write.eq(csr.ring_producer_write), rings.cpl_consumer_write.eq(csr.cpl_consumer_write),
            rings.write_data.eq(csr.write_data), rings.coalesce.eq(csr.dma_coalesce), rings.delay.eq(csr.dma_delay),
            rings.fetched.eq(self.fetched), rings.completed.eq(self.completed), rings.urgent.eq(self.urgent),
            self.entry.eq(rings.entry), self.available.eq(rings.available), self.room.eq(rings.room),
            self.cpl_entry.eq(rings.cpl_entry), self.generation.eq(rings.generation),
        ]  # fmt: skip

    def _errors(self, m: Module, csr: CsrBank, rings: RingControl, moved: Signal) -> None:
        """Errors and interrupts, in the order of DmaError and DmaIrq."""
        waited = Signal()
        m.d.sync += waited.eq(self.waits)
        errors = Cat(rings.doorbell_error | moved, self.waits & ~waited, self.failed, self.lost)
        m.d.comb += [
            csr.dma_error_set.eq(errors),
            csr.dma_irq_status_set.eq(Cat(rings.interrupt, errors.any())),
            self.causes.eq((csr.dma_irq_status & csr.dma_irq_enable).any()),
            self.acknowledged.eq(csr.dma_irq_status_write),
        ]

    def _counters(self, m: Module, csr: CsrBank) -> None:
        events = {counter.name: getattr(self, f"event_{counter.name}") for counter in DMA_COUNTERS}
        m.submodules.counters = counters = CounterBank(
            {name: len(event) for name, event in events.items()}, DMA_COUNTERS
        )
        m.d.comb += [
            self.reset.eq(csr.dma_command_write & (csr.write_data == DmaCommand.RESET)),
            counters.snapshot.eq(csr.dma_command_write & (csr.write_data == DmaCommand.SNAPSHOT)),
            counters.clear.eq(csr.dma_command_write & (csr.write_data == DmaCommand.RESET_COUNTERS)),
        ]
        for name, event in events.items():
            value = getattr(counters, f"{name}_value")
            m.d.comb += [
                getattr(counters, name).eq(event),
                getattr(csr, f"counter_{name}_lo").eq(value[:32]),
                getattr(csr, f"counter_{name}_hi").eq(value[32:]),
            ]
