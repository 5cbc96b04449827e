"""What a memory model counted."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DirectionStatistics", "MemoryStatistics"]


@dataclass(frozen=True)
class DirectionStatistics:
    """Reads, or writes.

    Attributes:
        bursts: that were accepted.
        beats: that were transferred on R, or W.
        bytes: of beats that were answered with OKAY; written: those with a strobe, once they are in memory.
        errors: bursts answered with SLVERR or DECERR, in any beat.
        pending_cycles: cycles in which a burst was asked for and not yet answered in full.
        busy_cycles: time on the link, headers and (writes) the requests of reads included, in clock cycles.
        peak: most bursts outstanding.
        overtaken: bursts that were answered after one that was accepted later.
        interleaved: R beats that came between the beats of another burst.
        latency_min, latency_mean, latency_max: in clock cycles, as `MemoryTiming` has them, queueing included; 0
            before the first.
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
