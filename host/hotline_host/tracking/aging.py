"""How fast popularity is forgotten, set from what the tracker sees."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AgingControl"]

_ENOUGH = 256  # events to decide on
_IDLE_SHARE = 1 / 16  # of the hot rows; where fewer are idle, they tell nothing
_FULL_SHARE = 15 / 16  # of the budget; where fewer are hot, there is no choice to be made yet
_FASTER, _SLOWER = 0.55, 0.35


@dataclass
class AgingControl:
    """Chooses AGE_PERIOD, SELECT by SELECT.

    Where popularity lasts, a hot row that nobody asked for of late is still the better bet; where it does not, a cold
    one that somebody just asked for is. The tracker counts both kinds of row and how often each was asked for again,
    so the bets can be compared:

        rate of recent cold entries   returns / recent
        ----------------------------  =  ----------------
        rate of idle hot entries      revivals / idle

    Above `_FASTER` aging speeds up twofold, below `_SLOWER` it slows down twofold. (On click logs that are ruled by
    frequency the quotient is .1 to .3 at any period; where recency rules, .5 is about where the best period is.)

    Attributes:
        period: AGE_PERIOD now, between `shortest` and `longest`. It starts short: what is learned while there is no
            evidence is best forgotten soon.
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
        """Takes in what one SELECT tells, and answers with the period from now on.

        Args:
            revivals, returns: these counters' increments since the last SELECT.
            idle, recent, hot: hot entries not referenced since their set's last aging; cold ones that were; hot rows.
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
