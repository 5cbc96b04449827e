"""GATHER: brings the cold rows of the last mini-batch, or the rows of a list."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hotline_device.host_memory import Region
from hotline_device.ring_entries import Descriptor
from hotline_host.errors import DriverError
from hotline_hw.spec.descriptors import BUFFER_ALIGN, GRANULE_BYTES, Flag, Opcode
from hotline_hw.spec.words import ROW_FIELD, TABLE_FIELD

from .buffers import Buffers
from .control import Control
from .rings import Rings

__all__ = ["Gathered", "Gatherer"]


class Gathered(NamedTuple):
    """The result of a GATHER.

    Attributes:
        written: rows written.
        cycles: clock cycles of the descriptor, 0 on a backend without a clock.
        tables, rows: int64 [written], which rows; None unless keys were asked for.
    """

    written: int
    cycles: int
    tables: np.ndarray | None = None
    rows: np.ndarray | None = None


class Gatherer:
    """Sets tables up, and gathers their rows.

    Args:
        working_rows: the most cold rows of a mini-batch.
    """

    def __init__(self, control: Control, rings: Rings, buffers: Buffers, working_rows: int) -> None:
        self._control, self._rings, self._buffers, self._most = control, rings, buffers, working_rows

    def set_table(self, table: int, address: int, rows: int, stride_bytes: int) -> None:
        """As `Driver.set_table`."""
        if not 0 <= table < 1 << TABLE_FIELD.width or not 0 <= rows < 1 << ROW_FIELD.width:
            raise DriverError(f"table {table} of {rows} rows: tables are 0 to 255, their rows at most 2^32 - 1")
        stride, rest = divmod(stride_bytes, GRANULE_BYTES)
        if rest or not 0 <= stride < 1 << 16 or address % GRANULE_BYTES:
            raise DriverError(
                f"table {table} at {address:#x}, a row every {stride_bytes} bytes: both must be multiples of "
                f"{GRANULE_BYTES}, and the second less than {GRANULE_BYTES << 16}"
            )
        if rows:
            size = (rows - 1) * stride_bytes + GRANULE_BYTES
            if (found := self._rings.device.memory.find(address, size)) is None:
                raise DriverError(f"table {table}: no region of memory holds {rows} rows from {address:#x} on")
            self._rings.windows.expose(found[0], read=True)
        self._control.write("TABLE_INDEX", table)
        self._control.write("TABLE_LO", address & 0xFFFF_FFFF)
        self._control.write("TABLE_HI", address >> 32)
        self._control.write("TABLE_ROWS", rows)
        self._control.write("TABLE_STRIDE", stride)

    def gather(self, row_bytes: int, target: Region, offset: int, *, held: bool, keys: bool) -> Gathered:
        """As `Driver.gather`."""
        self._expose(target, offset)
        flags = (Flag.HELD if held else Flag(0)) | (Flag.KEYS if keys else Flag(0))
        names = self._buffers.targets(8 * self._most)[0] if keys else None
        done = self._rings.run([
            Descriptor(
                opcode=Opcode.GATHER, flags=flags, operand=row_bytes,
                targets=(target.address + offset, names.address if names else 0, 0),
            )
        ])[0]  # fmt: skip
        if names is None:
            return Gathered(done.listed, done.cycles)
        words = names.array(done.listed, np.uint64)
        tables = (words >> np.uint64(TABLE_FIELD.low) & np.uint64(TABLE_FIELD.mask)).astype(np.int64)
        rows = (words & np.uint64(ROW_FIELD.mask)).astype(np.int64)
        return Gathered(done.listed, done.cycles, tables, rows)

    def listed(self, words: np.ndarray, row_bytes: int, target: Region, offset: int) -> int:
        """GATHER with LIST. Returns how many rows were written."""
        if words.dtype != np.uint64 or words.ndim != 1 or not len(words):
            raise DriverError(f"a list is uint64 [n], n at least 1, and not {words.dtype} {list(words.shape)}")
        self._expose(target, offset)
        source = self._buffers.sources(words.nbytes)[0]
        source.array(len(words), np.uint64)[:] = words
        done = self._rings.run([
            Descriptor(
                opcode=Opcode.GATHER, flags=Flag.LIST, source=source.address, count=len(words),
                operand=row_bytes, targets=(target.address + offset, 0, 0),
            )
        ])[0]  # fmt: skip
        return done.listed

    def _expose(self, target: Region, offset: int) -> None:
        if offset % BUFFER_ALIGN or not 0 <= offset < target.size:
            raise DriverError(
                f"rows cannot begin at byte {offset} of region {target.name!r}: they begin at a multiple of "
                f"{BUFFER_ALIGN} below its {target.size} bytes"
            )
        self._rings.windows.expose(target, write=True)
