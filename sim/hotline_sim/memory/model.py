"""The memory model from Python: benches step a `MemoryModel`; a backend controls the one inside its library."""

from __future__ import annotations

import ctypes
import weakref

from hotline_device.device import DeviceError
from hotline_device.host_memory import HostMemory

from .library import Direction, Pins, Statistics, config, memory_library
from .statistics import DirectionStatistics, MemoryStatistics
from .timing import MemoryTiming, memory_timing

__all__ = ["MemoryControl", "MemoryModel", "ProtocolError"]


class ProtocolError(DeviceError):
    """The AXI4 manager broke a rule; the message has the clock cycle, the channel and the rule."""


class MemoryControl:
    """A memory model that other code steps. Do not call it during a step.

    Args:
        library: with the model's functions, see `type_calls`.
        handle: the model's; the caller keeps it alive.
        memory: the regions that it serves. Call `connect` after adding regions.
    """

    def __init__(self, library: ctypes.CDLL, handle: int, memory: HostMemory) -> None:
        self.memory = memory
        self._calls = library
        self._handle = ctypes.c_void_p(handle)
        self._connected = 0
        self.connect()

    def connect(self) -> None:
        """Tells the model of new regions in `memory`."""
        for region in self.memory.regions[self._connected :]:
            self._calls.hotline_memory_region(self._handle, region.address, region.size, region.data.ctypes.data)
            self._connected += 1

    def answer(self, address: int, size: int, response: int) -> None:
        """Answers bursts that are accepted from now on and touch any of `size` bytes at `address` with `response`:
        2 (SLVERR) or 3 (DECERR). If several such calls apply, the first one counts."""
        if response not in (2, 3):
            raise ValueError(f"response={response}: an error is 2 (SLVERR) or 3 (DECERR)")
        self._calls.hotline_memory_answer(self._handle, address, size, response)

    def clear_answers(self) -> None:
        """Undoes all calls of `answer`."""
        self._calls.hotline_memory_clear_answers(self._handle)

    def statistics(self) -> MemoryStatistics:
        """Statistics since the model was created, or since `clear_statistics`."""
        counted = Statistics()
        self._calls.hotline_memory_statistics(self._handle, counted)
        return MemoryStatistics(counted.cycles, _direction(counted.read), _direction(counted.write))

    def clear_statistics(self) -> None:
        self._calls.hotline_memory_clear_statistics(self._handle)

    @property
    def violations(self) -> int:
        """Number of rules that the manager has broken."""
        return self._calls.hotline_memory_violations(self._handle)

    @property
    def message(self) -> str:
        """Describes the first of them; empty if there are none."""
        return self._calls.hotline_memory_message(self._handle).decode()

    def check(self) -> None:
        """Raises ProtocolError if there are violations."""
        if count := self.violations:
            more = f" ({count} violations in all)" if count > 1 else ""
            raise ProtocolError(f"the AXI4 manager broke a rule: {self.message}{more}")


def _direction(counted: Direction) -> DirectionStatistics:
    names = ("bursts", "beats", "bytes", "errors", "pending_cycles", "busy_cycles", "peak", "overtaken", "interleaved")
    return DirectionStatistics(
        **{name: getattr(counted, name) for name in names},
        latency_min=counted.latency_min,
        latency_mean=counted.latency_sum / counted.latencies if counted.latencies else 0.0,
        latency_max=counted.latency_max,
    )


class MemoryModel(MemoryControl):
    """An AXI4 subordinate over `memory`, stepped a clock cycle at a time.

    In each cycle: call `offer()`; drive the DUT with the subordinate's pins and let it settle; copy the manager's pins
    from the DUT; call `sample()`. While the manager is in reset, call `reset` instead of both.

    Args:
        memory: the memory that bursts read and write. Regions may be added at any time.
        axi_bits: width of the data, 512 at most.
        id_bits: width of the ids.
        timing: a timing, or the name of one of PRESETS.
        seed: for all randomness.
        max_beats: longest burst that the manager may send.

    Attributes:
        pins: the structure of all pins; data is `axi_bits // 8` bytes from index 0 on.

    Raises:
        DeviceError: the library could not be built.
    """

    def __init__(
        self,
        memory: HostMemory,
        *,
        axi_bits: int,
        id_bits: int,
        timing: MemoryTiming | str = "ideal",
        seed: int = 0,
        max_beats: int = 16,
    ) -> None:
        self.timing, self.axi_bits = memory_timing(timing), axi_bits
        library = memory_library()
        settings = config(self.timing, axi_bits=axi_bits, id_bits=id_bits, seed=seed, max_beats=max_beats)
        handle = library.hotline_memory_create(settings)
        if not handle:
            raise DeviceError("the memory model could not be created: out of memory")
        self._finalizer = weakref.finalize(self, library.hotline_memory_destroy, ctypes.c_void_p(handle))
        super().__init__(library, handle, memory)
        self.pins: Pins = library.hotline_memory_pins(self._handle).contents

    def offer(self) -> None:
        """Decides the subordinate's pins of this cycle."""
        if self._connected < len(self.memory.regions):
            self.connect()
        self._calls.hotline_memory_offer(self._handle)

    def sample(self) -> bool:
        """Processes the handshakes of this cycle. Returns whether any transfer took place."""
        return bool(self._calls.hotline_memory_sample(self._handle))

    def reset(self) -> None:
        """To be called while the manager is in reset. All pins become 0. Bursts in progress are dropped, except that
        writes whose data was accepted completely still take place."""
        self._calls.hotline_memory_reset(self._handle)
