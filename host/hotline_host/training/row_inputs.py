"""The lookups of a mini-batch as the kernels read them, in buffers that are allocated once.

There is one set in host memory and one on the device. On a CPU both are the same memory. On a GPU their addresses never
change, so a CUDA graph can replay the step.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hotline_host.pool.grouping import Grouping

from .kernels import Groups
from .link import Link

__all__ = ["RowInputs"]


class RowInputs:
    """Lookups in bags, grouped by row, and the rows that move before the step.

    Args:
        lookups, bags, moves: the most of a mini-batch.
        table_rows: ids are below it.
        link: to the device.

    Attributes:
        lookups, bags, moves: of the mini-batch that was packed last.
        one_hot: every bag of it has one lookup.
    """

    def __init__(self, lookups: int, bags: int, moves: int, table_rows: int, link: Link) -> None:
        self._most, self._link = (lookups, bags, moves), link
        self._grouping = Grouping(lookups, table_rows)
        n = lookups
        integers = {
            "ids": n, "offsets": bags + 1, "bags": n, "chunk_starts": n + 1, "row_chunks": n + 1, "rows": n, "sizes": 2,
            "picks": n, "source": moves, "target": moves,
        }  # fmt: skip
        self._host: dict[str, Tensor] = {}
        self._device: dict[str, Tensor] = {}
        self._arrays: dict[str, np.ndarray] = {}
        for name, count in integers.items():
            self._add(name, count, dtype=torch.int32)
        self.lookups = self.bags = self.rows = self.chunks = self.moves = 0
        self.one_hot, self._picked = True, False

    def _add(self, name: str, *shape: int, dtype: torch.dtype) -> None:
        self._host[name] = self._link.host_buffer(*shape, dtype=dtype)
        self._device[name] = self._link.device_buffer(self._host[name])
        self._arrays[name] = self._host[name].numpy()

    @property
    def device_bytes(self) -> int:
        """Bytes of the buffers on the device."""
        return sum(buffer.nbytes for buffer in self._device.values())

    def pack_rows(
        self, ids: np.ndarray, lengths: np.ndarray, moves: tuple[np.ndarray, np.ndarray], *, picks: bool = False
    ) -> None:
        """Takes lookups in.

        Args:
            ids: int32 [n], the row of each lookup, bag after bag.
            lengths: int [bags], lookups in each bag.
            moves: int32 [c] each, source and target of the rows that move.
            picks: also lay out which lookup each of the grouped ones is, for lookups with weights.

        Raises:
            ValueError: the mini-batch is larger than any that was announced.
        """
        arrays, sizes = self._arrays, (len(ids), len(lengths), len(moves[0]))
        if any(size > most for size, most in zip(sizes, self._most, strict=True)):
            raise ValueError(
                f"the mini-batch has {sizes[0]} lookups, {sizes[1]} bags and {sizes[2]} rows that move; room was made "
                f"for {self._most[0]}, {self._most[1]} and {self._most[2]}"
            )
        self.lookups, self.bags, self.moves = sizes
        taken = arrays["ids"][: self.lookups]
        taken[:] = ids
        self.one_hot = self.lookups == self.bags and bool((lengths == 1).all())
        of = None
        if not self.one_hot:
            offsets = arrays["offsets"][: self.bags + 1]
            offsets[0] = 0
            np.cumsum(lengths, out=offsets[1:])
            of = np.repeat(np.arange(self.bags, dtype=np.int32), lengths)
        self._picked = picks
        grouped = arrays["picks"] if picks else arrays["bags"]
        self.rows, self.chunks = self._grouping.group(
            taken, None if picks else of, -1, grouped, arrays["rows"], arrays["row_chunks"], arrays["chunk_starts"]
        )
        if picks:
            lookups = grouped[: self.lookups]
            arrays["bags"][: self.lookups] = lookups if of is None else of[lookups]
        arrays["sizes"][:] = self.rows, self.chunks
        arrays["source"][: self.moves], arrays["target"][: self.moves] = moves

    def copy_in(self) -> None:
        """Copies to the device what was packed. Inside the block `Link.copying_in`."""
        for name, count in self._used().items():
            if count:
                self._link.copy_in(self._device[name][:count], self._host[name][:count])

    def _used(self) -> dict[str, int]:
        """How much of each buffer is in use."""
        return {
            "ids": self.lookups, "offsets": 0 if self.one_hot else self.bags + 1, "bags": self.lookups,
            "chunk_starts": self.chunks + 1, "row_chunks": self.rows + 1, "rows": self.rows, "sizes": 2,
            "picks": self.lookups if self._picked else 0, "source": self.moves, "target": self.moves,
        }  # fmt: skip

    def lookups_of_bags(self, bags: slice, lookups: slice) -> tuple[Tensor, Tensor | None]:
        """The ids of the lookups of some bags, and the offsets of these bags, None if each has one lookup."""
        ids = self._device["ids"][lookups]
        if self.one_hot:
            return ids, None
        offsets = self._device["offsets"][bags.start : bags.stop + 1]
        return ids, offsets if lookups.start == 0 else offsets - lookups.start

    @property
    def picks(self) -> Tensor:
        """int32 [n] on the device: which lookup each of the grouped ones is."""
        return self._device["picks"][: self.lookups]

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
