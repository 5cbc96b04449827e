"""Which process keeps which cold row, where tables are sharded over several.

    key --> mixed = key * multiplier mod R       a bijection on 0 to R - 1, which scatters neighbours
    owner = the N-th part of that range in which it falls; local = its place in that part

So a process needs no map from keys to its rows, and no two ranks' shares differ by more than one row. The multiplier is
about R divided by the golden ratio (Knuth's multiplicative hashing), and has no factor in common with R.
"""

from __future__ import annotations

from math import gcd

import numpy as np

__all__ = ["Shards"]

_GOLDEN = 0.6180339887498949


class Shards:
    """R rows over N ranks.

    Args:
        rows: R, below 2^31.
        ranks: N.

    Attributes:
        begins: int64 [N + 1], the first of each rank's part of the mixed keys.
    """

    def __init__(self, rows: int, ranks: int) -> None:
        self._rows, self._ranks = rows, ranks
        self._multiplier = max(1, int(_GOLDEN * rows))
        while gcd(self._multiplier, rows) > 1:
            self._multiplier += 1
        self.begins = -(-np.arange(ranks + 1, dtype=np.int64) * rows // ranks)

    def owner(self, keys: np.ndarray) -> np.ndarray:
        """int64 [n]: the rank that keeps each row."""
        return self._mixed(keys) * self._ranks // self._rows

    def local(self, keys: np.ndarray) -> np.ndarray:
        """int64 [n]: which of its owner's rows each row is."""
        mixed = self._mixed(keys)
        return mixed - self.begins[mixed * self._ranks // self._rows]

    def count(self, rank: int) -> int:
        """Rows that a rank keeps."""
        return int(self.begins[rank + 1] - self.begins[rank])

    def _mixed(self, keys: np.ndarray) -> np.ndarray:
        return np.asarray(keys, np.int64) * self._multiplier % self._rows
