"""What a pipeline tells about a step and about a whole run. Plain data, no torch."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hotline_host.data.log import Batch
from hotline_host.plan import Split

__all__ = ["GatherCounts", "PipelineFigures", "SplitCounts", "StepResult", "count_split"]


@dataclass(frozen=True)
class SplitCounts:
    """Counts of one mini-batch that was split into hot and cold.

    Attributes:
        popular: popular samples, of `samples`.
        hits: lookups that hit, of `lookups`.
        bag_hits: bags whose lookups all hit, of `bags`, the bags with a lookup.
        working_rows: unique cold rows.
        moved: rows that became hot right before the mini-batch.
        cycles: clock cycles of the split, 0 without a clock.
        unlisted: 1 if the mini-batch had more cold rows than the splitter can list, so that the host fetched them all.
    """

    popular: int
    samples: int
    hits: int
    lookups: int
    bag_hits: int
    bags: int
    working_rows: int
    moved: int
    cycles: int
    unlisted: int = 0


@dataclass(frozen=True)
class GatherCounts:
    """Where one mini-batch's working rows came from.

    Attributes:
        gathered: by the accelerator, from host memory.
        by_host: by the host's cores, from host memory.
        held: from the pool, where the mini-batch before or a slot had them.
        cycles: clock cycles of gathering, 0 without a clock.
    """

    gathered: int
    by_host: int
    held: int
    cycles: int


@dataclass(frozen=True)
class StepResult:
    """One optimizer step. `Pipeline.losses` has the loss.

    Attributes:
        split: None if the pipeline does not split.
        gather: None if nothing gathers for the pipeline.
    """

    split: SplitCounts | None = None
    gather: GatherCounts | None = None


@dataclass(frozen=True)
class PipelineFigures:
    """A run so far.

    Attributes:
        seconds: time by what it was spent on. What runs beside training is counted apart.
        counters: of the pipeline's hardware, by name; None where there is none.
        placed_rows: rows placed in device memory before the first step.
        hbm_bytes: device memory of embedding rows, their state, and the buffers of the steps.
        link_bytes_in, link_bytes_out: copied to the device and back so far; 0 where the device is the host.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    counters: dict[str, int | None] | None = None
    placed_rows: int = 0
    hbm_bytes: int = 0
    link_bytes_in: int = 0
    link_bytes_out: int = 0


def count_split(batch: Batch, split: Split, moved: int, cycles: int) -> SplitCounts:
    """Counts a split mini-batch. `moved` and `cycles` are as in `SplitCounts`."""
    cold = split.slots < 0
    hits = len(cold) - int(np.count_nonzero(cold))
    used = int(np.count_nonzero(batch.lengths))
    if used == len(cold):  # one lookup a bag
        bag_hits = hits
    else:
        offsets = np.cumsum(batch.lengths.ravel()) - batch.lengths.ravel()
        filled = offsets[batch.lengths.ravel() > 0]
        bag_hits = used - int(np.count_nonzero(np.add.reduceat(cold, filled)))
    listed = split.working  # None if the accelerator's lists had no room for all
    return SplitCounts(
        popular=int(split.popular.sum()),
        samples=batch.size,
        hits=hits,
        lookups=len(split.slots),
        bag_hits=bag_hits,
        bags=used,
        working_rows=(
            len(np.unique(batch.tables[cold] << 32 | batch.indices[cold])) if listed is None else len(listed)
        ),
        moved=moved,
        cycles=cycles,
        unlisted=int(listed is None),
    )
