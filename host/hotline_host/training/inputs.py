"""What a step of a DLRM reads: the lookups of its mini-batch, dense features and labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hotline_device.compiled import compiled
from hotline_host.data.log import Batch

from .link import Link
from .row_inputs import RowInputs

__all__ = ["StepInputs", "StepSize"]


@dataclass(frozen=True)
class StepSize:
    """The largest mini-batch.

    Attributes:
        samples: B.
        lookups: n.
        tables: T.
        features: F, dense features.
        moves: rows that move inside the pool, at most.
    """

    samples: int
    lookups: int
    tables: int
    features: int
    moves: int


class StepInputs(RowInputs):
    """The inputs of the steps of one half. Its bags are those of its samples, sample after sample.

    Args:
        size: of the largest mini-batch.
        table_rows: ids are below it.
        link: to the device.
        dtype: of dense features and labels.

    Attributes:
        samples: of the mini-batch that was packed last.
        first: samples of its first micro-batch; all of them if there is only one.
    """

    def __init__(self, size: StepSize, table_rows: int, link: Link, dtype: torch.dtype) -> None:
        super().__init__(size.lookups, size.samples * size.tables, size.moves, table_rows, link)
        self._size = size
        self._add("dense", size.samples, size.features, dtype=dtype)
        self._add("label", size.samples, dtype=dtype)
        self.samples = self.first = 0
        self.split_at = 0  # lookups of the first micro-batch

    def pack(
        self, batch: Batch, ids: np.ndarray, moves: tuple[np.ndarray, np.ndarray], popular: np.ndarray | None = None
    ) -> None:
        """Takes a mini-batch in. The step before the last must have ended.

        Args:
            ids: int32 [n], the row of each lookup, in input order.
            moves: int32 [c] each, source and target of the rows that move.
            popular: bool [B]: these samples are the first micro-batch, the others the second. None: there is one only.

        Raises:
            ValueError: the mini-batch is larger than any that was announced.
        """
        size, samples = self._size, batch.size
        if samples > size.samples:
            raise ValueError(f"the mini-batch has {samples} samples; room was made for {size.samples}")
        lengths = batch.lengths
        dense, label = self._host["dense"][:samples], self._host["label"][:samples]
        self.samples = self.first = samples
        self.split_at = len(ids)
        if popular is None or not popular.any():
            dense.copy_(torch.from_numpy(batch.dense))
            label.copy_(torch.from_numpy(batch.label))
        else:
            order = np.argsort(~popular, kind="stable")  # popular samples first
            self.first = int(popular.sum())
            lengths = lengths[order]
            given, ids = ids, np.empty_like(ids)
            _permute(given, batch.sample_offsets, order, ids)
            self.split_at = int(lengths[: self.first].sum())
            dense.copy_(torch.from_numpy(batch.dense[order]))
            label.copy_(torch.from_numpy(batch.label[order]))
        self.pack_rows(ids, lengths.ravel(), moves)

    def _used(self) -> dict[str, int]:
        return super()._used() | {"dense": self.samples, "label": self.samples}

    def dense(self, part: slice) -> tuple[Tensor, Tensor]:
        """Dense features [b, F] and labels [b] of some samples, on the device."""
        return self._device["dense"][part], self._device["label"][part]

    def lookups_of(self, part: slice) -> tuple[Tensor, Tensor | None]:
        """The ids of the lookups of a micro-batch, and the offsets of its bags, None if each has one lookup."""
        tables = self._size.tables
        lookups = slice(0, self.split_at) if part.start == 0 else slice(self.split_at, self.lookups)
        return self.lookups_of_bags(slice(part.start * tables, part.stop * tables), lookups)

    def all_lookups(self) -> tuple[Tensor, Tensor | None]:
        """As `lookups_of` for all samples, in tensors of the largest mini-batch's size, with garbage behind it."""
        return self._device["ids"], None if self.one_hot else self._device["offsets"]

    @property
    def full(self) -> bool:
        """Tensors of the largest mini-batch's size have nothing behind this mini-batch, or only what no bag reads."""
        return self.samples == self._size.samples and (not self.one_hot or self.lookups == self._size.lookups)

    @property
    def parts(self) -> list[slice]:
        """The samples of each micro-batch that has any; of one without samples if neither has."""
        halves = slice(0, self.first), slice(self.first, self.samples)
        return [part for part in halves if part.stop > part.start] or [slice(0, 0)]


@compiled()
def _permute(ids, starts, order, out):
    """The ids of samples in another order."""
    at = 0
    for sample in order:
        for lookup in range(starts[sample], starts[sample + 1]):
            out[at] = ids[lookup]
            at += 1
