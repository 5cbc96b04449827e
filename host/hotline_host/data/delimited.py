"""Delimited text, read block by block.

A block goes through a vectorised pass. If that finds damage, a pass over its lines names the damage or leaves it out::

    stream --> whole lines, 32 MiB --> Arrow's CSV reader --> distinct values match their patterns? --> columns
                                              |                           | no
                                              +---- wrong shape --> line by line: name the damage, or skip the line
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from .log import DataError

__all__ = ["Field", "Position", "Progress", "Reader"]

BLOCK_BYTES = 32 << 20
"""Bytes read at once, and so the length of the longest line."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Progress = Callable[[str, int, int], None]
"""Called as `progress(what, done, total)`, in any unit."""


@dataclass(frozen=True)
class Position:
    """A place between two samples of a text: bytes before it, and the number of its line."""

    offset: int = 0
    line: int = 1


@dataclass(frozen=True)
class Field:
    """One column of the text.

    Attributes:
        name: its name in the header or in the format's description.
        pattern: regular expression (in RE2 and `re` alike) that matches the whole of a good value.
        right: describes a good value, for messages.
    """

    name: str
    pattern: str
    right: str

    @cached_property
    def expression(self) -> re.Pattern[bytes]:
        return re.compile(self.pattern.encode())

    def good(self, values: pa.Array) -> bool:
        """Whether every value (binary [n]) is right."""
        return pc.all(pc.match_substring_regex(values, f"^(?:{self.pattern})$"), min_count=0).as_py()


