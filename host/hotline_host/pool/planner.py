"""Plans where the rows of every mini-batch are in the pool, and which rows move before it.

    pool      [ hot rows H | working rows of even mini-batches W | of odd ones W | a zero row ]

    half of a mini-batch   [ free | fetched | held | evicted ]
        free      cold rows that the splitter can gather from host memory, in its order
        fetched   other rows from host memory: those that become hot on the way, and cold rows of unknown whereabouts
        held      cold rows that are in the pool: in the half of the mini-batch before, or in a slot that they leave
        evicted   rows that leave their slot and are not looked up

Free and fetched rows are copied in. The others move inside the pool after the update of the mini-batch before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hotline_host.plan import Moves, Split

from .arrange import COLD, HOT, arrange, not_cold, translate
from .rows import OwnershipError, TableRows

__all__ = ["Planner", "PoolShape", "StepPlan"]


@dataclass(frozen=True)
class PoolShape:
    """The rows of a pool.

    Attributes:
        hot_rows: H, slots of the hot table.
        working_rows: W, places of each half.
    """

    hot_rows: int
    working_rows: int

    @property
    def rows(self) -> int:
        """P, the zero row included."""
        return self.hot_rows + 2 * self.working_rows + 1

    @property
    def zero(self) -> int:
        """The pool id of the zero row."""
        return self.rows - 1

    def begin(self, half: int) -> int:
        """The pool id of a half's first place."""
        return self.hot_rows + half * self.working_rows


@dataclass(frozen=True)
class StepPlan:
    """A mini-batch of n lookups in the pool.

    Attributes:
        number: of the mini-batch, from 0.
        half: of its working rows, 0 or 1.
        ids: int32 [n], the pool id of each lookup, in input order.
        free: places 0 to `free` - 1 are for the rows that the splitter gathers.
        fetched: int64 [f], the keys of rows that the host fetches, to places `free` to `free + f` - 1.
        source, target: int32 [c], rows that move inside the pool, by pool id. All are read before any is written.
        keys: int64 [m], the row in each place once rows have moved; -1 where it is only on its way to a slot.
        back: int32 [b], places of the half before whose rows go back to host memory, as they are no longer needed.
        back_keys: int64 [b], their rows.
        held: rows in the places of this half that were in the pool before.
        slots, comes: int64, rows that are hot from this mini-batch on, and their slots.
    """

    number: int
    half: int
    ids: np.ndarray
    free: int
    fetched: np.ndarray
    source: np.ndarray
    target: np.ndarray
    keys: np.ndarray
    back: np.ndarray
    back_keys: np.ndarray
    held: int
    slots: np.ndarray
    comes: np.ndarray

    @property
    def copied_in(self) -> int:
        """Rows that come from host memory."""
        return self.free + len(self.fetched)


