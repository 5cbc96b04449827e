"""What a memory model counted."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DirectionStatistics", "MemoryStatistics"]


@dataclass(frozen=True)
class DirectionStatistics:
    """Reads, or writes.

    Attributes:
        bursts: accepted bursts.
        beats: beats transferred on R, or W.
        bytes: bytes of beats answered with OKAY; of writes, those with a strobe, counted once they are in memory.
        errors: bursts answered with SLVERR or DECERR, in any beat.
        pending_cycles: cycles in which a burst was requested or in progress.
        busy_cycles: time on the link in clock cycles, including headers and, for writes, the requests of reads.
        peak: most bursts outstanding.
        overtaken: bursts answered after one that was accepted later.
        interleaved: R beats transferred between the beats of another burst.
        latency_min, latency_mean, latency_max: in clock cycles, measured as `MemoryTiming` defines latency, including
            queueing; 0 before the first burst.
    """

    bursts: int
    beats: int
    bytes: int
    errors: int
    pending_cycles: int
    busy_cycles: float
    peak: int
    overtaken: int
    interleaved: int
    latency_min: float
    latency_mean: float
    latency_max: float

    @property
    def utilisation(self) -> float:
        """Share of the pending cycles in which the link was busy; 0 if there were none."""
        return self.busy_cycles / self.pending_cycles if self.pending_cycles else 0.0


@dataclass(frozen=True)
class MemoryStatistics:
    """Both directions, over `cycles` clock cycles."""

    cycles: int
    read: DirectionStatistics
    write: DirectionStatistics
