"""Which rows the front table should hold: those of the most lookups."""

from __future__ import annotations

from typing import Any

import numpy as np

from hotline_hw.spec.words import LAST_FIELD

__all__ = ["FrontChooser"]

_SAMPLED = 2048  # lookups of a mini-batch that are looked at
_GOLDEN_SECTION = 0.618033988749895
_LEAST = 8  # the fewest lookups of a row that say something
_PERIOD = 16  # mini-batches between two looks, if there is no SELECT


class FrontChooser:
    """Chooses the rows of one front table from samples of the mini-batches that are sent.

    It depends on these mini-batches alone, so a run can be repeated. The lookups to look at are spread over the whole
    mini-batch by steps of the golden section, so that no table is favoured. A row is worth a place from the share of
    lookups on with which it fills an eighth of its bank's time, and from a few lookups on. Rows that are in the table
    already count twice, so that it does not change back and forth between rows that are about as frequent.

    Args:
        rows: places of the table.
        lanes: lookups that the accelerator takes in a cycle. A bank takes one.

    Attributes:
        table: uint64 [up to `rows`], the lookup words of the rows that are in the table, without `last`.
    """

    def __init__(self, rows: int, lanes: int) -> None:
        self.rows = rows
        self._least_share = 1 / (8 * lanes)
        self.emptied()

    def emptied(self) -> None:
        """The accelerator has emptied the table."""
        self.table = np.empty(0, np.uint64)
        self._left = 0  # mini-batches until the next look

    def selected(self) -> None:
        """The hot rows were chosen anew. The next mini-batch is looked at."""
        self._left = 0

    @property
    def lookups(self) -> np.ndarray:
        """uint64: `table` as a mini-batch, each row a sample."""
        return self.table | np.uint64(1 << LAST_FIELD.low)

    def state(self) -> dict[str, Any]:
        """For `resume`."""
        return {"table": self.table.copy(), "left": self._left}

    def resume(self, state: dict[str, Any]) -> None:
        """Goes on from what `state` gave. The accelerator must be given the table."""
        self.table, self._left = np.asarray(state["table"]), state["left"]

    def due(self) -> bool:
        """Takes note of a mini-batch. Returns whether it is to be looked at."""
        look, self._left = self._left == 0, (self._left or _PERIOD) - 1
        return look

    def positions(self, lookups: int) -> np.ndarray:
        """Which of a mini-batch's lookups are looked at: int64 [up to _SAMPLED], some of them perhaps twice."""
        if lookups <= _SAMPLED:
            return np.arange(lookups)
        return (np.arange(_SAMPLED) * _GOLDEN_SECTION % 1.0 * lookups).astype(np.int64)

    def choose(self, words: np.ndarray) -> bool:
        """Takes lookup words, uint64 [n] without `last`, of a sample. Returns whether `table` is another now."""
        found, counts = np.unique(words, return_counts=True)
        kept = np.isin(found, self.table)
        score = counts * (1 + kept)
        order = np.argsort(-score, kind="stable")[: self.rows]
        order = order[score[order] >= max(_LEAST, self._least_share * len(words))]
        if kept[order].all():
            return False
        self.table = found[order]
        return True
