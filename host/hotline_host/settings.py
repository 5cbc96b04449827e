"""What an accelerator is asked to do with a log."""

from __future__ import annotations

from dataclasses import dataclass

from .data.log import ClickLog

__all__ = ["Settings", "SettingsError"]

HOT_SHARE = 0.1
"""Rows that are hot unless told otherwise, as a share of the log's."""


class SettingsError(ValueError):
    """A setting that makes no sense, alone or for this log; the message names it and what would be right."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What an accelerator is to do with a log.

    Attributes:
        hot_rows: the budget N; None: a tenth of the log's rows, or the accelerator's capacity where that is less.
        learn_share: share of the log, from its front, that the accelerator learns popularity from, 0 to below 1.
        batch_size: samples in a mini-batch.

    Raises:
        SettingsError: naming the setting.
    """

    hot_rows: int | None = None
    learn_share: float = 0.2
    batch_size: int = 2048

    def __post_init__(self) -> None:
        if self.hot_rows is not None and self.hot_rows < 0:
            raise SettingsError(f"hot rows is {self.hot_rows}; it must be 0 or more")
        if not 0 <= self.learn_share < 1:
            raise SettingsError(f"learn share is {self.learn_share}; it must be at least 0 and below 1")
        if self.batch_size < 1:
            raise SettingsError(f"batch size is {self.batch_size}; it must be at least 1")

    def budget(self, log: ClickLog, capacity: int) -> int:
        """N for this log and an accelerator of so many entries."""
        return min(int(HOT_SHARE * log.rows.sum()), capacity) if self.hot_rows is None else self.hot_rows

    def learned(self, log: ClickLog) -> int:
        """Samples that are learned from."""
        return int(self.learn_share * log.size)
