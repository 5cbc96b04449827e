"""Writes checkpoints beside training, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from hotline_host.errors import RanksError, SettingsError

from .checkpoint import Rows, Saving, StateCopy, check_folder
from .ranks import Alone, Ranks

__all__ = ["Saver"]

_SHARD_BYTES = 256 << 20
"""Of embedding rows in one file of a checkpoint."""


class Saver:
    """Has at most one checkpoint under way. With several ranks all call `save` together."""

    _saving: Saving | None = None

    def save(
        self, folder: Path, step: int, state: dict[str, Any], shards: Callable[[int], Iterator[Rows]], row_bytes: int,
        *, beside: bool = True, ranks: Ranks | None = None,
    ) -> None:  # fmt: skip
        """Begins to write a checkpoint, once the one before is on the disk. Arguments as `save_checkpoint`.

        Args:
            shards: gives all rows, so many a shard.
            row_bytes: of the widest row.
            beside: training may go on while the rows are read. Else this returns at the end.
            ranks: who trains. The first one writes, and the others give it their rows.

        Raises:
            TypeError, SettingsError: as `save_checkpoint`.
            OSError: as `wait`.
            RanksError: another rank raises one of these. No rank has a checkpoint of this step then.
        """
        ranks = ranks or Alone()
        self.wait()
        error: Exception | None = None
        try:
            if ranks.number == 0:
                check_folder(folder, step)
            copy = StateCopy(state)
        except (SettingsError, TypeError) as found:
            error = found
        _agree(ranks, error)
        rows = shards(max(1, _SHARD_BYTES // row_bytes))
        if ranks.number == 0:
            # A chain is not closed if the writing fails: the other ranks give their part of every shard.
            self._saving = Saving(folder, step, copy, chain(rows) if ranks.count > 1 and not beside else rows)
        if beside:
            return
        try:
            self.wait()
        except OSError as found:
            error = found
        if ranks.count > 1:
            for _ in rows:
                pass
        _agree(ranks, error)

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


def _agree(ranks: Ranks, error: Exception | None) -> None:
    """Raises the error, or RanksError if another rank has one."""
    failed = np.flatnonzero(ranks.agree([error is not None]))
    if error is not None:
        raise error
    if len(failed):
        raise RanksError(f"rank {failed[0]} cannot save, so there is no checkpoint; see its message")
