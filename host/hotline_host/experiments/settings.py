"""What an accelerator is asked to do with a log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hotline_host.data.log import ClickLog
from hotline_sim.memory.timing import PRESETS

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
        relearn_share: share of the mini-batches after those that are learned from too, so that hot rows follow
            popularity; evenly spread.
        select_every: mini-batches between two choices of the hot rows (SELECT), there and while learning.
        learn_by: "sample", or "bag": what rows count for, see `Driver.learn`.
        move_limit: most rows that one choice makes hot after learning; None: what the accelerator can.
        memory: what is simulated behind the accelerator's AXI manager, a name of `hotline_sim.memory.timing.PRESETS`.

    Raises:
        SettingsError: naming the setting.
    """

    hot_rows: int | None = None
    learn_share: float = 0.2
    batch_size: int = 2048
    relearn_share: float = 0.25
    select_every: int = 8
    move_limit: int | None = None
    learn_by: str = "sample"
    memory: str = "pcie4-x16"

    def __post_init__(self) -> None:
        if self.hot_rows is not None and self.hot_rows < 0:
            raise SettingsError(f"hot rows is {self.hot_rows}; it must be 0 or more")
        if not 0 <= self.learn_share < 1:
            raise SettingsError(f"learn share is {self.learn_share}; it must be at least 0 and below 1")
        if self.batch_size < 1:
            raise SettingsError(f"batch size is {self.batch_size}; it must be at least 1")
        if not 0 <= self.relearn_share <= 1:
            raise SettingsError(f"relearn share is {self.relearn_share}; it must be 0 to 1")
        if self.learn_by not in ("sample", "bag"):
            raise SettingsError(f"learn by is {self.learn_by!r}; it must be sample or bag")
        if self.select_every < 1:
            raise SettingsError(f"select every is {self.select_every}; it must be at least 1")
        if self.move_limit is not None and not 0 <= self.move_limit < 1 << 32:
            raise SettingsError(f"move limit is {self.move_limit}; it must be 0 to {(1 << 32) - 1}")
        if self.memory not in PRESETS:
            raise SettingsError(f"memory is {self.memory!r}; it must be one of {', '.join(PRESETS)}")

    @property
    def by_bag(self) -> bool:
        return self.learn_by == "bag"

    def follow_figures(self) -> dict[str, Any]:
        """How hot rows follow popularity, ready for JSON."""
        return {
            "relearn_share": self.relearn_share, "select_every": self.select_every, "move_limit": self.move_limit,
            "learn_by": self.learn_by,
        }  # fmt: skip

    def device_options(self, backend: str) -> dict[str, Any]:
        """Options of a backend's device: the golden model answers at once, whatever the memory."""
        return {} if backend == "model" else {"timing": self.memory}

    def budget(self, log: ClickLog, capacity: int) -> int:
        """N for this log and an accelerator in which so many rows can be hot."""
        return min(int(HOT_SHARE * log.rows.sum()), capacity) if self.hot_rows is None else self.hot_rows

    def learned(self, log: ClickLog) -> int:
        """Samples that are learned from."""
        return int(self.learn_share * log.size)
