"""What became of every mini-batch that was split."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hotline_host.data.log import Batch
from hotline_host.plan import Split

__all__ = ["SplitHistory"]


@dataclass
class SplitHistory:
    """One entry for each mini-batch.

    Attributes:
        popular: samples that were popular, of `samples`.
        hits: lookups that hit, of `lookups`.
        bag_hits: bags all of whose lookups hit, of `bags`, those with a lookup.
        working_rows: different cold rows.
        moved: rows that became hot right before it.
        cycles: clock cycles that the accelerator took to split it, 0 on a backend without cycles.
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

    def record(self, batch: Batch, split: Split, moved: int, cycles: int) -> None:
        """Takes in the next mini-batch."""
        cold = split.slots < 0
        bags = np.repeat(np.arange(batch.lengths.size), batch.lengths.ravel())
        cold_bags = len(np.unique(bags[cold]))
        used = int(np.count_nonzero(batch.lengths))
        self.popular.append(int(split.popular.sum()))
        self.samples.append(batch.size)
        self.hits.append(int((~cold).sum()))
        self.lookups.append(len(split.slots))
        self.bag_hits.append(used - cold_bags)
        self.bags.append(used)
        listed = split.working  # None where the accelerator's lists had no room for all
        self.working_rows.append(
            len(np.unique(batch.tables[cold] << 32 | batch.indices[cold])) if listed is None else len(listed)
        )
        self.moved.append(moved)
        self.cycles.append(cycles)

    def figures(self) -> dict[str, Any]:
        """Shares and sums over all mini-batches, `working_rows` a mean of them; None for a share of nothing."""
        return {
            "popular_share": _share(self.popular, self.samples),
            "lookups": sum(self.lookups),
            "lookup_hit_share": _share(self.hits, self.lookups),
            "bag_hit_share": _share(self.bag_hits, self.bags),
            "working_rows": float(np.mean(self.working_rows)),
            "moved_rows": sum(self.moved),
        }


def _share(some: list[int], of: list[int]) -> float | None:
    return sum(some) / sum(of) if sum(of) else None
