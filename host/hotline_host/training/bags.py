"""Sum pooling over bags, and its transpose: the gradient of every row that was looked up, coalesced.

Both are the same sparse product, so one kernel does both: pooling sums the rows of each bag, the transpose sums the
bags of each row. It needs no atomic additions, so the result is the same every time, on a GPU too.

    lookup        0  1  2  3              row           3      5   8
    row           5  3  8  3    ---->     its bags      0, 2   0   1
    bag           0  0  1  2              (grouped: order 1 3 0 2, starts 0 2 3)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Bags", "Grouped", "group", "send"]


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Copies a host tensor to `device`. A copy to a GPU goes through pinned memory and is not waited for."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def _sums(table: Tensor, ids: Tensor, offsets: Tensor) -> Tensor:
    """[len(offsets), D]: the sum of `table[ids[offsets[b] : offsets[b + 1]]]` for each b."""
    if not len(ids) or not len(offsets):
        return table.new_zeros(len(offsets), table.shape[1])
    with torch.no_grad():
        return F.embedding_bag(ids, table, offsets, mode="sum")


@dataclass(frozen=True)
class Bags:
    """n lookups in `count` bags, some of which may be empty. Tensors are on the host.

    Attributes:
        ids: int64 [n], the row of each lookup.
        bags: int64 [n], the bag of each lookup, ascending.
    """

    ids: Tensor
    bags: Tensor
    count: int

    def pool(self, table: Tensor) -> Tensor:
        """[count, D] on the table's device: the sum of each bag's rows, zero for an empty bag."""
        lengths = np.bincount(self.bags.numpy(), minlength=self.count)
        offsets = torch.from_numpy(np.cumsum(lengths) - lengths)
        return _sums(table, send(self.ids, table.device), send(offsets, table.device))


@dataclass(frozen=True)
class Grouped:
    """Lookups grouped by row, u different rows. Tensors are on the host.

    Attributes:
        rows: int64 [u], ascending, each row once.
        order: int64 [n], the lookups of `rows[0]`, then those of `rows[1]`, and so on.
        starts: int64 [u], where each row's lookups begin in `order`.
    """

    rows: Tensor
    order: Tensor
    starts: Tensor

    def positions(self) -> Tensor:
        """int64 [n]: the position of each lookup's row in `rows`."""
        counts = torch.diff(self.starts, append=torch.tensor([len(self.order)]))
        positions = torch.empty_like(self.order)
        positions[self.order] = torch.repeat_interleave(torch.arange(len(self.rows)), counts)
        return positions

    def gradient(self, bags: Tensor, pooled_gradient: Tensor) -> Tensor:
        """[u, D] on the gradient's device: the gradient of each of `rows`, summed over its lookups.

        Args:
            bags: int64 [n], the bag of each lookup, on the host.
            pooled_gradient: [bags, D].
        """
        device = pooled_gradient.device
        return _sums(pooled_gradient, send(bags[self.order], device), send(self.starts, device))


def group(ids: Tensor) -> Grouped:
    """Groups the lookups of int64 [n] `ids` by row."""
    sorted_ids, order = torch.sort(ids, stable=True)
    first = torch.ones(len(ids), dtype=torch.bool)
    torch.ne(sorted_ids[1:], sorted_ids[:-1], out=first[1:])
    starts = first.nonzero().squeeze(1)
    return Grouped(sorted_ids[starts], order, starts)
