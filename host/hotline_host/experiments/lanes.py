"""How busy the accelerator's lanes are, and what the busiest bank allows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hotline_host.data.log import Batch
from hotline_hw.spec.feistel import mix
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import ROW_FIELD, TABLE_FIELD

__all__ = ["LaneFigures", "LaneUse", "bank_cycles"]

_ROWS, _TABLE = np.uint64(ROW_FIELD.mask), np.uint64(TABLE_FIELD.low)


@dataclass(frozen=True)
class LaneFigures:
    """Lookups per lane and clock cycle of the core, of mini-batches that were learned from or of the others.

    Attributes:
        lookups: of these mini-batches.
        busy: lookups per lane and cycle. None without a clock.
        limit: the most that the data allow: a bank takes one lookup a cycle, and the busiest one all of its own.
        limit_without_front: the same if the banks had to answer for the rows of the front table too.
    """

    lookups: int
    busy: float | None
    limit: float
    limit_without_front: float


@dataclass
class _Sums:
    lookups: int = 0
    cycles: int = 0
    limit: int = 0
    limit_without_front: int = 0


@dataclass
class LaneUse:
    """Adds mini-batches up, apart by whether they were learned from."""

    geometry: Geometry
    sums: dict[str, _Sums] = field(default_factory=dict)

    def record(self, batch: Batch, slots: np.ndarray, front: np.ndarray, cycles: int, *, learned: bool) -> None:
        """Takes in a mini-batch.

        Args:
            slots: integers [n], of each lookup's row, -1 where it is cold.
            front: uint64 [f], lookup words of the front table's rows, without `last`.
            cycles: clock cycles that it was in the core, 0 without a clock.
        """
        words = batch.tables.astype(np.uint64) << _TABLE | batch.indices.astype(np.uint64)
        answered = np.isin(words, front) & (slots >= 0)
        each = self.sums.setdefault("learned" if learned else "classified", _Sums())
        each.lookups += len(words)
        each.cycles += cycles
        each.limit += bank_cycles(self.geometry, words, answered)
        each.limit_without_front += bank_cycles(self.geometry, words, np.zeros(len(words), bool))

    def figures(self) -> dict[str, LaneFigures]:
        """By "learned" and "classified", those that there were."""
        lanes = self.geometry.lanes
        return {
            kind: LaneFigures(
                each.lookups,
                each.lookups / each.cycles / lanes if each.cycles else None,
                each.lookups / each.limit / lanes,
                each.lookups / each.limit_without_front / lanes,
            )
            for kind, each in self.sums.items()
            if each.lookups
        }


def bank_cycles(geometry: Geometry, words: np.ndarray, answered: np.ndarray) -> int:
    """The fewest cycles for lookup words (uint64 [n], without `last`): of all lanes, or of the busiest bank.

    Args:
        answered: bool [n], lookups that go to no bank.
    """
    asked = words[~answered]
    keys = asked >> _TABLE << np.uint64(geometry.row_bits) | asked & _ROWS
    banks = mix(keys, geometry.key_bits) & np.uint64(geometry.banks - 1)
    busiest = int(np.bincount(banks.astype(np.int64), minlength=1).max())
    return max(-(-len(words) // geometry.lanes), busiest)
