"""Groups the lookups of a mini-batch by row, for the gradient of every row.

    lookup        0  1  2  3  4           row           3            5   8
    row           5  3  8  3  3   ---->   its bags      0, 2, 3      0   1
    bag           0  0  1  2  3           in chunks     0, 2 | 3     0   1       of two lookups each

Long lists are cut into chunks, so that no row keeps one thread of a GPU busy while the others are idle.
"""

from __future__ import annotations

import numpy as np

from hotline_device.compiled import compiled

__all__ = ["CHUNK", "Grouping"]

CHUNK = 64
"""Most lookups of a chunk."""

_DIGIT_BITS = 11


class Grouping:
    """Groups lookups, with scratch memory that is allocated once. Not for two threads at once.

    Args:
        lookups: the most of a mini-batch.
        ids: pool ids are below it.
    """

    def __init__(self, lookups: int, ids: int) -> None:
        self._passes = max(1, -(-max(1, ids - 1).bit_length() // _DIGIT_BITS))
        self._scratch = np.empty((2, lookups), np.int64)
        self._counts = np.empty((self._passes, 1 << _DIGIT_BITS), np.int32)

    def group(
        self, ids: np.ndarray, of: np.ndarray | None, skip: int, bags: np.ndarray, rows: np.ndarray,
        row_chunks: np.ndarray, chunk_starts: np.ndarray,
    ) -> tuple[int, int]:  # fmt: skip
        """Groups n lookups. Costs O(n), whatever the number of rows.

        Args:
            ids: int32 [n], the pool id of each lookup.
            of: int32 [n], the bag of each lookup; None: lookup i is bag i.
            skip: lookups of this id are left out.
            bags: int32 [>= n], filled: the bag of each lookup, those of one row together, rows by ascending id, the
                lookups of a row in input order.
            rows: int32 [>= u], filled: the id of each row that is looked up.
            row_chunks: int32 [>= u + 1], filled: where each row's chunks begin.
            chunk_starts: int32 [>= c + 1], filled: where each chunk begins in `bags`.

        Returns:
            u and c.
        """
        lookups = np.arange(len(ids), dtype=np.int32) if of is None else of
        rows_found, chunks = _group(
            ids, lookups, skip, self._passes, self._scratch, self._counts, bags, rows, row_chunks, chunk_starts
        )
        return int(rows_found), int(chunks)


@compiled()
def _group(ids, of, skip, passes, scratch, counts, bags, rows, row_chunks, chunk_starts):
    mask, n = (1 << _DIGIT_BITS) - 1, 0
    counts[:] = 0
    for i in range(len(ids)):
        if ids[i] != skip:
            scratch[0, n] = np.int64(ids[i]) << 32 | of[i]
            n += 1
            for digit in range(passes):
                counts[digit, ids[i] >> digit * _DIGIT_BITS & mask] += 1
    here = 0
    for digit in range(passes):  # least significant digit first; each pass is stable
        total = 0
        for value in range(mask + 1):
            count = counts[digit, value]
            counts[digit, value] = total
            total += count
        shift = 32 + digit * _DIGIT_BITS
        for i in range(n):
            word = scratch[here, i]
            value = word >> shift & mask
            scratch[1 - here, counts[digit, value]] = word
            counts[digit, value] += 1
        here = 1 - here
    u = c = begin = 0
    for i in range(n):
        word = scratch[here, i]
        bags[i] = word & 0xFFFFFFFF
        if i == 0 or word >> 32 != scratch[here, i - 1] >> 32:
            rows[u], row_chunks[u] = word >> 32, c
            u, begin = u + 1, i
        if (i - begin) % CHUNK == 0:
            chunk_starts[c] = i
            c += 1
    row_chunks[u], chunk_starts[c] = c, n
    return u, c
