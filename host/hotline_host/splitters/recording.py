"""Recordings: what an accelerator answered, and how many clock cycles it took, for a later replay without it.

The file is a compressed .npz: a header in JSON, the rows that were hot at the start, and for each mini-batch

    checksum                of its lookups
    held, cold, order       the order of the cold rows; which rows are cold follows from lookups, hot rows and moves
    moves and evictions     with the closing figures of SELECT
    cycles                  of the core, and of each descriptor

A mini-batch is recorded only if its whole answer follows from that.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hotline_device.compiled import compiled
from hotline_host.data.log import Batch, DataError
from hotline_host.data.minibatches import MiniBatches
from hotline_host.driver.driver import Driver
from hotline_host.driver.follow import Follower, FollowOptions
from hotline_host.errors import DriverError
from hotline_host.files import write_npz
from hotline_host.plan import Moves, Split, WorkingSet
from hotline_host.pool.rows import keys_of
from hotline_hw.spec.descriptors import Opcode

from .row_places import COLD, RowPlaces

__all__ = ["FORMAT", "Cycles", "Header", "Recording", "apply_moves", "checksum", "read_recording", "record"]

FORMAT = 1
"""Version of the file's format. A change of what is stored, or of what follows from it, is another version."""


class Cycles(NamedTuple):
    """Clock cycles for one mini-batch. 0 on a backend without a clock.

    Attributes:
        core: with the mini-batch in the core: `Followed.cycles`.
        select, classify, gather, gather_held: of each descriptor, from its start to its completion. 0 if there was
            none. `classify` counts a LEARN behind it too. `gather` brings the cold rows that are not held.
    """

    core: int
    select: int
    classify: int
    gather: int
    gather_held: int


@dataclass(frozen=True, kw_only=True)
class Header:
    """What was recorded.

    Attributes:
        preset: name of the accelerator's geometry.
        memory: what was simulated behind it; None on a backend that does not simulate it.
        hot_rows, most_moves: as of the splitter.
        log: name of the log.
        rows: rows of each of its tables.
        start, stop, batch_size: the samples, in mini-batches of so many.
        seed: of the log, if it is synthetic.
        row_bytes: bytes that GATHER brought of each row.
        follow: how the hot rows followed popularity: `FollowOptions`.
        clock_mhz: the accelerator's clock, assumed.
        mini_batches: how many there are.
    """

    preset: str
    backend: str
    memory: str | None
    hot_rows: int
    most_moves: int
    log: str
    rows: list[int]
    start: int
    stop: int
    batch_size: int
    seed: int
    row_bytes: int
    follow: dict[str, Any]
    clock_mhz: float
    mini_batches: int


@dataclass(frozen=True)
class Recording:
    """A recording in memory, of K mini-batches.

    Attributes:
        placed: int64 [3, h]: tables, rows and slots that were hot at the start.
        checksums: uint64 [K].
        cold: int64 [K], cold rows of each mini-batch, -1 if they were too many to list.
        held: int64 [K], how many of them are held.
        order: integers [sum of cold rows]: working row i is row order[i] of those that `RowPlaces` lists.
        moved: int64 [K], moves before each mini-batch, -1 if there was no SELECT.
        closing: int64 [K, 4]: hot_count, threshold, idle and recent of the moves.
        moves: int64 [5, all moves]: slots, tables, rows, evicted_tables, evicted_rows.
        cycles: int64 [K, 5], as in `Cycles`.
    """

    header: Header
    placed: np.ndarray
    checksums: np.ndarray
    cold: np.ndarray
    held: np.ndarray
    order: np.ndarray
    moved: np.ndarray
    closing: np.ndarray
    moves: np.ndarray
    cycles: np.ndarray


