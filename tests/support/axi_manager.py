"""An AXI4 manager in Python, for tests of the memory model."""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from hotline_device.host_memory import BASE_ADDRESS, PAGE_BYTES, Region
from hotline_sim.memory.library import Address
from hotline_sim.memory.model import MemoryModel
from hotline_sim.memory.timing import MemoryTiming

OKAY, SLVERR, DECERR = 0, 2, 3


@dataclass
class Burst:
    """One burst. The times are clock cycles."""

    address: int
    beats: int
    id: int
    data: bytes = b""  # the bytes read so far
    strobes: list[int] = field(default_factory=list)
    responses: list[int] = field(default_factory=list)
    accepted: int = -1
    full: int = -1  # of a write: the cycle in which the last beat was accepted
    answered: int = -1  # of a read: the cycle of the first beat
    done: int = -1


class Manager:
    """Keeps the rules of AXI. Bursts are sent in the order in which they were asked for; reads go beside writes.

    Attributes:
        valid, ready: probability, in a cycle, that something is offered, or taken.
        meddle: called with the pins of each cycle before they are sampled.
        trace: the subordinate's outputs in each cycle.
    """

    def __init__(self, model: MemoryModel, seed: int = 0, *, valid: float = 1.0, ready: float = 1.0) -> None:
        self.model, self.pins = model, model.pins
        self.bytes = model.axi_bits // 8
        self.rng = np.random.default_rng(seed)
        self.valid, self.ready = valid, ready
        self.cycle = 0
        self.trace: list[tuple[int, ...]] = []
        self.meddle: Callable[[object], None] = lambda pins: None
        self._ar: deque[Burst] = deque()
        self._aw: deque[Burst] = deque()
        self._w: deque[tuple[Burst, int]] = deque()
        self._reading: dict[int, deque[Burst]] = {}
        self._writing: dict[int, deque[Burst]] = {}
        self.outstanding = 0

    def read(self, address: int, beats: int = 1, id: int = 0) -> Burst:
        burst = Burst(address, beats, id)
        self._ar.append(burst)
        self.outstanding += 1
        return burst

    def write(self, address: int, data: bytes, id: int = 0, strobes: list[int] | None = None) -> Burst:
        beats = len(data) // self.bytes
        burst = Burst(address, beats, id, data, strobes or [(1 << self.bytes) - 1] * beats)
        self._aw.append(burst)
        self._w.extend((burst, beat) for beat in range(beats))
        self.outstanding += 1
        return burst

    def finish(self, limit: int = 200_000) -> None:
        """Runs until every burst was answered."""
        end = self.cycle + limit
        while self.outstanding:
            assert self.cycle < end, f"{self.outstanding} bursts are not answered"
            self.step()

    def step(self) -> None:
        model, pins = self.model, self.pins
        model.offer()
        self._offer()
        self.trace.append((pins.arready, pins.awready, pins.wready, pins.rvalid, pins.rid, pins.rresp, pins.bvalid))
        self.meddle(pins)
        taken = {
            "ar": pins.ar.valid and pins.arready, "aw": pins.aw.valid and pins.awready,
            "w": pins.wvalid and pins.wready, "r": pins.rvalid and pins.rready, "b": pins.bvalid and pins.bready,
        }  # fmt: skip
        offered = pins.rvalid
        if offered:
            first = self._reading[pins.rid][0]
            if not first.responses and first.answered < 0:
                first.answered = self.cycle
        if pins.bvalid and self._writing[pins.bid][0].answered < 0:
            self._writing[pins.bid][0].answered = self.cycle
        moved = model.sample()
        assert moved == any(taken.values())
        for channel, fires in taken.items():
            if fires:
                getattr(self, f"_took_{channel}")()
        self.cycle += 1

    def _offer(self) -> None:
        pins = self.pins
        for channel, queue in ((pins.ar, self._ar), (pins.aw, self._aw)):
            if queue and not channel.valid and self.rng.random() < self.valid:
                _drive(channel, queue[0], self.bytes)
        if self._w and not pins.wvalid and self.rng.random() < self.valid:
            burst, beat = self._w[0]
            ctypes.memmove(pins.wdata, burst.data[beat * self.bytes : (beat + 1) * self.bytes], self.bytes)
            pins.wstrb, pins.wlast, pins.wvalid = burst.strobes[beat], beat == burst.beats - 1, 1
        pins.rready, pins.bready = (self.rng.random() < self.ready for _ in range(2))

    def _took_ar(self) -> None:
        self.pins.ar.valid = 0
        burst = self._ar.popleft()
        burst.accepted = self.cycle
        self._reading.setdefault(burst.id, deque()).append(burst)

    def _took_aw(self) -> None:
        self.pins.aw.valid = 0
        burst = self._aw.popleft()
        burst.accepted = self.cycle
        self._writing.setdefault(burst.id, deque()).append(burst)

    def _took_w(self) -> None:
        self.pins.wvalid = 0
        burst, beat = self._w.popleft()
        if beat == burst.beats - 1:
            burst.full = self.cycle

    def _took_r(self) -> None:
        pins = self.pins
        burst = self._reading[pins.rid][0]
        burst.data += bytes(pins.rdata)[: self.bytes]
        burst.responses.append(pins.rresp)
        assert pins.rlast == (len(burst.responses) == burst.beats)
        if pins.rlast:
            self._reading[pins.rid].popleft()
            self._done(burst)

    def _took_b(self) -> None:
        burst = self._writing[self.pins.bid].popleft()
        burst.responses.append(self.pins.bresp)
        assert burst.accepted >= 0 and 0 <= burst.full < self.cycle, "B came before the data was accepted in full"
        self._done(burst)

    def _done(self, burst: Burst) -> None:
        burst.done = self.cycle
        self.outstanding -= 1


def _drive(channel: Address, burst: Burst, beat_bytes: int) -> None:
    channel.addr, channel.id, channel.len = burst.address, burst.id, burst.beats - 1
    channel.size, channel.burst, channel.valid = beat_bytes.bit_length() - 1, 1, 1


def manager(
    memory: Any, timing: MemoryTiming | str = "ideal", *, seed: int = 1, axi_bits: int = 128, **options: float
) -> Manager:
    """A manager on a new memory model. `options` are those of `Manager`."""
    return Manager(MemoryModel(memory, axi_bits=axi_bits, id_bits=4, timing=timing, seed=seed), seed, **options)


def guarded(rng: np.random.Generator, pages: int) -> tuple[SimpleNamespace, np.ndarray]:
    """Memory with two regions of `pages` pages, and five stretches of as many pages, of all bytes. Stretches 1 and 3
    are the regions, the others are nobody's. Region i is at BASE_ADDRESS + i * 1 MiB."""
    everything = rng.integers(0, 256, (5, pages, PAGE_BYTES), dtype=np.uint8)
    regions = [
        Region(f"r{i}", BASE_ADDRESS + (i << 20), everything[2 * i + 1].reshape(-1), Path("none")) for i in range(2)
    ]
    return SimpleNamespace(regions=regions), everything
