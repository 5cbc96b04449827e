"""What a step reads, in buffers that are allocated once: one set in host memory and one on the device for each half.

On a CPU both are the same memory. On a GPU their addresses never change, so a CUDA graph can replay the step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hotline_device.compiled import compiled
from hotline_host.data.log import Batch
from hotline_host.pool.grouping import Grouping

from .kernels import Groups
from .link import Link

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


class StepInputs:
    """The inputs of the steps of one half.

    Args:
        size: of the largest mini-batch.
        table_rows: ids are below it.
        link: to the device.
        dtype: of dense features and labels.

    Attributes:
        samples, lookups: of the mini-batch that was packed last.
        one_hot: every bag of it has one lookup.
        first: samples of its first micro-batch; all of them if there is only one.
    """

    def __init__(self, size: StepSize, table_rows: int, link: Link, dtype: torch.dtype) -> None:
        self._size, self._link = size, link
        self._grouping = Grouping(size.lookups, table_rows)
        n, bags = size.lookups, size.samples * size.tables
        integers = {
            "ids": n, "offsets": bags + 1, "bags": n, "chunk_starts": n + 1, "row_chunks": n + 1, "rows": n, "sizes": 2,
            "source": size.moves, "target": size.moves,
        }  # fmt: skip
        self._host = {name: link.host_buffer(count, dtype=torch.int32) for name, count in integers.items()}
        self._host["dense"] = link.host_buffer(size.samples, size.features, dtype=dtype)
        self._host["label"] = link.host_buffer(size.samples, dtype=dtype)
        self._device = {name: link.device_buffer(buffer) for name, buffer in self._host.items()}
        self._arrays = {name: buffer.numpy() for name, buffer in self._host.items()}
        self.samples = self.lookups = self.first = self.rows = self.chunks = self.moves = 0
        self.split_at = 0  # lookups of the first micro-batch
        self.one_hot = True

    @property
    def device_bytes(self) -> int:
        """Bytes of the buffers on the device."""
        return sum(buffer.nbytes for buffer in self._device.values())

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
        size, arrays = self._size, self._arrays
        self.samples, self.lookups, self.moves = batch.size, len(ids), len(moves[0])
        if self.samples > size.samples or self.lookups > size.lookups or self.moves > size.moves:
            raise ValueError(
                f"the mini-batch has {self.samples} samples, {self.lookups} lookups and {self.moves} rows that move; "
                f"room was made for {size.samples}, {size.lookups} and {size.moves}"
            )
        taken, lengths = arrays["ids"][: self.lookups], batch.lengths
        dense, label = self._host["dense"][: self.samples], self._host["label"][: self.samples]
        self.first, self.split_at = self.samples, self.lookups
        if popular is None or not popular.any():
            taken[:] = ids
            dense.copy_(torch.from_numpy(batch.dense))
            label.copy_(torch.from_numpy(batch.label))
        else:
            order = np.argsort(~popular, kind="stable")  # popular samples first
            self.first = int(popular.sum())
            lengths = lengths[order]
            _permute(ids, batch.sample_offsets, order, taken)
            self.split_at = int(lengths[: self.first].sum())
            dense.copy_(torch.from_numpy(batch.dense[order]))
            label.copy_(torch.from_numpy(batch.label[order]))
        self.one_hot = self.lookups == lengths.size and bool((lengths == 1).all())
        bags = None
        if not self.one_hot:
            offsets = arrays["offsets"][: lengths.size + 1]
            offsets[0] = 0
            np.cumsum(lengths.ravel(), out=offsets[1:])
            bags = np.repeat(np.arange(lengths.size, dtype=np.int32), lengths.ravel())
        self.rows, self.chunks = self._grouping.group(
            taken, bags, -1, arrays["bags"], arrays["rows"], arrays["row_chunks"], arrays["chunk_starts"]
        )
        arrays["sizes"][:] = self.rows, self.chunks
        arrays["source"][: self.moves], arrays["target"][: self.moves] = moves

    def copy_in(self) -> None:
        """Copies to the device what was packed. Inside the block `Link.copying_in`."""
        used = {
            "ids": self.lookups, "offsets": 0 if self.one_hot else self.samples * self._size.tables + 1,
            "bags": self.lookups, "chunk_starts": self.chunks + 1, "row_chunks": self.rows + 1, "rows": self.rows,
            "sizes": 2, "source": self.moves, "target": self.moves, "dense": self.samples, "label": self.samples,
        }  # fmt: skip
        for name, count in used.items():
            if count:
                self._link.copy_in(self._device[name][:count], self._host[name][:count])

    def dense(self, part: slice) -> tuple[Tensor, Tensor]:
        """Dense features [b, F] and labels [b] of some samples, on the device."""
        return self._device["dense"][part], self._device["label"][part]

    def lookups_of(self, part: slice) -> tuple[Tensor, Tensor | None]:
        """The ids of the lookups of a micro-batch, and the offsets of its bags, None if each has one lookup."""
        first = part.start == 0
        ids = self._device["ids"][: self.split_at] if first else self._device["ids"][self.split_at : self.lookups]
        if self.one_hot:
            return ids, None
        tables = self._size.tables
        offsets = self._device["offsets"][part.start * tables : part.stop * tables + 1]
        return ids, offsets if first else offsets - self.split_at

    def all_lookups(self) -> tuple[Tensor, Tensor | None]:
        """As `lookups_of` for all samples, in tensors of the largest mini-batch's size, with garbage behind it."""
        return self._device["ids"], None if self.one_hot else self._device["offsets"]

    @property
    def full(self) -> bool:
        """Tensors of the largest mini-batch's size have nothing behind this mini-batch, or only what no bag reads."""
        return self.samples == self._size.samples and (not self.one_hot or self.lookups == self._size.lookups)

    @property
    def parts(self) -> list[slice]:
        """The samples of each micro-batch that has any."""
        halves = slice(0, self.first), slice(self.first, self.samples)
        return [part for part in halves if part.stop > part.start]

    def move_ids(self) -> tuple[Tensor, Tensor]:
        """Source and target of the rows that move, int32 on the device."""
        return self._device["source"][: self.moves], self._device["target"][: self.moves]

    def groups(self) -> Groups:
        """The lookups by row. The tensors have the size of the largest mini-batch."""
        of = self._device
        return Groups(
            bags=of["bags"], chunk_starts=of["chunk_starts"], row_chunks=of["row_chunks"], rows=of["rows"],
            sizes=of["sizes"], row_count=self.rows, lookup_count=self.lookups,
        )  # fmt: skip


@compiled()
def _permute(ids, starts, order, out):
    """The ids of samples in another order."""
    at = 0
    for sample in order:
        for lookup in range(starts[sample], starts[sample + 1]):
            out[at] = ids[lookup]
            at += 1
