"""Golden model of GATHER's rows: named, looked up, read and written, in order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hotline_device.ring_entries import Descriptor
from hotline_hw.spec.descriptors import Flag, Status
from hotline_hw.spec.words import PAYLOAD_FIELD, ROW_FIELD, TABLE_FIELD

from .windowed_memory import Fault, WindowedMemory

__all__ = ["Gather", "Table"]

_TABLES = 1 << TABLE_FIELD.width


class Table(NamedTuple):
    """An embedding table in memory: address of row 0, rows, bytes from one to the next."""

    address: int
    rows: int
    stride: int


class Gather:
    """Carries one out.

    Args:
        names: uint64 [n], the rows' tables and numbers, as lookup words.

    Attributes:
        read: rows that were read, all of which are written.
        fault: what ended it, None if nothing did. Without an address where no access was to blame.
    """

    def __init__(self, it: Descriptor, names: np.ndarray, tables: dict[int, Table], memory: WindowedMemory) -> None:
        addresses, self.fault = _addresses(names, tables)
        rows, self.read, fault = memory.gather(addresses, it.operand)
        self.fault = fault or self.fault
        write_fault = memory.write(it.targets[0], rows)
        if it.flags & Flag.KEYS:
            write_fault = write_fault or memory.write(it.targets[1], names[: self.read] & np.uint64(PAYLOAD_FIELD.mask))
        self.fault = write_fault or self.fault  # what was read for it came before what could not be


def _addresses(names: np.ndarray, tables: dict[int, Table]) -> tuple[np.ndarray, Fault | None]:
    """Where the rows lie, uint64, up to the first that cannot be; why it cannot."""
    known = np.zeros(_TABLES, bool)
    place = np.zeros((3, _TABLES), np.uint64)
    for number, table in tables.items():
        known[number] = True
        place[:, number] = table
    of_table = (names >> np.uint64(TABLE_FIELD.low) & np.uint64(TABLE_FIELD.mask)).astype(np.int64)
    row = names & np.uint64(ROW_FIELD.mask)
    base, rows, stride = place[:, of_table]
    bad = ~known[of_table] | (row >= rows)
    addresses, fault = base + row * stride, None
    if bad.any():
        first = int(bad.argmax())
        fault = Fault(Status.ROW if known[of_table[first]] else Status.TABLE, 0)
        addresses = addresses[:first]
    return addresses, fault
