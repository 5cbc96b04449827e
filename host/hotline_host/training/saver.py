"""Writes checkpoints beside training, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .checkpoint import Rows, Saving, StateCopy

__all__ = ["Saver"]

_SHARD_BYTES = 256 << 20
"""Of embedding rows in one file of a checkpoint."""


class Saver:
    """Has at most one checkpoint under way. With several ranks all call `save` together."""

    _saving: Saving | None = None

    def save(
        self, folder: Path, step: int, state: dict[str, Any], shards: Callable[[int], Iterator[Rows]], row_bytes: int,
        *, beside: bool = True, writes: bool = True,
    ) -> None:  # fmt: skip
        """Begins to write a checkpoint, once the one before is on the disk. Arguments as `save_checkpoint`.

        Args:
            shards: gives all rows, so many a shard.
            row_bytes: of the widest row.
            beside: training may go on while the rows are read. Else this returns at the end.
            writes: this rank writes. The others give it their rows.

        Raises:
            OSError: as `wait`.
        """
        self.wait()
        copy = StateCopy(state)
        rows = shards(max(1, _SHARD_BYTES // row_bytes))
        if writes:
            self._saving = Saving(folder, step, copy, rows)
        if beside:
            return
        if writes:
            self.wait()
        else:
            for _ in rows:
                pass

    def wait(self) -> None:
        """Returns when the checkpoint is on the disk, if one is being written.

        Raises:
            OSError: it cannot be written. Older checkpoints are there still.
        """
        saving, self._saving = self._saving, None
        if saving:
            saving.result()

    def look(self) -> None:
        """Raises what `wait` raises, if the checkpoint has ended."""
        if self._saving and self._saving.ended:
            self.wait()

    def give_up(self) -> None:
        """Ends the writing. Older checkpoints are there still."""
        saving, self._saving = self._saving, None
        if saving:
            saving.give_up()
