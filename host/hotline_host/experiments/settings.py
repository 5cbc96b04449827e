"""What an accelerator is asked to do with a log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hotline_device.registry import find_backend
from hotline_host.data.log import Log
from hotline_host.driver.follow import OBJECTIVES, FollowOptions
from hotline_host.errors import SettingsError
from hotline_host.splitters.replayed import recording_of
from hotline_sim.memory.timing import PRESETS

__all__ = ["MAX_SEED", "MEMORIES", "Settings", "check_lookups", "check_seed"]

HOT_SHARE = 0.1
"""Default budget of hot rows, as a share of the log's rows."""
MAX_SEED = (1 << 32) - 1
MEMORIES = tuple(PRESETS)
"""What can be simulated behind the accelerator."""


def check_seed(seed: int) -> None:
    """Raises SettingsError unless every generator takes the seed."""
    if not 0 <= seed <= MAX_SEED:
        raise SettingsError(f"seed is {seed}; it must be 0 to {MAX_SEED}")


def check_lookups(log: Log) -> None:
    """Raises SettingsError for a log without a single lookup."""
    if log.size and not log.lookups:
        raise SettingsError(
            f"{log.name}: all bags of its {log.size} samples are empty, so there is no row to track or to train; "
            "take a log with lookups"
        )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What an accelerator does with a log.

    Attributes:
        hot_rows: the budget N. None: a tenth of the log's rows, or the accelerator's capacity if that is less.
        learn_share: share of the log, from its front, to learn popularity from; 0 to below 1.
        batch_size: samples in a mini-batch.
        relearn_share: share of the later mini-batches that are learned from too, evenly spread, so that the hot rows
            follow popularity.
        select_every: mini-batches between two choices of the hot rows (SELECT), while learning and afterwards.
        learn_by: what rows count for, "sample" or "bag"; see `Driver.learn`.
        objective: what the hot rows are chosen for: "samples", the most popular ones; "rows", the fewest to fetch.
            None: rows for the schedule "pool", else samples.
        move_limit: most rows that one choice makes hot after learning. None: as many as the accelerator can.
        memory: what is simulated behind the accelerator's AXI manager: one of MEMORIES.

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
    objective: str | None = None
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
        if self.objective not in (None, *OBJECTIVES):
            raise SettingsError(f"objective is {self.objective!r}; it must be one of {', '.join(OBJECTIVES)}")
        if self.select_every < 1:
            raise SettingsError(f"select every is {self.select_every}; it must be at least 1")
        if self.move_limit is not None and not 0 <= self.move_limit < 1 << 32:
            raise SettingsError(f"move limit is {self.move_limit}; it must be 0 to {(1 << 32) - 1}")
        if self.memory not in MEMORIES:
            raise SettingsError(f"memory is {self.memory!r}; it must be one of {', '.join(MEMORIES)}")

    @property
    def by_bag(self) -> bool:
        return self.learn_by == "bag"

    def follow(self) -> FollowOptions:
        """How the hot rows follow popularity."""
        return FollowOptions(
            relearn_share=self.relearn_share, select_every=self.select_every, move_limit=self.move_limit,
            by_bag=self.by_bag, objective=self.objective,
        )  # fmt: skip

    def device_options(self, backend: str) -> dict[str, Any]:
        """Those settings that a backend's device takes as options."""
        return {} if recording_of(backend) else find_backend(backend).chosen(timing=self.memory)

    def budget(self, log: Log, capacity: int) -> int:
        """N for this log and an accelerator that can hold `capacity` hot rows."""
        return min(int(HOT_SHARE * log.rows.sum()), capacity) if self.hot_rows is None else self.hot_rows

    def learned(self, log: Log) -> int:
        """Samples to learn popularity from."""
        return int(self.learn_share * log.size)
