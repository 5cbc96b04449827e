"""A Criteo log that is read while it is used: memory for two blocks of text, whatever its length.

    first pass      all files, in order --> which values occur, where each block of text begins
    training        block of a sample --> labels, dense features, rows (`hashed`) --> mini-batches

Mini-batches are quickest in order. To begin elsewhere, the block of that sample is looked up and its file opened there;
a compressed file must be unpacked up to that place.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
import pyarrow as pa

from .columns import numbers
from .criteo import DENSE, TABLES, dense_features, files_of, read_text
from .delimited import Position, Progress
from .hashed import MAX_CELLS, Cells, values_of
from .log import MLPERF_ROWS, Batch, DataError, extreme_batch

__all__ = ["CriteoStream", "can_stream"]


@dataclass(frozen=True)
class _Block:
    """Where a block of text begins, and the number of its first sample."""

    file: int
    position: Position
    first: int


def can_stream(path: Path) -> bool:
    """Whether all files of a name can be read twice. A pipe cannot."""
    return all(file.is_file() for file in files_of(path))


class CriteoStream:
    """A `Log`: as `criteo.load`, but for the numbers of its rows, see `hashed`.

    Args:
        path, skip_bad, samples: as `criteo.load`.
        rows: most rows of a table; values are taken modulo this number. A missing value has a row of its own.
        progress: called with the bytes of each file that the first pass has read.

    Raises:
        DataError: as `criteo.load`, and for another number of rows than 1 to 2^32.
    """

    def __init__(
        self, path: Path, *, rows: int = MLPERF_ROWS, skip_bad: bool = False, samples: int | None = None,
        progress: Progress | None = None,
    ) -> None:  # fmt: skip
        if not 1 <= rows <= MAX_CELLS:
            raise DataError(f"criteo:{path},rows={rows}; a table has 1 to {MAX_CELLS} rows at most")
        self.name, self.tables, self.dimension = f"criteo:{path.name}", TABLES, None
        self.dense_features = len(DENSE)
        self.rule = f"values modulo {rows}; a missing value is a row of its own"
        self._files, self._skip_bad, self._samples = files_of(path), skip_bad, samples
        self._cells = [Cells(rows) for _ in TABLES]
        self._blocks: list[_Block] = []
        self.size = self.skipped = 0
        self._read_all(progress)
        for cells in self._cells:
            cells.number()
        self.rows = np.array([cells.rows for cells in self._cells], np.int64)
        self.lookups = self.size * len(TABLES)
        self._lock = Lock()
        self._coming: Iterator[Batch] = iter(())
        self._next = 0  # block that `_coming` gives next
        self._block: Batch | None = None  # the one before it

    def batch(self, start: int, stop: int) -> Batch:
        start, stop = min(start, self.size), min(stop, self.size)
        with self._lock:
            parts: list[Batch] = []
            while start < stop or not parts:
                block, first = self._block_of(min(start, self.size - 1))
                end = min(stop - first, block.size)
                parts.append(_part(block, start - first, end))
                start = first + end
        if len(parts) == 1:
            return parts[0]
        return Batch(*(np.concatenate(each) for each in zip(*map(_arrays, parts), strict=True)))

    def most_lookups(self, size: int) -> int:
        return min(size, self.size) * len(TABLES)

    def extreme(self, size: int) -> Batch:
        return extreme_batch(self.rows, np.ones(len(TABLES), np.int64), size, len(DENSE))

    def _read_all(self, progress: Progress | None) -> None:
        """The first pass."""
        for number, file in enumerate(self._files):
            left = self._left(self.size)
            if left == 0:
                break
            with read_text(file, skip_bad=self._skip_bad, limit=left) as (reader, done, size):
                at = reader.position
                for table in reader.tables():
                    self._blocks.append(_Block(number, at, self.size))
                    self.size, at = self.size + table.num_rows, reader.position
                    for cells, column in zip(self._cells, table.columns[1 + len(DENSE) :], strict=True):
                        for chunk in column.chunks:
                            cells.mark(values_of(chunk.dictionary))
                    if progress is not None:
                        progress(f"reading {file.name} for the first time", done(), size)
                self.skipped += reader.skipped

    def _left(self, before: int) -> int | None:
        """Samples to read behind so many; None: all."""
        return None if self._samples is None else self._samples - before

    def _block_of(self, sample: int) -> tuple[Batch, int]:
        """The block with a sample, and the number of its first one."""
        number = bisect_right(self._blocks, sample, key=lambda block: block.first) - 1
        if self._block is None or number != self._next - 1:
            if number != self._next or self._block is None:
                self._coming, self._next = self._read_from(number), number
            self._block = None  # its memory is free for the next one
            self._block = next(self._coming)
            self._next += 1
        return self._block, self._blocks[number].first

    def _read_from(self, number: int) -> Iterator[Batch]:
        """The blocks from this one on."""
        while number < len(self._blocks):
            first = self._blocks[number]
            file = self._files[first.file]
            left = self._left(first.first)  # so that the last block is cut as it was
            with read_text(file, skip_bad=self._skip_bad, limit=left, start=first.position) as (reader, *_):
                at = reader.position
                for table in reader.tables():
                    own = self._blocks[number] if number < len(self._blocks) else None
                    end = self._blocks[number + 1].first if number + 1 < len(self._blocks) else self.size
                    if not own or own.file != first.file or own.position != at or table.num_rows != end - own.first:
                        raise self._changed(file)
                    yield self._lay_out(table, file)
                    number, at = number + 1, reader.position
            if number < len(self._blocks) and self._blocks[number].file == first.file:
                raise self._changed(file)

    def _lay_out(self, table: pa.Table, file: Path) -> Batch:
        """A block of text as one mini-batch."""
        columns, size = table.columns, table.num_rows
        indices = np.empty((size, len(TABLES)), np.int64)
        for number, (cells, column) in enumerate(zip(self._cells, columns[1 + len(DENSE) :], strict=True)):
            stop = 0
            for chunk in column.chunks:
                start, stop = stop, stop + len(chunk)
                rows = cells.row_of(values_of(chunk.dictionary))
                if rows is None:
                    raise self._changed(file)
                indices[start:stop, number] = rows[chunk.indices.to_numpy()]
        return Batch(
            indices=indices.ravel(),
            lengths=np.broadcast_to(np.int64(1), indices.shape),
            dense=dense_features(columns[1 : 1 + len(DENSE)]),
            label=numbers(columns[0]).astype(np.float32),
        )

    @staticmethod
    def _changed(file: Path) -> DataError:
        return DataError(f"{file} has changed since it was read for the first time; start again")


def _part(block: Batch, start: int, stop: int) -> Batch:
    tables = block.lengths.shape[1]
    return Batch(
        indices=block.indices[start * tables : stop * tables],
        lengths=np.ascontiguousarray(block.lengths[start:stop]),
        dense=block.dense[start:stop],
        label=block.label[start:stop],
    )


def _arrays(batch: Batch) -> tuple[np.ndarray, ...]:
    return batch.indices, batch.lengths, batch.dense, batch.label
