"""The stream core alone, words in and words out, without the shell that a host drives through memory.

What verification of the core is written against: golden model, Verilated library and cocotb simulator implement
`StreamCore`. The driver knows `hotline_device.device.Device`, the whole accelerator.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import TracebackType

import numpy as np

__all__ = ["Results", "StreamCore"]


@dataclass(frozen=True)
class Results:
    """Result packets of P mini-batches: words as laid out in `hotline_hw.spec.words`, packets end to end.

    Attributes:
        popular, nonpopular: uint64 [n], the words of all packets, null bytes removed.
        popular_ends, nonpopular_ends: int64 [P]; packet p ends before word `ends[p]`.
    """

    popular: np.ndarray
    popular_ends: np.ndarray
    nonpopular: np.ndarray
    nonpopular_ends: np.ndarray


class StreamCore(ABC):
    """One stream core. Calls block until the device has answered; none may overlap another.

    `stream` releases the GIL (or waits on another process) for most of its time, so that a thread which
    calls it runs beside training.
    """

    @abstractmethod
    def read(self, offset: int) -> int:
        """The 32-bit register at byte `offset`. Raises BusError where there is none."""

    @abstractmethod
    def write(self, offset: int, value: int) -> None:
        """Writes the 32-bit register at byte `offset`. Raises BusError where that is refused."""

    @abstractmethod
    def stream(self, words: np.ndarray, ends: np.ndarray) -> Results:
        """Sends P mini-batches on s_axis_lookup and receives their result packets.

        Args:
            words: uint64 [n], the lookup words of all mini-batches, end to end.
            ends: int64 [P], increasing; mini-batch p ends before word `ends[p]` and has at least one word.

        Beats are packed: every beat of a mini-batch but its last is full.
        """

    @abstractmethod
    def receive_state(self, rows: int, ways: int) -> np.ndarray:
        """The next packet of m_axis_state: uint64 [rows, ways], what DUMP sends. COMMAND must have been written."""

    @abstractmethod
    def receive_events(self, limit: int, ways: int) -> np.ndarray:
        """The next packet of m_axis_state: uint64 [n, ways], what SELECT sends. COMMAND must have been written.

        Raises DeviceError if it has more than `limit` beats.
        """

    @abstractmethod
    def send_state(self, entries: np.ndarray) -> None:
        """Sends uint64 [rows, ways], what DUMP gave, as one packet on s_axis_state. COMMAND must have been written."""

    @abstractmethod
    def wait_irq(self) -> None:
        """Returns once `irq` is high. Raises DeviceTimeout."""

    @abstractmethod
    def close(self) -> None:
        """Gives back the simulator, its process and its memory. Idempotent."""

    def __enter__(self) -> StreamCore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
