"""A recorded accelerator as a splitter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hotline_device.compiled import compiled
from hotline_host.data.log import Batch, DataError
from hotline_host.plan import Followed, Moves, Split, WorkingSet
from hotline_host.pool.rows import keys_of

from .pace import Pace
from .recording import Cycles, apply_moves, checksum, read_recording
from .row_places import RowPlaces
from .splitter import Splitter

__all__ = ["ReplayedSplitter", "recording_of"]

_PREFIX = "replay:"


def recording_of(backend: str) -> Path | None:
    """The file that a backend's name gives as `replay:FILE`; None for a backend that is a device."""
    return Path(backend.removeprefix(_PREFIX)) if backend.startswith(_PREFIX) else None


class ReplayedSplitter(Splitter):
    """Answers as the recorded accelerator did, over the same mini-batches in the same order.

    It answers as fast as it can. `pace` makes a caller wait as long as the accelerator would have taken.

    Args:
        path: a file that `hotline record` wrote.
        clock_mhz: clock of the accelerator; None: as the recording assumes.

    Attributes:
        header: what was recorded.
        pace: by that clock.

    Raises:
        DataError: the file is no whole recording of this format.
        SettingsError: the clock is no frequency above 0.
        OSError: the file cannot be read.
    """

    def __init__(self, path: Path, clock_mhz: float | None = None) -> None:
        self._path, self._recording = path, read_recording(path)
        self.header = self._recording.header
        self.hot_rows, self.most_moves = self.header.hot_rows, self.header.most_moves
        self.pace = Pace(self.header.clock_mhz if clock_mhz is None else clock_mhz)
        self.restart()

    def __len__(self) -> int:
        """Mini-batches in the recording."""
        return self.header.mini_batches

    def restart(self) -> None:
        """Starts over: the next mini-batch is the first again, and `placed` is hot."""
        tables, rows, slots = self._recording.placed
        self._places = RowPlaces(np.array(self.header.rows))
        self._places.where[self._places.bases[tables] + rows] = slots
        self._next = self._order_at = self._moves_at = 0
        self._resumed = -1  # the mini-batch before which nothing was in the pool
        self._cycles = Cycles(0, 0, 0, 0, 0)

    def placed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        keys = np.flatnonzero(self._places.where >= 0)
        return *self._places.names(keys), self._places.where[keys].astype(np.int64)

    def state(self) -> dict[str, Any]:
        return {"steps": self._next}

    def resume(self, state: dict[str, Any]) -> None:
        """Goes on with a later mini-batch. The rows that are hot before it are `placed`."""
        self.restart()
        for number in range(min(state["steps"], len(self))):
            moves = self._moves(number)
            if moves is not None:
                apply_moves(self._places, moves)
            self._order_at += max(0, int(self._recording.cold[number]))
        self._next = self._resumed = state["steps"]

    def split(self, batch: Batch) -> Followed:
        """The recorded answer to the next mini-batch.

        Raises:
            DataError: it has other lookups than the recorded one, or none was recorded. Nothing has changed then.
        """
        number, header = self._next, self.header
        if number >= len(self):
            raise DataError(f"{self._path}: holds {len(self)} mini-batches, and mini-batch {number} is asked for")
        keys = self._recorded_keys(batch, number)
        if keys is None:
            raise DataError(
                f"{self._path}: mini-batch {number} was recorded with other lookups; replay samples {header.start} to "
                f"{header.stop} of {header.log} (seed {header.seed}), {header.batch_size} in a mini-batch"
            )
        moves = self._moves(number)
        if moves is not None:
            apply_moves(self._places, moves)
        split = self._ordered(self._places.split_keys(batch, keys), number)
        self._cycles = Cycles(*self._recording.cycles[number].tolist())
        self._next += 1
        return Followed(batch, split, moves, self._cycles.core)

    def cycles(self) -> Cycles:
        """Of the mini-batch that was split last."""
        return self._cycles

    def gather_cycles(self) -> tuple[int, int]:
        """For the cold rows of the mini-batch that was split last: those that are not held, and those that are."""
        return self._cycles.gather, self._cycles.gather_held

    def _recorded_keys(self, batch: Batch, number: int) -> np.ndarray | None:
        """The keys of a mini-batch's lookups; None if they are not those that were recorded."""
        try:
            keys = keys_of(batch, self._places.bases)
        except DataError:  # of other tables
            return None
        return keys if checksum(keys, batch) == int(self._recording.checksums[number]) else None

    def _moves(self, number: int) -> Moves | None:
        count = int(self._recording.moved[number])
        if count < 0:
            return None
        columns = self._recording.moves[:, self._moves_at : self._moves_at + count]
        self._moves_at += count
        return Moves(*columns, *self._recording.closing[number].tolist())

    def _ordered(self, derived: Split, number: int) -> Split:
        """The split with its cold rows in the accelerator's order."""
        count, held = int(self._recording.cold[number]), int(self._recording.held[number])
        if count < 0:
            return Split(derived.popular, derived.slots, None)
        order = self._recording.order[self._order_at : self._order_at + count].astype(np.int64)
        self._order_at += count
        held = 0 if number == self._resumed else held
        working = derived.working
        assert working is not None
        places = np.empty(len(working.places), np.int32)
        if len(working) != count or held > count or not _reordered(order, working.places, places):
            raise DataError(f"{self._path}: the cold rows of mini-batch {number} are damaged; record it again")
        ordered = WorkingSet(places, working.tables[order], working.rows[order], held)
        return Split(derived.popular, derived.slots, ordered)


@compiled()
def _reordered(order, places, out):
    """Fills `out` with the places of lookups (-1: none) after the rows were put into an order: place i is that of row
    order[i] then. False if the order does not name every row once."""
    place_of = np.full(order.size, -1, np.int32)
    for place in range(order.size):
        row = order[place]
        if row < 0 or row >= order.size or place_of[row] >= 0:
            return False
        place_of[row] = place
    for lookup in range(places.size):
        out[lookup] = place_of[places[lookup]] if places[lookup] >= 0 else -1
    return True
