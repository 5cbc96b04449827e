"""What every splitter does: it says where the rows of a mini-batch are, and which rows change places before it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from hotline_host.data.log import Batch
from hotline_host.plan import Followed

__all__ = ["Splitter"]


class Splitter(ABC):
    """Splits mini-batches in the order in which they are trained on.

    Attributes:
        hot_rows: slots of the hot table.
        most_moves: most rows that become hot right before one mini-batch; 0 if the hot rows never change.
    """

    hot_rows: int
    most_moves: int

    @abstractmethod
    def placed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The rows that are hot before the next mini-batch: tables, rows and slots, int64 [m]."""

    @abstractmethod
    def split(self, batch: Batch) -> Followed:
        """Splits the next mini-batch. The calls may come from any thread, one at a time."""

    def state(self) -> dict[str, Any]:
        """What `resume` needs beside the tracker's contents, plain data."""
        return {}

    def resume(self, state: dict[str, Any]) -> None:  # noqa: B027  # most have nothing to resume
        """The next mini-batch is the one that followed when `state` was asked for."""

    def counters(self) -> dict[str, int | None] | None:
        """Counters by name; None if it has none."""
        return None

    def close(self) -> None:  # noqa: B027  # most splitters hold nothing
        """Lets go of what it holds."""
