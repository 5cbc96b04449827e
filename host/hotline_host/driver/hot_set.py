"""Reads the hot rows from a dump of the tracker, and the moves from the answer to SELECT, by inverting the hash."""

from __future__ import annotations

import numpy as np

from hotline_host.errors import DriverError
from hotline_host.plan import Moves
from hotline_host.tracking.controller import read_closing
from hotline_hw.spec.feistel import unmix
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import (
    ENTRY_HOT,
    ENTRY_TAG,
    ENTRY_VALID,
    EVENT_KEY,
    EVENT_VALID,
    SLOT_FIELD,
    SLOT_WORD_SLOT,
    Field,
)

__all__ = ["Moves", "read_dump", "read_events"]


def read_dump(geometry: Geometry, hot_rows: int, dump: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The hot rows in a dump that was taken under a budget of `hot_rows`.

    Returns:
        tables, rows, slots: int64 [m], in ascending order of slots.

    Raises:
        DriverError: a tag does not belong to its set, or an entry or its slot is outside the budget.
    """
    index_bits = geometry.index_bits_in_use(hot_rows)
    entries = dump[:: geometry.state_rows_per_set]
    gsets, ways = np.nonzero(_field(entries, ENTRY_VALID))
    words = entries[gsets, ways]
    tags = _field(words, ENTRY_TAG)
    wrong = (tags & ((1 << index_bits - geometry.bank_bits) - 1) != gsets >> geometry.bank_bits) | (
        tags >> geometry.tag_bits != 0
    )
    in_use = hot_rows * geometry.entries_per_hot_row
    wrong |= ways << index_bits | gsets >= in_use  # as many sets as the rest have one way more
    if wrong.any():
        at = int(wrong.argmax())
        raise DriverError(
            f"entry {int(words[at]):#018x} cannot be in set {gsets[at]}, way {ways[at]} with "
            f"{hot_rows} hot rows: its tag belongs to another set, or the way is outside the budget"
        )
    hot = _field(words, ENTRY_HOT) == 1
    gsets, ways, tags = gsets[hot], ways[hot], tags[hot]
    slots = _field(dump[1::2][gsets, ways], SLOT_WORD_SLOT).astype(np.int64)
    order = np.sort(slots)
    if not np.array_equal(order, np.arange(len(order))) or len(order) > hot_rows:
        raise DriverError(
            f"{len(order)} entries are hot, so their slots must be 0 to {len(order) - 1}, each once, with "
            f"{hot_rows} hot rows; they are {', '.join(map(str, order[:8].tolist()))}, ..."
        )
    tables, rows = _rows(geometry, tags << geometry.bank_bits | (gsets & geometry.banks - 1).astype(np.uint64))
    order = np.argsort(slots)
    return tables[order], rows[order], slots[order]


def read_events(geometry: Geometry, hot_rows: int, events: np.ndarray) -> Moves:
    """The moves in the answer to SELECT, uint64 [m + 1, ways].

    Raises:
        DriverError: an event lacks its mark, or names an impossible slot or row.
    """
    comes, leaves = events[:-1, 0], events[:-1, 1]
    slots = _field(comes, SLOT_FIELD).astype(np.int64)
    leaving = _field(leaves, EVENT_VALID) == 1
    keys, old_keys = _field(comes, EVENT_KEY), np.where(leaving, _field(leaves, EVENT_KEY), np.uint64(0))
    wrong = (_field(comes, EVENT_VALID) == 0) | (slots >= hot_rows) | ((keys | old_keys) >> geometry.key_bits != 0)
    closing = read_closing(events[-1])
    if wrong.any() or closing.hot_count > hot_rows:
        at = int(wrong.argmax()) if wrong.any() else len(wrong)
        raise DriverError(
            f"beat {at} of SELECT's answer, {int(events[at, 0]):#018x} {int(events[at, 1]):#018x}, cannot be: it lacks "
            f"its mark, or its slot or number of hot rows is beyond the {hot_rows} that may be, or its key has more "
            f"than {geometry.key_bits} bits"
        )
    tables, rows = _rows(geometry, keys)
    evicted_tables, evicted_rows = (np.where(leaving, part, -1) for part in _rows(geometry, old_keys))
    return Moves(slots, tables, rows, evicted_tables, evicted_rows, *closing)


def _field(words: np.ndarray, field: Field) -> np.ndarray:
    return words >> field.low & field.mask


def _rows(geometry: Geometry, mixed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tables and rows, int64 [n], of mixed keys."""
    keys = unmix(mixed, geometry.key_bits)
    return (keys >> geometry.row_bits).astype(np.int64), (keys & ((1 << geometry.row_bits) - 1)).astype(np.int64)
