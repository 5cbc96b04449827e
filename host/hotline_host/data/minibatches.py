"""Parts of a log as mini-batches, which are cut on demand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Sequence as AbstractSequence

from .log import Batch, Log

__all__ = ["MiniBatches", "to_check"]


class MiniBatches(AbstractSequence[Batch]):
    """Samples `start` to `stop` (exclusive) of a log, in order, `size` at a time; the last may be smaller."""

    def __init__(self, log: Log, start: int, stop: int, size: int) -> None:
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

    def samples_of(self, index: int) -> int:
        """Samples of one mini-batch, which is not read for it."""
        return min(self.size, self.samples - index * self.size)


def to_check(batches: Iterable[Batch]) -> Iterable[Batch]:
    """Mini-batches to look at before any is used: if these can be taken, all of `batches` can.

    These are all of them, unless they come from a log that is read or drawn anew for each look.
    """
    if not isinstance(batches, MiniBatches):
        return batches
    extreme = batches.log.extreme(min(batches.size, batches.samples))
    return batches if extreme is None else [extreme]
