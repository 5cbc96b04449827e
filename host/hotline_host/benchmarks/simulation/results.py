"""Results of a benchmark. `SimBenchResult.as_dict` gives what goes into JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from hotline_host.experiments.results import LogFigures

__all__ = ["SimBenchResult", "GatherFigures", "ReturnPathFigures", "StreamFigures", "TrainingFigures"]


@dataclass(frozen=True)
class StreamFigures:
    """One phase on one backend: the median round, of two the faster one. What counts cycles is None without a clock.

    Attributes:
        batches, lookups: that were streamed.
        rows: cold rows that were gathered.
        cycles: with a mini-batch in the core; `shares` of them say what held the core up.
        dma_cycles: with a descriptor under way; `dma_shares`, whose sum is 1, say what the device was doing.
    """

    batches: int
    lookups: int
    rows: int
    seconds: float
    lookups_per_second: float
    rows_per_second: float
    cycles: int | None
    dma_cycles: int | None
    cycles_per_second: float | None
    lookups_per_cycle_per_lane: float | None
    lookups_per_dma_cycle_per_lane: float | None
    shares: dict[str, float] | None
    dma_shares: dict[str, float] | None


@dataclass(frozen=True)
class TrainingFigures:
    """Training steps of the pipeline hotline, by what stands for the accelerator.

    Attributes:
        seconds: of every step, waiting for the accelerator and gathering between steps included.
        median_seconds: their medians.
        accelerator_seconds: what an accelerator worked beside a step, for a mini-batch.
        wait_seconds: what a step waited for it, or for what prepares the step.
        popular_share: mean of the mini-batches that were split; None if none was.
        gathered_rows_per_step: cold rows that the accelerator gathered.
        rtl_ratio: median step with the RTL in the loop over that with the golden model in the loop.
    """

    seconds: dict[str, list[float]]
    median_seconds: dict[str, float]
    accelerator_seconds: dict[str, float]
    wait_seconds: dict[str, float]
    popular_share: float | None
    gathered_rows_per_step: float | None
    rtl_ratio: float


@dataclass(frozen=True)
class GatherFigures:
    """One GATHER of many rows.

    Attributes:
        gb_per_s: bytes of rows, over all cycles from the decoding of the descriptor to its completion.
        link_utilisation: of the time with reads or writes under way, the share in which memory's link was busy, headers
            included: of the busier direction, or of both if they share the link.
        bus_utilisation: of the same time, the share in which a beat came over the accelerator's bus.
        utilisation: the larger of the two, that of the nearer bound.
        dma_shares: as in `StreamFigures`.
    """

    rows: int
    cycles: int
    rows_per_cycle: float
    gb_per_s: float
    link_utilisation: float
    bus_utilisation: float
    utilisation: float
    dma_shares: dict[str, float]


@dataclass(frozen=True)
class ReturnPathFigures:
    """One mini-batch's update with row-wise Adagrad, either way.

    Attributes:
        rows: that are updated.
        scatter_cycles, scatter_seconds: the traffic of a SCATTER, simulated, at the memory's clock: a lower bound.
        driver_seconds: measured here with torch, the median, on `threads` threads.
    """

    rows: int
    scatter_cycles: int
    scatter_seconds: float
    driver_seconds: float
    threads: int


@dataclass(frozen=True)
class SimBenchResult:
    """All that was measured.

    Attributes:
        load_average: of 1, 5 and 15 minutes, before and after.
        memory: what stood behind the accelerator, but in `gather`.
        stream: by backend and phase; the phase `gather` is CLASSIFY with the GATHERs of every mini-batch.
        gather: by memory and dimension.
        return_path: by dimension.
        rival_ratio: lookups a second of the Verilated device over the rival's, by phase; None without a rival.
    """

    log: LogFigures
    preset: str
    geometry: dict[str, Any]
    hot_rows: int
    batch_size: int
    rounds: int
    steps: int
    model: str
    dtype: str
    device: str
    machine: str
    cores: int | None
    load_average: dict[str, tuple[float, float, float]]
    memory: str
    rival: str | None
    stream: dict[str, dict[str, StreamFigures]]
    training: TrainingFigures
    gather: dict[str, dict[str, GatherFigures]]
    return_path: dict[str, ReturnPathFigures]
    rival_ratio: dict[str, float] | None

    def as_dict(self) -> dict[str, Any]:
        """Figures of the log stand beside the others, not below `log`."""
        figures = asdict(self)
        return figures.pop("log") | figures
