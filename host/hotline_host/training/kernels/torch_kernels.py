"""The kernels in torch: the reference, and what a CPU uses. A row's lookups are summed in input order."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hotline_host.training.optim import RowOptimizer

from .kernels import Groups, Kernels

__all__ = ["TorchKernels"]


class TorchKernels(Kernels):
    """Float32 results equal ordinary training's bit for bit, as it uses the same kernels."""

    @torch.no_grad()
    def pooled_sum(self, rows: Tensor, ids: Tensor, offsets: Tensor | None, weights: Tensor | None = None) -> Tensor:
        if offsets is None:
            taken = rows.index_select(0, ids)
            return taken if weights is None else taken * weights.unsqueeze(1)
        return _sums(rows, ids, offsets[:-1], weights)

    @torch.no_grad()
    def row_sums(self, gradient: Tensor, groups: Groups, weights: Tensor | None = None) -> Tensor:
        starts = groups.chunk_starts.index_select(0, groups.row_chunks[: groups.row_count])
        return _sums(gradient, groups.bags[: groups.lookup_count], starts, weights)

    @torch.no_grad()
    def update_rows(
        self,
        optimizer: RowOptimizer,
        rows: Tensor,
        state: Tensor,
        gradient: Tensor,
        groups: Groups,
        weights: Tensor | None = None,
    ) -> None:
        if not groups.row_count:
            return
        sums = self.row_sums(gradient, groups, weights)
        optimizer.update(rows, state, groups.rows[: groups.row_count].long(), sums)

    @torch.no_grad()
    def copy_rows(self, rows: Tensor, state: Tensor, source: Tensor, target: Tensor) -> None:
        there = target.long()
        for table in (rows, state):
            table.index_copy_(0, there, table.index_select(0, source))

    @torch.no_grad()
    def fetch_rows(self, source: Tensor, source_state: Tensor, keys: Tensor, rows: Tensor, state: Tensor) -> None:
        torch.index_select(source, 0, keys, out=rows)
        torch.index_select(source_state, 0, keys, out=state)


def _sums(table: Tensor, ids: Tensor, starts: Tensor, weights: Tensor | None = None) -> Tensor:
    """[len(starts), D]: the sum of `table[ids[starts[b] : starts[b + 1]]]` for each b, each row times its weight."""
    if not len(ids) or not len(starts):
        return table.new_zeros(len(starts), table.shape[1])
    return F.embedding_bag(ids, table, starts, mode="sum", per_sample_weights=weights)
