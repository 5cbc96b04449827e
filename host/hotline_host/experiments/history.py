"""What became of every mini-batch, and the figures that follow from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np

from hotline_host.pipelines.steps import GatherCounts, SplitCounts

__all__ = ["GatherFigures", "History", "SplitFigures"]


@dataclass(frozen=True)
class SplitFigures:
    """Of all mini-batches that were split. A share of nothing is None.

    Attributes:
        popular_share: of the samples; `lookup_hit_share` of the `lookups`, `bag_hit_share` of the bags with a lookup.
        working_rows: unique cold rows of a mini-batch, the mean.
        moved_rows: rows that became hot meanwhile.
        unlisted_mini_batches: that had more cold rows than can be listed; the host fetched these rows.
        cycles: with a mini-batch in the core; `dma_cycles` with a descriptor under way. None without a clock.
        bytes_read, bytes_written: by DMA; None without a clock.
        lookups_per_cycle: of the core; None without a clock.
        counters: all of the accelerator's, or of what else splits mini-batches; empty if it has none.
    """

    popular_share: float | None
    lookups: int
    lookup_hit_share: float | None
    bag_hit_share: float | None
    working_rows: float
    moved_rows: int
    unlisted_mini_batches: int
    cycles: int | None
    dma_cycles: int | None
    bytes_read: int | None
    bytes_written: int | None
    lookups_per_cycle: float | None
    counters: dict[str, int | None]


@dataclass(frozen=True)
class GatherFigures:
    """Of all cold rows.

    Attributes:
        gathered_rows: by the accelerator, from host memory.
        held_rows: that were in the pool already.
        host_gathered_rows: by the host: rows that became hot, and rows that the accelerator could not list.
    """

    gathered_rows: int
    held_rows: int
    host_gathered_rows: int


@dataclass
class History:
    """One entry for each mini-batch that was split. Attributes as in `SplitCounts`; the last four, which are empty
    where nothing was gathered, as in `GatherCounts`.
    """

    popular: list[int] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)
    hits: list[int] = field(default_factory=list)
    lookups: list[int] = field(default_factory=list)
    bag_hits: list[int] = field(default_factory=list)
    bags: list[int] = field(default_factory=list)
    working_rows: list[int] = field(default_factory=list)
    moved: list[int] = field(default_factory=list)
    cycles: list[int] = field(default_factory=list)
    unlisted: list[int] = field(default_factory=list)
    gathered_rows: list[int] = field(default_factory=list)
    host_rows: list[int] = field(default_factory=list)
    held_rows: list[int] = field(default_factory=list)
    gather_cycles: list[int] = field(default_factory=list)

    def record(self, split: SplitCounts, gather: GatherCounts | None = None) -> None:
        """Takes in the next mini-batch."""
        for name, value in asdict(split).items():
            getattr(self, name).append(value)
        if gather:
            self.gathered_rows.append(gather.gathered)
            self.host_rows.append(gather.by_host)
            self.held_rows.append(gather.held)
            self.gather_cycles.append(gather.cycles)

    def split_figures(self, counters: dict[str, int | None]) -> SplitFigures:
        """Figures of all mini-batches; `counters` are the splitter's since the first, and empty if it has none."""
        lookups, cycles = sum(self.lookups), counters.get("cycles")
        return SplitFigures(
            popular_share=_share(self.popular, self.samples),
            lookups=lookups,
            lookup_hit_share=_share(self.hits, self.lookups),
            bag_hit_share=_share(self.bag_hits, self.bags),
            working_rows=float(np.mean(self.working_rows)),
            moved_rows=sum(self.moved),
            unlisted_mini_batches=sum(self.unlisted),
            cycles=cycles,
            dma_cycles=counters.get("dma_cycles"),
            bytes_read=counters.get("bytes_read"),
            bytes_written=counters.get("bytes_written"),
            lookups_per_cycle=lookups / cycles if cycles else None,
            counters=counters,
        )

    def gather_figures(self) -> GatherFigures:
        return GatherFigures(sum(self.gathered_rows), sum(self.held_rows), sum(self.host_rows))


def _share(some: list[int], of: list[int]) -> float | None:
    return sum(some) / sum(of) if sum(of) else None
