"""Watches the AXI manager of a device, and counts coverpoints of its accesses."""

from __future__ import annotations

from hotline_device.host_memory import PAGE_BYTES
from hotline_hw.spec.params import Geometry
from hotline_sim.memory.library import Address, Pins
from hotline_sim.memory.model import MemoryModel

from .coverage import DeviceCoverage

__all__ = ["ManagerWatch"]


class ManagerWatch:
    """Samples the pins of a memory model in each clock cycle, after the manager's pins are set.

    Attributes:
        read_bytes, written_bytes: bytes of the transferred beats, in whole beats. The counters must say the same.
        reads, writes: bursts outstanding.
    """

    def __init__(self, geometry: Geometry, coverage: DeviceCoverage) -> None:
        self.geometry, self.coverage = geometry, coverage
        self.read_bytes = self.written_bytes = 0
        self.restart()

    def restart(self) -> None:
        """Call when nothing is outstanding: after a change of memory, or after a reset of the manager."""
        self.reads = self.writes = 0
        self._beats_early = 0  # W beats taken, less the beats whose AW was taken
        self._ends = {"read": -1, "write": -1}
        self._overtaken = {"read": 0, "write": 0}
        self._interleaved = 0

    def step(self, model: MemoryModel) -> None:
        """Call before the edge that ends the cycle."""
        pins = model.pins
        hit = self.coverage.hit
        if pins.ar.valid:
            if not pins.arready:
                hit("ar_waits")
                hit("memory_refuses_reads", self.reads == model.timing.reads)
            else:
                self._burst("read", pins.ar)
                self.reads += 1
                hit("read_tags_all", self.reads == self.geometry.read_tags)
                hit("read_beside_write", self.writes > 0)
        if pins.aw.valid:
            if not pins.awready:
                hit("aw_waits")
            else:
                self._burst("write", pins.aw)
                self.writes += 1
                self._beats_early -= pins.aw.len + 1
        if pins.wvalid:
            self._data(pins)
        if pins.rvalid and pins.rready:
            self.read_bytes += self.geometry.axi_bytes
            self.reads -= pins.rlast
        if pins.bvalid and pins.bready:
            self.writes -= 1

    def statistics(self, model: MemoryModel) -> None:
        """Counts coverpoints from the memory's statistics. Call at least once before a memory is replaced."""
        counted = model.statistics()
        self.coverage.hit("reads_overtake", counted.read.overtaken - self._overtaken["read"])
        self.coverage.hit("writes_overtake", counted.write.overtaken - self._overtaken["write"])
        self.coverage.hit("reads_interleaved", counted.read.interleaved - self._interleaved)
        self._overtaken = {"read": counted.read.overtaken, "write": counted.write.overtaken}
        self._interleaved = counted.read.interleaved

    def _burst(self, kind: str, address: Address) -> None:
        beats = address.len + 1
        self.coverage.hit(f"{kind}_burst_{'1' if beats == 1 else '16' if beats == 16 else 'some'}")
        at, end = address.addr, address.addr + beats * self.geometry.axi_bytes
        self.coverage.hit(f"{kind}_at_4k", at % PAGE_BYTES == 0 and at == self._ends[kind])
        self.coverage.hit(f"{kind}_at_4g", at % (1 << 32) == 0 and at == self._ends[kind])
        self.coverage.hit("at_the_top", end == 1 << 64)
        self._ends[kind] = end

    def _data(self, pins: Pins) -> None:
        if not pins.wready:
            self.coverage.hit("w_waits")
            return
        self.written_bytes += self.geometry.axi_bytes
        self._beats_early += 1
        self.coverage.hit("w_before_aw", self._beats_early > 0)
        self.coverage.hit("strobes_off", pins.wstrb == 0)
        self.coverage.hit("partial_strobes", 0 != pins.wstrb != (1 << self.geometry.axi_bytes) - 1)
