"""Parts of a log as mini-batches, which are cut on demand."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as AbstractSequence

from .log import Batch, ClickLog

__all__ = ["MiniBatches", "most_lookups"]


def most_lookups(log: ClickLog, size: int) -> int:
    """The most lookups of any `size` consecutive samples."""
    offsets = log.sample_offsets
    return int((offsets[min(size, log.size) :] - offsets[: len(offsets) - min(size, log.size)]).max())


class MiniBatches(AbstractSequence[Batch]):
    """Samples `start` to `stop` (exclusive) of a log, in order, `size` at a time; the last may be smaller."""

    def __init__(self, log: ClickLog, start: int, stop: int, size: int) -> None:
        self.log, self.start, self.stop, self.size = log, start, stop, size

    def __len__(self) -> int:
        return -(-(self.stop - self.start) // self.size)

    def __getitem__(self, index: int) -> Batch:  # type: ignore[override]  # no slices
        if not 0 <= index < len(self):
            raise IndexError(f"there is no mini-batch {index}; there are {len(self)}")
        start = self.start + index * self.size
        return self.log.batch(start, min(start + self.size, self.stop))

    def __iter__(self) -> Iterator[Batch]:
        return (self[index] for index in range(len(self)))

    @property
    def samples(self) -> int:
        return self.stop - self.start
