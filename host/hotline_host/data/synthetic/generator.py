"""Generated click logs: as a stream of any length in constant memory, or as a `ClickLog`.

    stream = Stream("kaggle,shift=100000", seed=1)
    for batch in stream.batches(1_000_000_000):
        ...

docs/synthetic.md says how they are drawn, and how close they are to real logs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from hotline_host.data.delimited import Progress
from hotline_host.data.log import Batch, ClickLog, DataError, Log, extreme_batch, in_memory

from .clusters import Clusters
from .labels import Labels
from .options import Options, parse
from .random import U, derive
from .rows import Numbering, merge_rare
from .shapes import SHAPES
from .taobao import Taobao

__all__ = ["CHUNK", "DEFAULT_SAMPLES", "DrawnLog", "Stream", "load", "open_log"]

DEFAULT_SAMPLES = 80_000
"""Samples of a log if no number is given."""

CHUNK = 16_384
"""Samples drawn at once."""

SMALL_ROWS = 10_000
"""A table of so many rows keeps all of them, whatever the share of the vocabulary."""


class Stream:
    """A generated log that is drawn as it is read: any stretch of it, in any order, in memory for only that stretch.

    Sample s of a seed is the same whatever is drawn before it and however long the log is.

    Args:
        spec: what follows `synthetic:`, a name and its options; see `options`.
        seed: 0 to 2^64 - 1.

    Attributes:
        name: "synthetic:" and the spec.
        tables: name of each table.
        rows: int64 [T], rows of each table, the full vocabulary, whether or not a row ever occurs.
        pooling: int64 [T], lookups in each table's bag, the same for every sample.
        dense_features: F.
        lookups: L, of a sample.
        dimension: embedding dimension usual for this data.
        options: as parsed.

    Raises:
        DataError: an unknown name or option, an invalid value or seed.
    """

    def __init__(self, spec: str, *, seed: int = 0) -> None:
        if not 0 <= seed < 1 << 64:
            raise DataError(f"synthetic:{spec}: seed={seed}; a seed is 0 or more, and below 2^64")
        name, self.options = parse(spec)
        shape = SHAPES[name]
        self.name = f"synthetic:{spec}"
        self.tables = shape.tables
        self.rows = np.array(shape.rows, np.int64)
        self.pooling = np.array(shape.pooling, np.int64)
        self.dense_features = shape.dense
        self.dimension = shape.dimension
        self.lookup_tables = np.repeat(np.arange(len(self.tables)), self.pooling)
        """int64 [L]: table of each lookup of a sample."""
        self.lookups = len(self.lookup_tables)
        self._source = _source(name, self.options, seed)
        self._label_key = derive(U(seed), 2)
        self._labels = Labels(self.lookup_tables, self.pooling, shape.dense, seed)
        indices, dense, _ = self._room(CHUNK)
        self._source.draw(0, indices, dense)
        self._labels.calibrate(indices, dense)

    def draw(self, start: int, stop: int) -> Batch:
        """Samples `start` to `stop` (exclusive); indices are raw rows, each below its table's `rows`."""
        indices, dense, label = self._room(stop - start)
        self._fill(start, indices, dense, label)
        lengths = np.broadcast_to(self.pooling, (stop - start, len(self.tables)))
        return Batch(indices=indices.ravel(), lengths=lengths, dense=dense, label=label)

    def batches(self, samples: int | None = None, *, start: int = 0, size: int = CHUNK) -> Iterator[Batch]:
        """Batches of `size` samples from sample `start` on, as `draw` returns them. Each has memory of its own.

        They end after `samples` samples; if that is None, they never end.
        """
        stop = None if samples is None else start + samples
        while stop is None or start < stop:
            until = start + size if stop is None else min(start + size, stop)
            yield self.draw(start, until)
            start = until

    def log(self, samples: int, *, progress: Progress | None = None) -> ClickLog:
        """The first samples of the stream. Rows are numbered from 0 in order of first appearance, unless the option
        vocabulary says otherwise.

        Takes 8 bytes a lookup, 4 a dense feature and 20 a sample; also 24 to 48 a distinct row while it is made.

        Args:
            samples: how many.
            progress: called with the samples drawn so far.

        Raises:
            DataError: more samples than fit in memory.
        """
        try:
            indices, dense, label = self._room(samples)
        except (MemoryError, ValueError) as error:  # ValueError: more than an array can have
            raise DataError(f"{self.name}: {samples} samples do not fit in memory ({error}); take fewer") from None
        numbering = Numbering(len(self.tables))
        most = _share(self.rows, self.options.vocabulary) if self.options.vocabulary else None
        for start in range(0, samples, CHUNK):
            stop = min(start + CHUNK, samples)
            self._fill(start, indices[start:stop], dense[start:stop], label[start:stop])
            if most is None:
                numbering.number(indices[start:stop], self.lookup_tables)
            else:
                indices[start:stop] %= most[self.lookup_tables]
            if progress is not None:
                progress("drawing samples", stop, samples)
        rows, rule = numbering.rows, ClickLog.rule
        if most is not None:
            rows, rule = most, f"raw rows, hashed into {self.options.vocabulary:g} of the full vocabulary"
        if self.options.rare > 1:
            rows = merge_rare(indices, self.lookup_tables, rows, self.options.rare)
            rule = f"values seen fewer than {self.options.rare} times in the log share one row of their table"
        return ClickLog(
            name=self.name,
            tables=self.tables,
            rows=rows,
            indices=indices.reshape(-1),
            lengths=np.broadcast_to(self.pooling, (samples, len(self.tables))),
            dense=dense,
            label=label,
            rule=rule,
            dimension=self.dimension,
        )

    def _room(self, samples: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return (
            np.empty((samples, len(self.lookup_tables)), np.int64),
            np.empty((samples, self.dense_features), np.float32),
            np.empty(samples, np.float32),
        )

    def _fill(self, start: int, indices: np.ndarray, dense: np.ndarray, label: np.ndarray) -> None:
        self._source.draw(start, indices, dense)
        self._labels.draw(self._label_key, start, indices, dense, label)


def _share(rows: np.ndarray, share: float) -> np.ndarray:
    """int64 [T]: rows of each table that has `share` of the vocabulary."""
    return np.minimum(rows, np.maximum(np.ceil(share * rows).astype(np.int64), SMALL_ROWS))


def _source(name: str, options: Options, seed: int) -> Clusters | Taobao:
    if name == "taobao":
        return Taobao(SHAPES[name], seed, independent=options.independent)
    return Clusters(
        SHAPES[name], seed, shift=options.shift, shift_share=options.shift_share, independent=options.independent
    )


def load(spec: str, *, samples: int | None = None, seed: int = 0, progress: Progress | None = None) -> ClickLog:
    """Draws a log; see `Stream`, whose errors it raises. 80,000 samples unless told how many."""
    stream, count = Stream(spec, seed=seed), DEFAULT_SAMPLES if samples is None else samples
    return in_memory(DrawnLog(stream, count)) if stream.options.rows else stream.log(count, progress=progress)


def open_log(spec: str, *, samples: int | None = None, seed: int = 0, progress: Progress | None = None) -> Log:
    """As `load`, but a log whose rows need no numbers is drawn while it is used."""
    stream = Stream(spec, seed=seed)
    if stream.options.rows:
        return DrawnLog(stream, DEFAULT_SAMPLES if samples is None else samples)
    return load(spec, samples=samples, seed=seed, progress=progress)


class DrawnLog:
    """A `Log` that is the beginning of a stream. It holds no sample: every mini-batch is drawn when it is asked for.

    Args:
        stream: with the option `rows`.
        samples: how many.
    """

    skipped = 0

    def __init__(self, stream: Stream, samples: int) -> None:
        self.name, self.tables, self.dimension = stream.name, stream.tables, stream.dimension
        self.size, self.dense_features, self.lookups = samples, stream.dense_features, samples * stream.lookups
        self.rows = np.minimum(stream.rows, stream.options.rows)
        self.rule = f"raw rows, those of a table of more than {stream.options.rows} hashed into that number"
        self._stream = stream

    def batch(self, start: int, stop: int) -> Batch:
        raw = self._stream.draw(min(start, self.size), min(stop, self.size))
        indices = raw.indices.reshape(raw.size, -1)
        indices %= self.rows[self._stream.lookup_tables]
        return replace(raw, lengths=np.ascontiguousarray(raw.lengths))

    def most_lookups(self, size: int) -> int:
        return min(size, self.size) * self._stream.lookups

    def extreme(self, size: int) -> Batch:
        return extreme_batch(self.rows, self._stream.pooling, size, self.dense_features)
