"""The interface of the kernels, and the lookups of a mini-batch as they take them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from hotline_host.training.optim import RowOptimizer

__all__ = ["Groups", "Kernels"]


@dataclass(frozen=True)
class Groups:
    """The lookups of a mini-batch by row; see `pool/grouping.py`. Tensors are int32, on one device.

    They may be longer than what is in use, so that their shapes are those of every mini-batch.

    Attributes:
        bags: the bag of each lookup, those of one row together.
        chunk_starts: where each chunk of lookups begins in `bags`, and the end of the last.
        row_chunks: where each row's chunks begin, and the end of the last.
        rows: the pool id of each row.
        sizes: [2], the numbers of rows and of chunks in use, for kernels.
        row_count, lookup_count: the numbers of rows and of lookups in `bags`, for the host.
    """

    bags: Tensor
    chunk_starts: Tensor
    row_chunks: Tensor
    rows: Tensor
    sizes: Tensor
    row_count: int
    lookup_count: int


class Kernels(ABC):
    """Sums and updates of embedding rows. Nothing here makes the host wait for the device.

    Attributes:
        fixed_shapes: they go by the sizes and offsets in device memory, so tensors may be longer than what is in use,
            and a CUDA graph can replay them.
    """

    fixed_shapes: ClassVar[bool] = False

    @abstractmethod
    def pooled_sum(self, rows: Tensor, ids: Tensor, offsets: Tensor | None, weights: Tensor | None = None) -> Tensor:
        """[bags, D]: the sum of each bag's rows, in input order; zero for an empty bag.

        Args:
            rows: [P, D].
            ids: int32 [n], the row of each lookup.
            offsets: int32 [bags + 1], where each bag begins in `ids`, and the end of the last. None: one lookup a bag.
            weights: [n], what each lookup's row is multiplied by; None: 1.
        """

    @abstractmethod
    def row_sums(self, gradient: Tensor, groups: Groups, weights: Tensor | None = None) -> Tensor:
        """[row_count, D]: the sum of the gradients of each row's lookups. Arguments as `update_rows`."""

    @abstractmethod
    def update_rows(
        self,
        optimizer: RowOptimizer,
        rows: Tensor,
        state: Tensor,
        gradient: Tensor,
        groups: Groups,
        weights: Tensor | None = None,
    ) -> None:
        """Updates every row that was looked up, in place, by the sum of its lookups' gradients.

        Args:
            rows: [P, D]; `state` [P, ...], the optimizer's.
            gradient: [bags, D], of the pooled sums.
            weights: [n], of each lookup, in the order of `groups.bags`; None: 1.
        """

    @abstractmethod
    def copy_rows(self, rows: Tensor, state: Tensor, source: Tensor, target: Tensor) -> None:
        """Copies rows and their states inside `rows`. All are read before any is written.

        Args:
            source, target: int32 [m], row ids. No target is named twice.
        """

    @abstractmethod
    def fetch_rows(self, source: Tensor, source_state: Tensor, keys: Tensor, rows: Tensor, state: Tensor) -> None:
        """Copies rows of another table, `source` [R, D] and `source_state` [R], to `rows` [m, D] and `state` [m].

        Args:
            source, source_state: on the device, or in pinned host memory, which a GPU reads over the link.
            keys: int64 [m], the row of `source` for each of `rows`; on the device.
        """
