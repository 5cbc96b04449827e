"""Learns popularity, then splits mini-batches one after another while the hot rows follow it.

mini-batch        0   1   2   3   4   5   6   7   8   9  ...
also learned                  L               L              relearn_share 0.25
SELECT before                                     S          select_every 8
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from hotline_host.data.delimited import Progress
from hotline_host.data.log import Batch
from hotline_host.plan import Followed
from hotline_host.tracking.aging import AgingControl
from hotline_hw.spec.policy import Policy
from hotline_hw.spec.regmap import WEIGHTS

from .driver import Driver

__all__ = ["OBJECTIVES", "FollowOptions", "Follower", "learn"]


OBJECTIVES: dict[str, tuple[int, ...]] = {"samples": WEIGHTS, "rows": (8,) * len(WEIGHTS)}
"""Update weights by what the hot rows are chosen for: the most popular samples, or the fewest cold rows to be fetched.

For rows every lookup weighs the same. A large weight saturates the counters of 8 bits sooner, so that they follow what
is recent (docs/decisions.md has figures).
"""


@dataclass(frozen=True, kw_only=True)
class FollowOptions:
    """How the hot rows follow popularity.

    Attributes:
        relearn_share: share of the mini-batches that are also learned from, evenly spread.
        select_every: mini-batches between two SELECTs, while learning and afterwards.
        move_limit: most rows that one SELECT makes hot after learning; None: as many as the accelerator can.
        by_bag: learn by bag, see `Driver.learn`.
        objective: what the hot rows are chosen for, a key of OBJECTIVES; None: "samples".
    """

    relearn_share: float = 0.0
    select_every: int = 1
    move_limit: int | None = None
    by_bag: bool = False
    objective: str | None = None

    def policy(self) -> Policy:
        """The tracker's policy for the objective."""
        return Policy(weights=OBJECTIVES[self.objective or "samples"])


def learn(driver: Driver, batches: Sequence[Batch], options: FollowOptions, progress: Progress) -> None:
    """Learns popularity from mini-batches under the budget in place. Counters are zero afterwards.

    Raises:
        DriverError: a mini-batch is beyond the accelerator. Nothing has been learned then.
    """
    aging = AgingControl()
    driver.configure(options.policy(), aging)
    report = partial(progress, "learning popularity, mini-batches")
    driver.learn(
        batches, lambda done: report(done, len(batches)), select_every=options.select_every, by_bag=options.by_bag
    )
    if options.move_limit is not None:
        driver.configure(replace(options.policy(), move_limit=options.move_limit), aging)
    driver.reset_counters()


class Follower:
    """Splits mini-batches in order.

    Args:
        driver: of an accelerator that has learned.
        options: None: the hot rows stay as they were learned.

    Attributes:
        steps: mini-batches that were split.
        learned: the newest mini-batch was learned from too.
    """

    def __init__(self, driver: Driver, options: FollowOptions | None = None) -> None:
        self.learned = False
        self._driver, self._options = driver, options or FollowOptions()
        self.steps = 0
        self._cycles = driver.cycles()

    def split(self, batch: Batch) -> Followed:
        """Splits the next mini-batch."""
        options = self._options
        step, self.steps = self.steps, self.steps + 1
        select = options.relearn_share > 0 and step > 0 and step % options.select_every == 0
        moves = self._driver.select() if select else None
        self.learned = int((step + 1) * options.relearn_share) > int(step * options.relearn_share)
        split = self._driver.classify(batch, relearn=self.learned, by_bag=options.by_bag)
        before, self._cycles = self._cycles, self._driver.cycles()
        return Followed(batch, split, moves, self._cycles - before)
