"""Mini-batches split one after another by an accelerator that follows popularity meanwhile.

mini-batch        0   1   2   3   4   5   6   7   8   9  ...
also learned                  L               L              relearn_share 0.25
SELECT before                                     S          select_every 8
"""

from __future__ import annotations

from dataclasses import dataclass

from hotline_host.data.log import Batch

from .driver import Driver, Moves, Split

__all__ = ["Followed", "Follower"]


@dataclass(frozen=True)
class Followed:
    """A mini-batch that was split.

    Attributes:
        split: under the hot set that was chosen before it.
        moves: what the SELECT right before it changed, None where there was none.
        cycles: clock cycles that the split took, 0 on a backend without cycles.
    """

    batch: Batch
    split: Split
    moves: Moves | None
    cycles: int


class Follower:
    """Splits mini-batches in order.

    Args:
        driver: of the accelerator that learned.
        relearn_share: share of the mini-batches that are also learned from, evenly spread.
        select_every: mini-batches between two SELECTs.
        by_bag: learn by bag, as `Driver.classify`.
    """

    def __init__(
        self, driver: Driver, relearn_share: float = 0.0, select_every: int = 1, *, by_bag: bool = False
    ) -> None:
        self.driver, self.relearn_share, self.select_every = driver, relearn_share, select_every
        self.by_bag = by_bag
        self._steps = 0
        self._cycles = driver.cycles()

    def split(self, batch: Batch) -> Followed:
        """The next mini-batch."""
        step, self._steps = self._steps, self._steps + 1
        select = self.relearn_share > 0 and step > 0 and step % self.select_every == 0
        moves = self.driver.select() if select else None
        relearn = int((step + 1) * self.relearn_share) > int(step * self.relearn_share)
        split = self.driver.classify(batch, relearn=relearn, by_bag=self.by_bag)
        before, self._cycles = self._cycles, self.driver.cycles()
        return Followed(batch, split, moves, self._cycles - before)
