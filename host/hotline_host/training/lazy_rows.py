"""Embedding rows that get their initial values when they are first needed.

    table     | block 0 | block 1 | block 2 | ...     a block is the rows of about one page
    drawn     |   yes   |   no    |   yes   |

A table of any size is there at once, and takes memory, or disk, only for the blocks that were looked up. The values are
those of a table that was drawn as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

import numpy as np
from torch import Tensor

from hotline_device.compiled import compiled
from hotline_device.memory_folder import PAGE_BYTES

from .initial_rows import InitialRows

__all__ = ["LazyRows"]


class LazyRows:
    """Draws the rows of one table in host memory as they are asked for. Any thread may ask.

    Args:
        table: [R, D] of float32 or float64, contiguous: all tables end to end.
        initial: of these rows.
        reserve: called with the first rows of blocks (int64, ascending) and their length in rows, before they are
            drawn. It may raise OSError.

    Attributes:
        block: rows of one block.
    """

    def __init__(
        self, table: Tensor, initial: InitialRows, reserve: Callable[[np.ndarray, int], None] = lambda *_: None
    ) -> None:
        self._table, self._initial, self._reserve = table, initial, reserve
        self.block = max(1, PAGE_BYTES // max(1, table.shape[1] * table.itemsize))
        self._drawn = np.zeros(-(-len(table) // self.block), bool)
        self._lock = Lock()

    def touch(self, keys: np.ndarray) -> None:
        """These rows (integers [n]) have their values from now on.

        Raises:
            OSError: there is no room for them. They may be asked for again.
        """
        with self._lock:
            new = np.sort(_mark(keys, self.block, self._drawn))
            if not len(new):
                return
            try:
                self._reserve(new * self.block, self.block)
                self._initial.draw(self._table, new * self.block, self.block)
            except BaseException:
                self._drawn[new] = False
                raise

    def touch_all(self) -> None:
        """All rows have their values from now on."""
        for first in range(0, len(self._drawn), 1 << 16):
            blocks = np.arange(first, min(first + (1 << 16), len(self._drawn)))
            self.touch(blocks * self.block)

    def drawn(self) -> np.ndarray:
        """bool [blocks]: a copy of which were drawn."""
        with self._lock:
            return self._drawn.copy()


@compiled()
def _mark(keys, block, drawn):
    """Marks the blocks of rows as drawn. Returns those that were not, each once."""
    new = np.empty(keys.size, np.int64)
    count = 0
    for key in keys:
        at = np.int64(key) // block
        if not drawn[at]:
            drawn[at] = True
            new[count] = at
            count += 1
    return new[:count]
