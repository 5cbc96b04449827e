"""The accelerator as a splitter."""

from __future__ import annotations

from typing import Any

import numpy as np

from hotline_host.data.log import Batch
from hotline_host.driver.driver import Driver
from hotline_host.driver.follow import Follower, FollowOptions
from hotline_host.plan import Followed

from .splitter import Splitter

__all__ = ["AcceleratorSplitter"]


class AcceleratorSplitter(Splitter):
    """Lets an accelerator split mini-batches while its hot rows follow popularity.

    Args:
        driver: of an accelerator that has learned. The caller closes its device.
        follow: None: the hot rows stay as they were learned.
    """

    def __init__(self, driver: Driver, follow: FollowOptions | None = None) -> None:
        self._driver, self._follower = driver, Follower(driver, follow)
        self.hot_rows = driver.hot_rows
        self.most_moves = driver.geometry.max_moves

    def placed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Asks the accelerator, so call it before the first mini-batch is split."""
        return self._driver.hot_set(self._driver.dump())

    def split(self, batch: Batch) -> Followed:
        return self._follower.split(batch)

    def state(self) -> dict[str, Any]:
        return {"steps": self._follower.steps}

    def resume(self, state: dict[str, Any]) -> None:
        self._follower.steps = state["steps"]

    def counters(self) -> dict[str, int | None]:
        return self._driver.counters()
