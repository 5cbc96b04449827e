"""Which rows the front table should hold: those that make a bank the bottleneck."""

from __future__ import annotations

from typing import Any

import numpy as np

from hotline_hw.spec.feistel import mix
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import LAST_FIELD, ROW_FIELD, TABLE_FIELD

__all__ = ["FrontChooser"]

_SAMPLED = 2048  # lookups of a mini-batch that are looked at
_GOLDEN_SECTION = 0.618033988749895
_COST = 128  # cycles of the core for a new table, about: what was under way leaves, and keys are loaded one by one


class FrontChooser:
    """Chooses the rows of one front table from samples of the mini-batches that are sent.

    A bank takes one lookup a cycle. So a mini-batch takes as long as the busiest bank, if that has more lookups than
    beats. The sample says how long that is with the present table, and with its most frequent rows in the table. The
    table changes if the mini-batch then ends sooner by more than the change costs. All of it depends on what was sent
    alone, so a run can be repeated.

    Args:
        geometry: of the accelerator.

    Attributes:
        table: uint64 [up to `front_rows`], the lookup words of the rows that are in the table, without `last`.
    """

    def __init__(self, geometry: Geometry) -> None:
        self._geometry = geometry
        self.emptied()

    def emptied(self) -> None:
        """The accelerator has emptied the table."""
        self.table = np.empty(0, np.uint64)

    @property
    def lookups(self) -> np.ndarray:
        """uint64 [n]: the lookups of the descriptor that puts these rows into the table, each a sample of its own."""
        return self.table | np.uint64(1 << LAST_FIELD.low)

    def state(self) -> dict[str, Any]:
        """All that decides how the choice goes on."""
        return {"table": self.table}

    def resume(self, state: dict[str, Any]) -> None:
        """Goes on from what `state` gave. The accelerator's table must then hold `lookups`."""
        self.table = np.asarray(state["table"], np.uint64)

    def positions(self, lookups: int) -> np.ndarray:
        """Which of a mini-batch's lookups to look at: int64 [up to _SAMPLED], some of them perhaps twice.

        They are spread over the whole mini-batch by steps of the golden section, so that no table is favoured.
        """
        if lookups <= _SAMPLED:
            return np.arange(lookups)
        return (np.arange(_SAMPLED) * _GOLDEN_SECTION % 1.0 * lookups).astype(np.int64)

    def choose(self, words: np.ndarray, lookups: int) -> bool:
        """Takes lookup words, uint64 [n] without `last`, of a mini-batch. Returns whether `table` is another now.

        Args:
            lookups: of the whole mini-batch.
        """
        found, counts = np.unique(words, return_counts=True)
        order = np.argsort(-counts, kind="stable")[: self._geometry.front_rows]
        frequent = np.zeros(len(found), bool)
        frequent[order] = True
        banks = self._banks(found)
        before, after = (self._cycles(banks, counts, there) for there in (np.isin(found, self.table), frequent))
        if (before - after) * lookups <= _COST * len(words):
            return False
        self.table = found[order]
        return True

    def _banks(self, words: np.ndarray) -> np.ndarray:
        g = self._geometry
        rows = words & np.uint64(ROW_FIELD.mask)
        keys = words >> np.uint64(TABLE_FIELD.low) << np.uint64(g.row_bits) | rows
        return (mix(keys, g.key_bits) & np.uint64(g.banks - 1)).astype(np.int64)

    def _cycles(self, banks: np.ndarray, counts: np.ndarray, answered: np.ndarray) -> float:
        """Cycles for the sample: of its beats, or of the busiest bank. `answered` rows ask no bank."""
        asked = np.bincount(banks, np.where(answered, 0, counts), minlength=1)
        return max(float(asked.max()), counts.sum() / self._geometry.lanes)