class Planner:
    """Plans one mini-batch after another. It knows which row each place of the pool holds.

    Args:
        tables: numbers the rows: a key is that number.
        shape: of the pool.

    Attributes:
        key_at: int64 [P], the key of the row in each place, -1 where there is none.
        number: of the next mini-batch.
    """

    def __init__(self, tables: TableRows, shape: PoolShape) -> None:
        self.tables, self.shape = tables, shape
        self.key_at = np.full(shape.rows, -1, np.int64)
        self.number = 0  # of the next mini-batch
        self._owner = np.zeros(int(tables.bases[-1]), np.uint8)  # by key, COLD at first; spares a search
        self._used = [0, 0]  # places of each half
        self._map_keys = np.empty(0, np.int64)
        self._map_places = np.empty(0, np.int32)

    def place(self, keys: np.ndarray, slots: np.ndarray) -> None:
        """Makes `keys` in `slots` the whole hot set, and forgets the working rows.

        Raises:
            OwnershipError: a row or a slot is named twice.
            IndexError: a row or a slot does not exist.
        """
        keys, slots = np.asarray(keys, np.int64), np.asarray(slots, np.int64)
        if keys.shape != slots.shape or keys.ndim != 1:
            raise ValueError(f"keys {keys.shape} and slots {slots.shape} must be one-dimensional and equally long")
        count = int(self.tables.bases[-1])
        if (outside := (keys < 0) | (keys >= count)).any():
            raise IndexError(f"key {int(keys[outside.argmax()])} is none of the {count} rows")
        self._check_slots(slots)
        for values, what in ((keys, "is given two slots; a row has one owner"), (slots, "is named twice")):
            if (twice := _repeated(values)) is not None:
                name = self.tables.name(twice) if values is keys else f"slot {twice}"
                raise OwnershipError(f"{name} {what}")
        self._owner[self._hot_keys()] = COLD
        self._owner[keys] = HOT
        self.key_at[:] = -1
        self.key_at[slots] = keys
        self._used = [0, 0]

    def place_all(self) -> None:
        """Every row is hot, in the slot of its key. There is a slot for each."""
        self._owner[:] = HOT
        self.key_at[:] = -1
        self.key_at[: len(self._owner)] = np.arange(len(self._owner))
        self._used = [0, 0]

    def forget(self) -> None:
        """The working rows are back in host memory."""
        self.key_at[self.shape.hot_rows :] = -1
        self._used = [0, 0]

    def plan(self, split: Split, keys: np.ndarray, moves: Moves | None) -> StepPlan:
        """Plans the next mini-batch.

        Args:
            split: of the mini-batch.
            keys: int64 [n], the row of each lookup.
            moves: rows that change places before it.

        Raises:
            OwnershipError: a lookup's row is not where the splitter says it is, or a slot that a row takes does not
                hold the row that is said to leave it. Nothing has changed then.
            ValueError: the mini-batch needs more places than a half has.
        """
        shape, half = self.shape, self.number % 2
        working, before = split.working, shape.begin(1 - half)
        if split.slots.shape != keys.shape:
            raise ValueError(f"slots is {split.slots.shape}; it must be {keys.shape}, one for each lookup")
        slots, comes, leaves = self._moves(moves)
        if working is not None:
            if working.places.shape != keys.shape:
                raise ValueError(f"places is {working.places.shape}; it must be {keys.shape}, one for each lookup")
            if not 0 <= working.held <= len(working):
                raise ValueError(f"{working.held} of {len(working)} cold rows are said to be held")
            listed = self.tables.keys(working.tables, working.rows)
            places, free = working.places.astype(np.int32, copy=False), len(working) - working.held
        else:  # the accelerator had no room for the list
            listed, places = _list_cold(split.slots, keys)
            free = 0
        self._check_listed(listed, comes, leaves)
        most = len(listed) + 2 * len(comes)
        source, target = np.empty(most, np.int32), np.empty(most, np.int32)
        place_of, new_keys = np.empty(len(listed), np.int32), np.empty(most, np.int64)
        fetched, back = np.empty(most, np.int64), np.empty(self._used[1 - half], np.int32)
        old = self.key_at[before : before + self._used[1 - half]]
        moved, got, returned, placed, held = arrange(
            old, before, listed, free, slots, comes, leaves, shape.begin(half),
            *self._map(len(old) + len(leaves)), source, target, place_of, new_keys, fetched, back,
        )  # fmt: skip
        if placed > shape.working_rows:
            raise ValueError(f"the mini-batch needs {placed} places of a half that has {shape.working_rows}")
        ids = np.empty(len(keys), np.int32)
        wrong = translate(
            split.slots, places, place_of, keys, new_keys, self.key_at[: shape.hot_rows], slots, comes,
            shape.begin(half), ids,
        )  # fmt: skip
        if wrong >= 0:
            raise OwnershipError(self._misplaced(wrong, split, keys, slots, comes))
        back = back[:returned]
        plan = StepPlan(
            self.number, half, ids, free, fetched[:got].copy(), source[:moved].copy(), target[:moved].copy(),
            new_keys[:placed].copy(), back, old[back], held, slots, comes,
        )  # fmt: skip
        self._owner[leaves[leaves >= 0]] = COLD
        self._owner[comes] = HOT
        self.key_at[slots] = comes
        begin = shape.begin(half)
        self.key_at[begin : begin + self._used[half]] = -1
        self.key_at[begin : begin + placed] = plan.keys
        self._used[half] = placed
        self.number += 1
        return plan

    def _moves(self, moves: Moves | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The slots that rows take, the keys of these rows, and of those that leave, -1 where the slot is free."""
        if moves is None or not len(moves):
            nothing = np.empty(0, np.int64)
            return nothing, nothing, nothing
        slots = np.asarray(moves.slots, np.int64)
        self._check_slots(slots)
        comes = self.tables.keys(moves.tables, moves.rows)
        leaves = np.full(len(moves), -1)
        leaving = moves.evicted_tables >= 0
        leaves[leaving] = self.tables.keys(moves.evicted_tables[leaving], moves.evicted_rows[leaving])
        wrong = self.key_at[slots] != leaves
        if wrong.any():
            at = int(wrong.argmax())
            there, said = (self._name(int(key)) for key in (self.key_at[slots[at]], leaves[at]))
            raise OwnershipError(f"move {at}: slot {slots[at]} is taken to hold {said}, but it holds {there}")
        for values, what in ((slots, "is taken twice"), (comes, "is given two slots; a row has one owner")):
            if (twice := _repeated(values)) is not None:
                name = f"slot {twice}" if values is slots else self.tables.name(twice)
                raise OwnershipError(f"{name} {what}")
        stays = (self._owner[comes] == HOT) & ~np.isin(comes, leaves)
        if stays.any():
            at = int(stays.argmax())
            raise OwnershipError(f"move {at}: {self._is_hot(int(comes[at]))}")
        return slots, comes, leaves

    def _check_listed(self, listed: np.ndarray, comes: np.ndarray, leaves: np.ndarray) -> None:
        """Raises OwnershipError if a row that is listed as cold is hot after the moves, or is listed twice."""
        owner, leaves = self._owner, leaves[leaves >= 0]
        owner[leaves], owner[comes] = COLD, HOT  # for now
        wrong = not_cold(listed, owner)
        hot = wrong >= 0 and owner[listed[wrong]] == HOT
        owner[comes], owner[leaves] = COLD, HOT
        if wrong >= 0:
            key = int(listed[wrong])
            if not hot:
                raise OwnershipError(f"{self.tables.name(key)} is listed twice among the cold rows")
            now = f"{self.tables.name(key)} is taken to be cold, but it becomes hot" if key in comes else None
            raise OwnershipError(now or self._is_hot(key))

    def _hot_keys(self) -> np.ndarray:
        keys = self.key_at[: self.shape.hot_rows]
        return keys[keys >= 0]

    def _is_hot(self, key: int) -> str:
        slot = int((self.key_at[: self.shape.hot_rows] == key).argmax())
        return f"{self.tables.name(key)} is taken to be cold, but it is hot in slot {slot}"

    def _map(self, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Cells for a map of so many rows, at most half of them in use."""
        cells = 1 << max(4, (2 * rows).bit_length())
        if cells > len(self._map_keys):
            self._map_keys, self._map_places = np.empty(cells, np.int64), np.empty(cells, np.int32)
        return self._map_keys[:cells], self._map_places[:cells]

    def _check_slots(self, slots: np.ndarray) -> None:
        outside = (slots < 0) | (slots >= self.shape.hot_rows)
        if outside.any():
            raise IndexError(
                f"slot {int(slots[outside.argmax()])} is outside the hot table of {self.shape.hot_rows} rows"
            )

    def _misplaced(self, lookup: int, split: Split, keys: np.ndarray, slots: np.ndarray, comes: np.ndarray) -> str:
        """What is wrong with a lookup."""
        slot, row = int(split.slots[lookup]), self.tables.name(int(keys[lookup]))
        if slot < 0:
            return f"lookup {lookup}: {row} is cold, and the place among the working rows that is named is not its own"
        if slot >= self.shape.hot_rows:
            return f"lookup {lookup}: {row} is said to be in slot {slot} of {self.shape.hot_rows}"
        moved = comes[slots == slot]
        there = self._name(int(moved[0] if len(moved) else self.key_at[slot]))
        return f"lookup {lookup}: {row} is taken to be hot in slot {slot}, but that slot holds {there}"

    def _name(self, key: int) -> str:
        return "no row" if key < 0 else self.tables.name(key)


def _repeated(values: np.ndarray) -> int | None:
    """A value that occurs more than once; None if there is none."""
    values = np.sort(values)
    again = values[1:] == values[:-1]
    return int(values[1:][again.argmax()]) if again.any() else None


def _list_cold(slots: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The unique cold rows, and of each lookup its place among them, -1 if it is hot."""
    cold = slots < 0
    listed, inverse = np.unique(keys[cold], return_inverse=True)
    places = np.full(len(keys), -1, np.int32)
    places[cold] = inverse
    return listed, places
