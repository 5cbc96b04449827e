"""Numbers the values of a log's columns in memory that does not grow with the log.

    value v, 32 bits --> cell v % N --> a bit says that the cell occurs --> row = cells below it that occur
    missing        ----> cell N

Two passes: the first marks the cells that occur, the second asks for rows. So a table of few values has few rows, and
none has more than N + 1. Values whose cells are equal share a row, as is usual for Criteo's logs.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hotline_device.compiled import compiled

__all__ = ["MAX_CELLS", "Cells", "values_of"]

MAX_CELLS = 1 << 32
"""With so many cells a value of 32 bits has one for itself."""

_WORD_BITS = 64
_DIGITS = np.full(256, 0, np.uint32)
for _digit in range(16):
    _DIGITS[ord(f"{_digit:x}")] = _DIGITS[ord(f"{_digit:X}")] = _digit


class Cells:
    """The cells of one table. Takes N / 8 bytes, and twice that once `number` was called.

    Args:
        count: N, 1 to MAX_CELLS.

    Attributes:
        rows: cells that occur; there from `number` on.
    """

    def __init__(self, count: int) -> None:
        self.rows = 0
        self._count = count
        self._words = np.zeros((count + _WORD_BITS) // _WORD_BITS, np.uint64)
        self._below: np.ndarray | None = None  # cells that occur in the words before each

    def mark(self, values: np.ndarray) -> None:
        """These values (as `values_of` gives them) occur."""
        _mark(self._words, values, self._count)

    def number(self) -> None:
        """All values were marked."""
        self._below = np.empty(len(self._words), np.int64)
        self.rows = _count(self._words, self._below)

    def row_of(self, values: np.ndarray) -> np.ndarray | None:
        """int64 [n], the row of each value; None if one of them was not marked."""
        assert self._below is not None, "number comes first"
        rows = np.empty(len(values), np.int64)
        return rows if _row_of(self._words, self._below, values, self._count, rows) else None


def values_of(texts: pa.Array) -> np.ndarray:
    """int64 [n]: the number that each text of at most 8 hexadecimal digits (binary) is; -1 where it is empty."""
    lengths = pc.binary_length(texts).to_numpy(zero_copy_only=False)
    padded = pc.ascii_lpad(texts.cast(pa.string()), 8, "0").cast(pa.binary(8))
    start = 8 * padded.offset
    digits = _DIGITS[np.frombuffer(padded.buffers()[1], np.uint8)[start : start + 8 * len(padded)].reshape(-1, 8)]
    values = np.zeros(len(padded), np.uint32)
    for column in digits.T:
        values = values << np.uint32(4) | column
    return np.where(lengths > 0, values.astype(np.int64), -1)


@compiled()
def _mark(words, values, count):
    for value in values:
        cell = value % count if value >= 0 else count
        words[cell >> 6] |= np.uint64(1) << np.uint64(cell & 63)


@compiled(inline="always")
def _ones(word):
    """Bits of a word that are set."""
    word -= word >> np.uint64(1) & np.uint64(0x5555555555555555)
    word = (word & np.uint64(0x3333333333333333)) + (word >> np.uint64(2) & np.uint64(0x3333333333333333))
    word = word + (word >> np.uint64(4)) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64(word * np.uint64(0x0101010101010101) >> np.uint64(56))


@compiled()
def _count(words, below):
    """Fills `below`: bits that are set in the words before each. Returns how many are set in all."""
    ones = 0
    for at in range(words.size):
        below[at] = ones
        ones += _ones(words[at])
    return ones


@compiled()
def _row_of(words, below, values, count, rows):
    """Fills `rows`. Returns whether every value was marked."""
    for at in range(values.size):
        value = values[at]
        cell = value % count if value >= 0 else count
        word, bit = words[cell >> 6], np.uint64(cell & 63)
        if not word >> bit & np.uint64(1):
            return False
        rows[at] = below[cell >> 6] + _ones(word & ((np.uint64(1) << bit) - np.uint64(1)))
    return True