def record(
    path: Path,
    driver: Driver,
    batches: MiniBatches,
    follow: FollowOptions,
    *,
    preset: str,
    backend: str,
    memory: str | None,
    seed: int,
    row_bytes: int,
    clock_mhz: float,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Recording:
    """Lets an accelerator that has learned split mini-batches and gather their cold rows, and writes what it did.

    The rows that it gathers are zeros. They lie where those of a training would: the tables end to end.

    Args:
        path: is written when all is done, or not at all.
        preset, backend, memory, seed, clock_mhz: noted, see `Header`.
        row_bytes: bytes of each row, a multiple of 16.
        progress: called after each mini-batch with the number that are done, and of all.

    Raises:
        DriverError: a mini-batch is beyond the accelerator, or its answer does not follow from the hot rows.
        OSError: the file cannot be written.
    """
    log = batches.log
    gather = _Gather(driver, log.rows, row_bytes)
    places, follower = RowPlaces(log.rows), Follower(driver, follow)
    placed = np.array(driver.hot_set(driver.dump()))
    places.where[places.bases[placed[0]] + placed[1]] = placed[2]
    per_batch: dict[str, list[Any]] = {name: [] for name in _COUNTED}
    orders, moves = [np.empty(0, np.int64)], [np.empty((5, 0), np.int64)]
    spent = driver.rings.statistics.cycles
    for number, batch in enumerate(batches):
        before = spent.copy()
        followed = follower.split(batch)
        took = spent - before  # without what took none
        if followed.moves is not None:
            apply_moves(places, followed.moves)
            moves.append(_columns(followed.moves))
        order = _order(places.split(batch), followed.split, number)
        orders.append(order)
        working = followed.split.working
        done = [gather(working, held) for held in (False, True)]
        values: dict[str, Any] = {
            "checksums": checksum(keys_of(batch, places.bases), batch),
            "cold": -1 if working is None else len(working),
            "held": 0 if working is None else working.held,
            "moved": -1 if followed.moves is None else len(followed.moves),
            "closing": _closing(followed.moves),
            "cycles": Cycles(followed.cycles, took[Opcode.SELECT], sum(took[opcode] for opcode in _SPLITS), *done),
        }
        for name, value in values.items():
            per_batch[name].append(value)
        progress(number + 1, len(batches))
    header = Header(
        preset=preset, backend=backend, memory=memory, hot_rows=driver.hot_rows,
        most_moves=driver.geometry.max_moves, log=log.name, rows=log.rows.tolist(), start=batches.start,
        stop=batches.stop, batch_size=batches.size, seed=seed, row_bytes=row_bytes, follow=asdict(follow),
        clock_mhz=clock_mhz, mini_batches=len(batches),
    )  # fmt: skip
    arrays = {name: np.array(values, _COUNTED[name]) for name, values in per_batch.items()}
    for name, width in _WIDTHS.items():
        arrays[name] = arrays[name].reshape(-1, width)
    arrays |= {"placed": placed, "order": np.concatenate(orders), "moves": np.concatenate(moves, axis=1)}
    text = json.dumps({"format": FORMAT} | asdict(header))
    write_npz(path, header=np.array(text), **{name: _narrow(array) for name, array in arrays.items()})
    return Recording(header, **arrays)


def read_recording(path: Path) -> Recording:
    """Reads what `record` wrote.

    Raises:
        DataError: the file is none, damaged, or of another format.
        OSError: it cannot be read.
    """
    try:
        with np.load(path) as file:
            fields = json.loads(str(file["header"]))
            version = fields.pop("format")
            if version != FORMAT:
                raise DataError(f"{path}: a recording of format {version}, not {FORMAT}; record it again")
            header = Header(**fields)
            arrays = {name: file[name] for name in _ARRAYS}
    except DataError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(path, str(error)) from None
    arrays = {name: array if name in ("checksums", "order") else _widen(array) for name, array in arrays.items()}
    count, cold, moved = header.mini_batches, arrays["cold"], arrays["moved"]
    shapes = {
        "placed": (3, arrays["placed"].shape[-1]), "order": (int(np.maximum(cold, 0).sum()),),
        "moves": (5, int(np.maximum(moved, 0).sum())),
    }  # fmt: skip
    for name, array in arrays.items():
        due = shapes.get(name, (count, *([_WIDTHS[name]] if name in _WIDTHS else [])))
        if array.shape != due or array.dtype.kind not in "iu":
            raise _damaged(path, f"{name} is {array.dtype} {list(array.shape)}, not integers {list(due)}")
    return Recording(header, **arrays)


def apply_moves(places: RowPlaces, moves: Moves) -> None:
    """Puts rows where moves put them."""
    left = moves.evicted_tables >= 0
    places.where[places.bases[moves.evicted_tables[left]] + moves.evicted_rows[left]] = COLD
    places.where[places.bases[moves.tables] + moves.rows] = moves.slots


def checksum(keys: np.ndarray, batch: Batch) -> int:
    """Of the lookups of a mini-batch, with their samples and tables. `keys` are those of `keys_of`."""
    return int(_checksum(keys, batch.sample_offsets))


_SPLITS = Opcode.FRONT, Opcode.CLASSIFY, Opcode.LEARN  # what is done to split a mini-batch
_COUNTED: dict[str, Any] = {
    "checksums": np.uint64, "cold": np.int64, "held": np.int64, "moved": np.int64, "closing": np.int64,
    "cycles": np.int64,
}  # fmt: skip
"""Arrays with an element, or a row, for each mini-batch."""
_WIDTHS = {"closing": 4, "cycles": len(Cycles._fields)}
_ARRAYS = ("placed", *_COUNTED, "order", "moves")


class _Gather:
    """Has the accelerator gather the cold rows of the mini-batch that was split last, from tables of zeros."""

    def __init__(self, driver: Driver, rows: np.ndarray, row_bytes: int) -> None:
        self._driver, self._row_bytes, memory = driver, row_bytes, driver.device.memory
        region = memory.allocate("tables", max(1, int(rows.sum()) * row_bytes))
        self._target = memory.allocate("gathered", max(1, driver.geometry.working_rows * row_bytes))
        first = 0
        for table, count in enumerate(rows.tolist()):
            driver.set_table(table, region.address + first * row_bytes, count, row_bytes)
            first += count

    def __call__(self, working: WorkingSet | None, held: bool) -> int:
        """Clock cycles. Nothing is sent if there is no such row."""
        count = 0 if working is None else working.held if held else len(working) - working.held
        if not count:
            return 0
        done = self._driver.gather(self._row_bytes, self._target, held=held)
        if done.written != count:
            raise DriverError(f"of {count} cold rows that were listed {done.written} were gathered")
        return done.cycles


def _order(derived: Split, split: Split, number: int) -> np.ndarray:
    """Where each working row is in the derived list. Raises DriverError if anything but the order differs."""
    same = np.array_equal(derived.popular, split.popular) and np.array_equal(derived.slots, split.slots)
    order = np.empty(0, np.int64)
    if (working := split.working) is not None and same:
        cold = working.places >= 0
        order = np.full(len(working), -1, np.int64)
        assert derived.working is not None
        order[working.places[cold]] = derived.working.places[cold]
        same = len(working) == len(derived.working) and all(
            np.array_equal(mine[order], its)
            for mine, its in ((derived.working.tables, working.tables), (derived.working.rows, working.rows))
        )
    if not same:
        raise DriverError(f"the accelerator's answer to mini-batch {number} does not follow from its hot rows")
    return order


def _columns(moves: Moves) -> np.ndarray:
    """int64 [5, m]."""
    return np.array([moves.slots, moves.tables, moves.rows, moves.evicted_tables, moves.evicted_rows], np.int64)


def _closing(moves: Moves | None) -> tuple[int, int, int, int]:
    return (0, 0, 0, 0) if moves is None else (moves.hot_count, moves.threshold, moves.idle, moves.recent)


def _narrow(array: np.ndarray) -> np.ndarray:
    """The same values in as few bytes as hold them all."""
    if not array.size:
        return array
    kind = np.result_type(np.min_scalar_type(int(array.min())), np.min_scalar_type(int(array.max())))
    return array.astype(kind if kind.kind in "iu" else array.dtype)


def _widen(array: np.ndarray) -> np.ndarray:
    return array.astype(np.int64) if array.dtype.kind in "iu" else array


def _damaged(path: Path, what: str) -> DataError:
    return DataError(
        f"{path}: no whole recording of an accelerator ({' '.join(what.split())}); make one with `hotline record`"
    )


@compiled()
def _checksum(keys, offsets):
    """FNV-1a, over words in place of bytes."""
    state = np.uint64(0xCBF29CE484222325)
    for key in keys:
        state = (state ^ np.uint64(key)) * np.uint64(0x100000001B3)
        state ^= state >> np.uint64(32)  # a product alone carries nothing downwards
    for offset in offsets:
        state = (state ^ np.uint64(offset)) * np.uint64(0x100000001B3)
        state ^= state >> np.uint64(32)
    return state
