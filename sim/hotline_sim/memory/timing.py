"""Timing of the memory behind the accelerator's AXI manager: latency, bandwidth and order."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

__all__ = ["PRESETS", "TAILS", "Latency", "MemoryTiming", "memory_timing"]

TAILS = ("none", "triangular", "exponential", "lognormal")
_LONGEST_TAIL = 16  # times the mean; random.hpp cuts longer ones off


@dataclass(frozen=True)
class Latency:
    """A distribution of latencies, in ns: a minimum, and a random tail.

    Attributes:
        minimum: the shortest latency. At least one clock cycle passes in any case.
        tail: distribution of the random part, one of TAILS. Triangular: from 0 to twice its mean.
        tail_mean: mean of the random part, which is cut off at 16 times its mean.
        sigma: lognormal only: the standard deviation of the logarithm.
    """

    minimum: float
    tail: str = "none"
    tail_mean: float = 0.0
    sigma: float = 0.0

    def __post_init__(self) -> None:
        if self.tail not in TAILS:
            raise ValueError(f"tail={self.tail!r} is no shape of a latency's tail; the shapes are {', '.join(TAILS)}")
        for name in ("minimum", "tail_mean", "sigma"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name}={value} of a latency must be a number, 0 or more")
        if (self.tail == "none") != (self.tail_mean == 0):
            raise ValueError(f"tail={self.tail!r} with tail_mean={self.tail_mean}: a tail has a mean, no tail has none")
        if (self.tail == "lognormal") != (self.sigma > 0):
            raise ValueError(f"tail={self.tail!r} with sigma={self.sigma}: a lognormal tail has a sigma, no other does")

    @property
    def mean(self) -> float:
        """In ns, ignoring the cut-off of the tail."""
        return self.minimum + self.tail_mean

    @property
    def longest(self) -> float:
        """In ns."""
        return self.minimum + _LONGEST_TAIL * self.tail_mean


_AT_ONCE = Latency(0)


@dataclass(frozen=True, kw_only=True)
class MemoryTiming:
    """How one kind of memory serves the bursts of an AXI4 manager.

    Times are in ns and rates in GB/s (1e9 bytes a second), converted to clock cycles of `clock_mhz`. An access takes
    its latency; its bytes and headers also occupy the link, one after another.

    Attributes:
        clock_mhz: the accelerator's clock.
        read_latency: from the cycle in which a burst is accepted to that in which its first beat is offered.
        write_latency: from the cycle in which address and all data are accepted to that in which B is offered.
        read_gb_per_s, write_gb_per_s: bandwidth of the link, including headers. None: one beat a clock cycle.
        shared: reads and writes share one link of read_gb_per_s.
        read_payload_bytes, read_header_bytes: read data comes in packets of so many bytes at most, plus a header.
        write_payload_bytes, write_header_bytes: the same for writes.
        request_bytes, request_header_bytes: a read is split into requests of at most so many bytes; each takes the
            time of a header on the link of the writes.
        reads, writes: most outstanding bursts; further ones are not accepted.
        interleave: probability, at each R beat, that a beat of another id follows. 0: bursts are not interleaved.
        early_reads: probability that a read samples memory when it is accepted, not when its beats are sent.
        late_writes: probability that data reaches memory only when B is offered, not when it is accepted.
        early_data: probability, in a cycle, that W is accepted before its address.
        ar_stall, aw_stall, w_stall: probability, in a cycle, that the channel's ready is low without a reason.
        r_gap, b_gap: probability, in a cycle, that a response is delayed.
        error: probability that a burst is answered with SLVERR or DECERR; half of the reads get it in one beat only.
    """

    clock_mhz: float = 250.0
    read_latency: Latency = _AT_ONCE
    write_latency: Latency = _AT_ONCE
    read_gb_per_s: float | None = None
    write_gb_per_s: float | None = None
    shared: bool = False
    read_payload_bytes: int = 4096
    read_header_bytes: float = 0.0
    write_payload_bytes: int = 4096
    write_header_bytes: float = 0.0
    request_bytes: int = 4096
    request_header_bytes: float = 0.0
    reads: int = 65536
    writes: int = 65536
    interleave: float = 0.0
    early_reads: float = 0.5
    late_writes: float = 0.5
    early_data: float = 0.0
    ar_stall: float = 0.0
    aw_stall: float = 0.0
    w_stall: float = 0.0
    r_gap: float = 0.0
    b_gap: float = 0.0
    error: float = 0.0

    def __post_init__(self) -> None:
        def rule(ok: bool, name: str, text: str) -> None:
            if not ok:
                raise ValueError(f"{name}={getattr(self, name)!r} of a memory's timing must be {text}")

        rule(0 < self.clock_mhz < math.inf, "clock_mhz", "a frequency above 0")
        for name in ("read_gb_per_s", "write_gb_per_s"):
            rate = getattr(self, name)
            rule(rate is None or 0 < rate < math.inf, name, "a rate above 0, or None for a beat a clock cycle")
        rule(
            not self.shared or self.write_gb_per_s is None, "write_gb_per_s", "None where reads and writes share a link"
        )
        for name in ("read_payload_bytes", "write_payload_bytes", "request_bytes"):
            size = getattr(self, name)
            rule(64 <= size <= 4096 and size & (size - 1) == 0, name, "a power of two from 64 to 4096")
        for name in ("read_header_bytes", "write_header_bytes", "request_header_bytes"):
            rule(0 <= getattr(self, name) < math.inf, name, "a number of bytes, 0 or more")
        for name in ("reads", "writes"):
            rule(1 <= getattr(self, name) <= 65536, name, "from 1 to 65536 bursts")
        for name in ("interleave", "early_reads", "late_writes", "error"):
            rule(0 <= getattr(self, name) <= 1, name, "a probability from 0 to 1")
        for name in ("early_data", "ar_stall", "aw_stall", "w_stall", "r_gap", "b_gap"):
            rule(0 <= getattr(self, name) < 1, name, "a probability, below 1 as otherwise nothing would move")

    def cycles(self, ns: float) -> float:
        """A time in clock cycles."""
        return ns * self.clock_mhz / 1000

    def bytes_per_cycle(self, gb_per_s: float | None) -> float:
        """A rate in bytes a clock cycle; 0 for None."""
        return 0.0 if gb_per_s is None else gb_per_s * 1000 / self.clock_mhz

    @property
    def longest_silence(self) -> int:
        """The most clock cycles without a transfer while bursts are outstanding. Stalls and gaps have no limit; 40 in a
        row are assumed."""
        latency = self.cycles(max(self.read_latency.longest, self.write_latency.longest))
        rates = [rate for rate in (self.read_gb_per_s, self.write_gb_per_s) if rate is not None]
        carrying = 2 * 4096 / self.bytes_per_cycle(min(rates)) if rates else 0.0
        worst = max(self.ar_stall, self.aw_stall, self.w_stall, self.r_gap, self.b_gap)
        return math.ceil(latency + carrying + 40 / (1 - worst))


def _pcie(giga_transfers: float) -> MemoryTiming:
    """Host memory behind 16 lanes of PCIe.

    Rate: transfers a second and lane; 128 of 130 bits carry data (PCIe base specification, 3.0 to 5.0).
    Packets: since 3.0 each has 4 bytes of framing with the sequence number and 4 bytes of LCRC. A completion's header
    has 12 bytes, that of a request with a 64-bit address 16: 20 and 24 bytes of overhead. Acknowledgements and flow
    control, a few per cent, are not modelled. A payload of at most 256 bytes and reads of at most 512 are common
    settings of servers. A host may split completions at any 64 bytes; it is assumed to fill them.
    Outstanding: 256 reads, from an 8-bit tag. 64 writes are assumed.
    Latency: Neugebauer et al., "Understanding PCIe performance for end host networking" (SIGCOMM 2018) measured
    around 0.5 to 1 us for DMA reads of 64 bytes on servers of PCIe 3.0. The distribution is assumed: 500 ns and a
    lognormal tail; the median is 536 ns, and one in a thousand exceeds 930 ns. PCIe 4.0 and 5.0 are assumed to have the
    same latency, as most of it is spent in the host.
    Writes are posted, so the bridge answers them itself; 200 ns with a tail of 20 ns are assumed.
    """
    rate = giga_transfers * 16 / 8 * 128 / 130
    return MemoryTiming(
        read_latency=Latency(500, "lognormal", 50, 0.8),
        write_latency=Latency(200, "exponential", 20),
        read_gb_per_s=rate,
        write_gb_per_s=rate,
        read_payload_bytes=256,
        read_header_bytes=20,
        write_payload_bytes=256,
        write_header_bytes=24,
        request_bytes=512,
        request_header_bytes=24,
        reads=256,
        writes=64,
    )


def _bridge(pcie: MemoryTiming) -> MemoryTiming:
    """The same host memory behind a bridge from AXI4 to PCIe that carries 32 reads and 32 writes at a time.

    AMD's QDMA (PG302, "Slave Bridge"), Versal's bridges (PG344, PG347) and XDMA in bridge mode (PG194) support up to 32
    of each. So by Little's law rows of 64 bytes come at 32 * 64 bytes / 550 ns = 3.7 GB/s, whatever the link is.
    """
    return replace(pcie, reads=32, writes=32)


PRESETS: dict[str, MemoryTiming] = {
    # The next cycle, and a beat in every cycle after it.
    "ideal": MemoryTiming(),
    "pcie3-x16": _pcie(8),
    "pcie4-x16": _pcie(16),
    "pcie5-x16": _pcie(32),
    "pcie3-x16-bridge": _bridge(_pcie(8)),
    "pcie4-x16-bridge": _bridge(_pcie(16)),
    # A port S_AXI_HPC of Zynq UltraScale+ to its DDR4-2400, 64 bits wide. Its command queues are eight deep, so it
    # carries 8 reads and 8 writes (UG1085, "AXI Interface Programming"); it is 128 bits wide. The way through the cache
    # coherent interconnect is longer (UG1085, "APU Coherent Interfaces"): 200 ns and a tail of 40 ns are assumed, and
    # 100 ns for a write. Rate as for ddr4-local.
    "zynq-hpc": MemoryTiming(
        read_latency=Latency(200, "exponential", 40),
        write_latency=Latency(100, "exponential", 20),
        read_gb_per_s=19.2 * 0.85,
        shared=True,
        reads=8,
        writes=8,
    ),
    # A channel of DDR4-2400 beside the FPGA: 8 bytes 2.4e9 times a second are 19.2 GB/s (JEDEC JESD79-4). Assumed: 85%
    # of that remain after refresh, bus turnaround and row activation; a read through the controller takes 110 ns plus
    # 20 ns on average; a write is answered after 40 ns, once it is queued; 64 of each may be outstanding.
    "ddr4-local": MemoryTiming(
        read_latency=Latency(110, "exponential", 20),
        write_latency=Latency(40),
        read_gb_per_s=19.2 * 0.85,
        shared=True,
        reads=64,
        writes=64,
    ),
}  # fmt: skip


def memory_timing(chosen: MemoryTiming | str) -> MemoryTiming:
    """`chosen`, or the preset of that name.

    Raises:
        ValueError: naming the presets there are.
    """
    if isinstance(chosen, MemoryTiming):
        return chosen
    try:
        return PRESETS[chosen]
    except KeyError:
        raise ValueError(f"unknown memory timing {chosen!r}; there are {', '.join(PRESETS)}") from None
