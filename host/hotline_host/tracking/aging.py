"""How fast popularity is forgotten, set from what the tracker sees."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AgingControl"]

_ENOUGH = 256  # the fewest events for a decision
_IDLE_SHARE = 1 / 16  # of the hot rows; if fewer are idle, they say nothing
_FULL_SHARE = 15 / 16  # of the budget; if fewer are hot, SELECT has no choice to make yet
_FASTER, _SLOWER = 0.55, 0.35


@dataclass
class AgingControl:
    """Chooses AGE_PERIOD, SELECT by SELECT.

    There are two bets. Where popularity lasts, a hot row without recent lookups is the better one. Where popularity
    does not last, a cold row with a recent lookup is. The tracker counts both kinds of row, and how often each was
    looked up again, so the bets can be compared:

        rate of recent cold entries   returns / recent
        ----------------------------  =  ----------------
        rate of idle hot entries      revivals / idle

    Above `_FASTER` aging speeds up twofold, below `_SLOWER` it slows down twofold. (On click logs that are ruled by
    frequency the quotient is .1 to .3 at any period. Where recency rules, the best period is where it is about .5.)

    Attributes:
        period: AGE_PERIOD now, between `shortest` and `longest`. It starts short, because what is learned before
            there is evidence should be forgotten soon.
    """

    period: int = 2
    shortest: int = 1
    longest: int = 64
    _revivals: int = 0
    _returns: int = 0
    _idle: int = 0
    _recent: int = 0
    _hot: int = 0

    def observe(self, *, revivals: int, returns: int, idle: int, recent: int, hot: int, budget: int) -> int:
        """Takes the figures of one SELECT. Returns the period from now on.

        Args:
            revivals, returns: these counters' increments since the last SELECT.
            idle: hot entries that were not looked up since their set's last aging.
            recent: cold entries that were looked up since their set's last aging.
            hot: hot rows.
            budget: the most rows that may be hot.
        """
        if hot < _FULL_SHARE * budget:
            return self.period
        self._revivals += revivals
        self._returns += returns
        self._idle += idle
        self._recent += recent
        self._hot += hot
        if self._revivals + self._returns >= _ENOUGH:
            if self._idle > _IDLE_SHARE * self._hot and self._recent:
                bet = self._returns / self._recent * self._idle / (self._revivals + 1)
                if bet > _FASTER:
                    self.period = max(self.shortest, self.period // 2)
                elif bet < _SLOWER:
                    self.period = min(self.longest, self.period * 2)
            self._revivals = self._returns = self._idle = self._recent = self._hot = 0
        return self.period
