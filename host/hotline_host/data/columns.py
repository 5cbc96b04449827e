"""Turns the columns of a log into the arrays of a `ClickLog`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Gather", "encode", "hexadecimal", "integer", "interleave", "numbers", "one_lookup_each", "respell"]


def encode(values: np.ndarray | pa.Array | pa.ChunkedArray) -> tuple[np.ndarray, int]:
    """Number the distinct values of a column from 0, in order of first appearance.

    Args:
        values: any values [n] without nulls; a chunked array may already be dictionary-encoded, chunk by chunk.

    Returns:
        int64 [n], the row of each value, and the number of rows.
    """
    if isinstance(values, np.ndarray):
        values = pa.array(values)
    values = values.unify_dictionaries() if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    chunks = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    rows = np.empty(len(values), np.int64)
    stop = 0
    for chunk in chunks:
        start, stop = stop, stop + len(chunk)
        rows[start:stop] = chunk.indices.to_numpy(zero_copy_only=False)
    return rows, len(chunks[-1].dictionary) if chunks else 0


def one_lookup_each(samples: int, tables: int) -> np.ndarray:
    """Lengths of bags of one lookup: int64 [samples, tables], read-only, with a single 1 in memory."""
    return np.broadcast_to(np.int64(1), (samples, tables))


def interleave(columns: Sequence[np.ndarray], bags: Mapping[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Puts columns, some of which may be multi-hot, into sample-major order.

    Args:
        columns: rows of each table's lookups in sample order: int64 [S], or [sum of lengths] if multi-hot.
        bags: lengths int64 [S] of the multi-hot columns, by table.

    Returns:
        indices int64 [n] and lengths int64 [S, T] as in `ClickLog`.
    """
    samples = next((len(column) for table, column in enumerate(columns) if table not in bags), 0)
    lengths = np.ones((samples, len(columns)), np.int64)
    for table, bag in bags.items():
        lengths[:, table] = bag
    ends = np.cumsum(lengths.ravel()).reshape(lengths.shape)
    starts = ends - lengths
    indices = np.empty(ends[-1, -1] if samples else 0, np.int64)
    for table, column in enumerate(columns):
        if table in bags:
            within = np.arange(len(column)) - np.repeat(np.cumsum(bags[table]) - bags[table], bags[table])
            indices[np.repeat(starts[:, table], bags[table]) + within] = column
        else:
            indices[starts[:, table]] = column
    return indices, lengths


def numbers(column: pa.ChunkedArray) -> np.ndarray:
    """The integers of a dictionary-encoded column of decimal text: int64 [n]; empty text is 0."""
    parts = [np.empty(0, np.int64)]
    for chunk in column.chunks:
        text = pc.if_else(pc.equal(chunk.dictionary, b""), b"0", chunk.dictionary)
        values = text.cast(pa.string()).cast(pa.int64()).to_numpy()
        parts.append(values[chunk.indices.to_numpy()])
    return np.concatenate(parts)


def respell(column: pa.ChunkedArray, spell: Callable[[pa.Array], pa.Array]) -> pa.ChunkedArray:
    """A dictionary-encoded column whose values are replaced by `spell(values)`; values may become equal."""
    chunks = []
    for chunk in column.chunks:
        spelled = spell(chunk.dictionary)
        # Encoded anew only where needed: a dictionary must name a value once.
        same = spelled.equals(chunk.dictionary)
        chunks.append(chunk if same else spelled.take(chunk.indices).dictionary_encode())
    return pa.chunked_array(chunks, column.type)


def hexadecimal(values: pa.Array) -> pa.Array:
    """One spelling for each number of at most 8 hexadecimal digits: lower case, 8 digits; empty stays empty."""
    text = values.cast(pa.string())
    spelled = pc.ascii_lpad(pc.ascii_lower(text), 8, "0")
    return pc.if_else(pc.equal(text, ""), text, spelled).cast(pa.binary())


def integer(values: pa.Array) -> pa.Array:
    """One spelling for each decimal integer: no leading zeros, no minus before 0; empty stays empty."""
    text = values.cast(pa.string())
    spelled = pc.if_else(pc.equal(text, ""), None, text).cast(pa.int64()).cast(pa.string())
    return pc.coalesce(spelled, "").cast(pa.binary())


class Gather:
    """Collects the columns of a log of one lookup a bag, block by block, and numbers their values at the end.

    It holds 4 bytes a lookup. `finish` frees them while it fills the 8 bytes a lookup of a `ClickLog`.
    """

    def __init__(self, tables: int) -> None:
        self._chunks: list[list[pa.Array]] = [[] for _ in range(tables)]

    def add(self, columns: Sequence[pa.ChunkedArray]) -> None:
        """Adds a block: a dictionary-encoded column per table, all of the same length."""
        for chunks, column in zip(self._chunks, columns, strict=True):
            chunks.extend(column.chunks)

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns indices int64 [S * T], sample-major, and rows int64 [T]. The object is empty afterwards."""
        tables = len(self._chunks)
        samples = sum(len(chunk) for chunk in self._chunks[0])
        indices, rows = np.empty((samples, tables), np.int64), np.zeros(tables, np.int64)
        for table, chunks in enumerate(self._chunks):
            if samples:
                indices[:, table], rows[table] = encode(pa.chunked_array(chunks))
            chunks.clear()
        return indices.ravel(), rows