class Reader:
    """Reads the samples of one delimited text.

    A byte-order mark at the start and blank lines at the end are ignored.

    Args:
        stream: bytes, lines ended by LF or CR LF.
        name: the file, for messages.
        fields: the columns wanted. Without a header, they are all the columns there are.
        delimiter: between columns. Values may be quoted only if the header is.
        header: the first line names the columns; columns are found by name, and others are ignored.
        label: the field that a test set lacks, if any, for messages.
        skip_bad: leave damaged lines out and count them, instead of raising DataError.
        limit: most samples to read.
        start: where to begin, a `position` of another reader of this text. None: at its beginning.

    Attributes:
        skipped: damaged lines left out so far.
        position: of the text that was not read yet.
    """

    def __init__(
        self, stream: BinaryIO, name: str, fields: Sequence[Field], *, delimiter: str, header: bool = False,
        label: str | None = None, skip_bad: bool = False, limit: int | None = None, start: Position | None = None,
    ) -> None:  # fmt: skip
        self.skipped = 0
        self._stream, self._name, self._fields = stream, name, fields
        self._delimiter, self._label, self._skip_bad, self._limit = delimiter, label, skip_bad, limit
        self._line = 1
        self._rest = b""
        self._taken = start.offset if start else 0  # bytes of the text
        self._blank_lines = b""
        self._mark = _BYTE_ORDER_MARK
        self._lines_taken = 0
        self._quoted = False
        self._first_fault = ""
        self.position = Position()
        if start:
            _skip_bytes(stream, start.offset)
            self.position, self._line, self._mark = start, start.line, b"" if start.offset else self._mark
        self._columns = self._read_header() if header else [field.name for field in fields]
        self._positions = [self._columns.index(field.name) for field in fields]

    def tables(self) -> Iterator[pa.Table]:
        """The samples, block by block: a dictionary<int32, binary> column per field, no nulls.

        Raises:
            DataError: no sample in the text, or the first damaged line unless `skip_bad`; the message names file, line,
                field, value and what is right.
        """
        left = self._limit
        samples = 0
        while left != 0 and (block := self._next_block(left)):
            table = self._parse(block)
            if table is None:
                block = self._sift(block)
                table = self._parse(block) if block else None
                if block and table is None:
                    raise DataError(
                        f"{self._name}: lines {self._line} on cannot be cut into {len(self._columns)} columns; "
                        "each line ends with LF or CR LF"
                    )
            self._line += self._lines_taken
            self.position = Position(self._taken - len(self._rest) - len(self._blank_lines), self._line)
            if table is not None:
                left = None if left is None else left - table.num_rows
                samples += table.num_rows
                yield table
        if not samples:
            first = f", the first being {self._first_fault}" if self.skipped else ""
            raise DataError(
                f"{self._name}: no sample in it ({self.skipped} damaged lines left out{first}); a line is one sample"
            )

    def _next_block(self, left: int | None) -> bytes:
        """Whole lines, `left` at most, or nothing at the end of the text."""
        block, self._rest = self._rest or self._read_lines(), b""
        lines = block.count(b"\n")
        if left is not None and lines > left:
            cut = _nth_line_end(block, left)
            block, self._rest = block[:cut], block[cut:]
            lines = left
        self._lines_taken = lines
        return block

    def _read_lines(self) -> bytes:
        """Whole lines, the last of which is not blank; or nothing at the end of the text."""
        data = b""
        while not data and (data := self._stream.read(BLOCK_BYTES)):
            self._taken += len(data)
            data, self._mark = data.removeprefix(self._mark), b""
            if not data.endswith(b"\n"):
                more = self._stream.readline(BLOCK_BYTES)
                self._taken += len(more)
                data += more
                if not data.endswith(b"\n"):
                    self._refuse_long_line(data)
                    data += b"\n"
                    self._taken += 1  # so that positions before it stay right
            if self._blank_lines:
                data, self._blank_lines = self._blank_lines + data, b""
            if data.endswith((b"\n\n", b"\n\r\n")) or data in (b"\n", b"\r\n"):
                # Blank lines are held back until more text shows that they are not the end of it.
                text = data.rstrip(b"\r\n")
                end = data.index(b"\n", len(text)) + 1 if text else 0
                data, self._blank_lines = data[:end], data[end:]
        return data

    def _refuse_long_line(self, data: bytes) -> None:
        if len(data) - data.rfind(b"\n") > BLOCK_BYTES:
            line = self._line + data.count(b"\n")
            raise DataError(f"{self._name}, line {line}: longer than {BLOCK_BYTES} bytes; a log has one sample a line")

    def _read_header(self) -> list[str]:
        text = self._stream.readline(BLOCK_BYTES).removeprefix(self._mark)
        self._mark = b""
        wanted = ", ".join(field.name for field in self._fields)
        if not text:
            raise DataError(f"{self._name}: no sample in it, nor a header; line 1 must name {wanted}")
        line = text.rstrip(b"\r\n").decode(errors="replace")
        self._quoted = line.startswith('"')
        columns = next(csv.reader([line], delimiter=self._delimiter)) if self._quoted else line.split(self._delimiter)
        missing = [field.name for field in self._fields if field.name not in columns]
        if missing == [self._label]:
            raise DataError(
                f"{self._name}, line 1: the header lacks {self._label}, as in a test set; name a log with its labels"
            )
        if missing:
            shown = line if len(line) <= 60 else line[:60] + "..."
            raise DataError(
                f"{self._name}, line 1: the header {shown!r} lacks {', '.join(missing)}; it must name {wanted}, with "
                f"{self._between} between them"
            )
        self._line = 2
        return columns

    @property
    def _between(self) -> str:
        return {"\t": "tabs", ",": "commas"}[self._delimiter]

    def _parse(self, block: bytes) -> pa.Table | None:
        """The block's columns, or None if any line of it is damaged."""
        kind = pa.dictionary(pa.int32(), pa.binary())
        # Columns are read by number: a header may name one twice.
        names = [str(position) for position in range(len(self._columns))]
        wanted = [names[position] for position in self._positions]
        # Arrow's threads may hold the text for a moment after `read_csv` returns. If such a thread frees memory of
        # Python while the interpreter exits, the process aborts. So the text is copied to memory of Arrow.
        text = pa.allocate_buffer(len(block))
        memoryview(text).cast("B")[:] = block
        try:
            table = pacsv.read_csv(
                pa.BufferReader(text),
                read_options=pacsv.ReadOptions(column_names=names, block_size=4 << 20),
                parse_options=pacsv.ParseOptions(
                    delimiter=self._delimiter,
                    quote_char='"' if self._quoted else False,
                    double_quote=self._quoted,
                    ignore_empty_lines=False,
                ),
                convert_options=pacsv.ConvertOptions(
                    include_columns=wanted, column_types=dict.fromkeys(wanted, kind), strings_can_be_null=False
                ),
            ).rename_columns([field.name for field in self._fields])
        except pa.ArrowInvalid:
            return None
        if table.num_rows != block.count(b"\n"):
            return None
        for field, column in zip(self._fields, table.columns, strict=True):
            if not all(field.good(chunk.dictionary) for chunk in column.chunks):
                return None
        return table

    def _sift(self, block: bytes) -> bytes:
        """The block without its damaged lines, which are counted.

        Raises:
            DataError: at the first damaged line unless `skip_bad`.
        """
        good = io.BytesIO()
        for number, line in enumerate(block.removesuffix(b"\n").split(b"\n"), self._line):
            fault = self._fault(line.removesuffix(b"\r"))
            if fault is None:
                good.write(line + b"\n")
            elif self._skip_bad:
                self.skipped += 1
                self._first_fault = self._first_fault or f"line {number}{fault}"
            else:
                raise DataError(f"{self._name}, line {number}{fault}; mend the line, or skip damaged lines")
        return good.getvalue()

    def _fault(self, line: bytes) -> str | None:
        """What is wrong with a line, as the text after its number in a message; None if nothing is."""
        try:
            values = self._split(line)
        except csv.Error as error:
            return f": quotes that do not pair ({error})"
        if len(values) != len(self._columns):
            fault = f": {len(values)} fields; it must have {len(self._columns)}, with {self._between} between them"
            if self._label and len(values) == len(self._columns) - 1:
                fault += f" (a test set lacks the {self._label}; name a log with its labels)"
            return fault
        if b"\r" in line:
            return ": a carriage return inside the line; each line ends with LF or CR LF"
        for field, position in zip(self._fields, self._positions, strict=True):
            if not field.expression.fullmatch(values[position]):
                shown = values[position][:40].decode(errors="backslashreplace")
                return f", field {field.name}: {shown!r} is not {field.right}"
        return None

    def _split(self, line: bytes) -> list[bytes]:
        if not self._quoted:
            return line.split(self._delimiter.encode())
        text = line.decode("latin-1")  # a character a byte, and back
        rows = list(csv.reader([text], delimiter=self._delimiter, strict=True))
        return [value.encode("latin-1") for value in rows[0]] if rows else [b""]


def _skip_bytes(stream: BinaryIO, count: int) -> None:
    """Goes on behind so many bytes. What is compressed must be unpacked for it."""
    if stream.seekable():
        stream.seek(count)
        return
    while count > 0 and (data := stream.read(min(count, BLOCK_BYTES))):
        count -= len(data)


def _nth_line_end(block: bytes, n: int) -> int:
    """The offset just after the n-th LF."""
    end = 0
    for _ in range(n):
        end = block.index(b"\n", end) + 1
    return end
