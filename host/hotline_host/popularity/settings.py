"""Settings of a popularity study."""

from __future__ import annotations

from dataclasses import dataclass

from hotline_host.data.log import ClickLog
from hotline_host.errors import SettingsError

from . import HOT_ROWS
from .trackers import TRACKERS

__all__ = ["PopularitySettings"]


@dataclass(frozen=True, kw_only=True)
class PopularitySettings:
    """What to compare, and how.

    Attributes:
        hot_rows: numbers of hot rows, separated by commas; each is a whole number, or a share of the log's distinct
            rows such as 2.5%.
        learn_share: share of the log, from its front, to learn from without judging; at least 0, below 1.
        select_every: samples between two choices of the hot set, for trackers that choose it periodically.
        freeze: trackers stop learning where judging begins.
        curve: samples for each point of a curve of the popular share over the log; 0 draws no curve.
        sweep: also vary the parameters of the accelerator's own tracker.
        trackers: names of `TRACKERS`, separated by commas; None: all of them.

    Raises:
        SettingsError: naming the setting.
    """

    hot_rows: str = HOT_ROWS
    learn_share: float = 0.5
    select_every: int = 512
    freeze: bool = False
    curve: int = 0
    sweep: bool = False
    trackers: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.learn_share < 1:
            raise SettingsError(f"learn share is {self.learn_share}; it must be at least 0 and below 1")
        if self.select_every < 1:
            raise SettingsError(f"select every is {self.select_every}; it must be at least 1 sample")
        if self.curve < 0:
            raise SettingsError(f"curve is {self.curve}; it must be 0 (none), or samples for each point")
        self._sizes()
        self.names()

    def names(self) -> list[str]:
        """Trackers to compare, in the order of `TRACKERS`."""
        if self.trackers is None:
            return list(TRACKERS)
        wanted = [name.strip() for name in self.trackers.split(",")]
        for name in wanted:
            if name not in TRACKERS:
                raise SettingsError(f"unknown tracker {name!r}; the trackers are {', '.join(TRACKERS)}")
        return [name for name in TRACKERS if name in wanted]

    def sizes(self, log_name: str, distinct: int) -> list[int]:
        """The numbers of hot rows for a log with this many distinct rows, sorted, without repeats, each at least 1."""
        numbers = set()
        for text, value, is_share in self._sizes():
            if not is_share and value > distinct:
                raise SettingsError(
                    f"hot rows is {text}, but {log_name} has {distinct:,} distinct rows; choose 1 to {distinct}, or a "
                    "share such as 10%"
                )
            numbers.add(max(1, int(value * distinct / 100)) if is_share else int(value))
        return sorted(numbers)

    def learned(self, log: ClickLog) -> int:
        """Number of samples to learn from without judging."""
        learned = int(self.learn_share * log.size)
        if learned >= log.size:
            raise SettingsError(f"{log.name}: none of its {log.size} samples is left to judge after learning {learned}")
        return learned

    def _sizes(self) -> list[tuple[str, float, bool]]:
        """(as written, value, whether that is a percentage) of each number of hot rows."""
        sizes = []
        for text in map(str.strip, self.hot_rows.split(",")):
            number = text.removesuffix("%")
            try:
                value = float(number) if number != text else int(number)
            except ValueError:
                raise SettingsError(
                    f"hot rows is {text!r}; write a whole number, or a share of the log's rows such as 10%, and commas "
                    "between several"
                ) from None
            if number != text and not 0 < value <= 100:
                raise SettingsError(f"hot rows is {text}; a share must be above 0% and at most 100%")
            if value < 1 and number == text:
                raise SettingsError(f"hot rows is {text}; it must be at least 1")
            sizes.append((text, value, number != text))
        return sizes
