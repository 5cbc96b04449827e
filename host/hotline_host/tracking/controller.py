"""What one SELECT decides for the next: the set where it begins, and how fast popularity is forgotten until then."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from hotline_hw.spec.policy import Policy
from hotline_hw.spec.words import CLOSE_HIGH, CLOSE_LOW

from .aging import AgingControl

__all__ = ["Closing", "TrackerController", "read_closing"]

_GOLDEN_SECTION = 0.618


class Closing(NamedTuple):
    """The closing beat of SELECT's answer.

    Attributes:
        hot_count: rows that are hot now.
        threshold: a row counted as popular from this counter value on.
        idle: hot entries that had not been looked up since their set's last aging.
        recent: cold entries that had been looked up since their set's last aging.
    """

    hot_count: int
    threshold: int
    idle: int
    recent: int


def read_closing(beat: np.ndarray) -> Closing:
    """Reads the closing beat, uint64 [ways]."""
    low, high = (
        (beat[:2] >> np.uint64(field.low) & np.uint64(field.mask)).tolist() for field in (CLOSE_LOW, CLOSE_HIGH)
    )
    return Closing(*low, *high)


class TrackerController:
    """Keeps the policy of one tracker.

    Args:
        policy: the tracker's present policy. If `aging` is given, its age_period does not count.
        aging: sets age_period, now and after every SELECT. If None, age_period stays.

    Attributes:
        policy: the policy that the tracker must have until the next SELECT.
    """

    def __init__(self, policy: Policy, aging: AgingControl | None = None) -> None:
        self.aging = aging
        self.policy = replace(policy, age_period=aging.period) if aging else policy

    def selected(self, closing: Closing, *, revivals: int, returns: int, budget: int, sets: int) -> Policy:
        """Takes the figures of one SELECT. Returns the policy for the next.

        The next SELECT begins at another set, so a limit on moves favours no set. The step is the golden section of the
        number of sets, made odd. The number of sets is a power of two, so the steps reach every set, and they soon come
        near every set.

        Args:
            revivals, returns: increments of these counters since the last SELECT.
            budget: the most rows that may be hot.
            sets: sets in use in each bank.
        """
        start = (self.policy.select_start + (round(_GOLDEN_SECTION * sets) | 1)) % sets
        self.policy = replace(self.policy, select_start=start)
        if self.aging:
            period = self.aging.observe(
                revivals=revivals, returns=returns, idle=closing.idle, recent=closing.recent,
                hot=closing.hot_count, budget=budget,
            )  # fmt: skip
            self.policy = replace(self.policy, age_period=period)
        return self.policy
