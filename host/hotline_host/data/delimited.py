"""Delimited text, read in blocks: a vectorised pass, and a precise one where a block holds a damaged line.

The way of a block::

    stream --> whole lines, 32 MiB --> Arrow's CSV reader --> distinct values match their patterns? --> columns
                                              |                           | no
                                              +---- wrong shape --> line by line: name the damage, or skip the line
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from .log import DataError

__all__ = ["Field", "Progress", "Reader", "open_text"]

BLOCK_BYTES = 32 << 20
"""Bytes read at once, and so the longest line."""

Progress = Callable[[str, int, int], None]
"""Called as `progress(what, done, total)`, in whatever unit the work has."""


@dataclass(frozen=True)
class Field:
    """One column of the text.

    Attributes:
        name: as the header or the format's description calls it.
        pattern: regular expression (common to RE2 and `re`) that the whole of a good value matches.
        right: what would be right, in words, for messages.
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


@contextmanager
def open_text(path: Path) -> Iterator[tuple[BinaryIO, Callable[[], int], int]]:
    """A file to read, unpacked where its name ends in `.gz`.

    Yields:
        the stream, a function that says how many bytes of the file have been read, and the file's size.

    Raises:
        DataError: no such file, unreadable, or damaged gzip.
    """
    try:
        with path.open("rb") as raw:
            stream: BinaryIO = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw  # type: ignore[assignment]
            yield stream, raw.tell, path.stat().st_size
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; name the log by its path, absolute or from {Path.cwd()}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged gzip ({error}); fetch the file again, or unpack what is left of it") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); name a readable file") from None


class Reader:
    """Reads the samples of one delimited text.

    Args:
        stream: bytes, lines ended by LF or CR LF.
        name: the file, for messages.
        fields: the columns wanted. Without a header, they are all the columns there are.
        delimiter: between columns; there is no quoting.
        header: the first line names the columns; columns are found by name, and others are ignored.
        skip_bad: leave damaged lines out and count them, instead of raising DataError.
        limit: most samples to read.

    Attributes:
        skipped: damaged lines left out so far.
    """

    def __init__(
        self, stream: BinaryIO, name: str, fields: Sequence[Field], *, delimiter: str, header: bool = False,
        skip_bad: bool = False, limit: int | None = None,
    ) -> None:  # fmt: skip
        self.skipped = 0
        self._stream, self._name, self._fields = stream, name, fields
        self._delimiter, self._skip_bad, self._limit = delimiter, skip_bad, limit
        self._line = 1
        self._rest = b""
        self._lines_taken = 0
        self._columns = self._read_header() if header else [field.name for field in fields]
        self._positions = [self._columns.index(field.name) for field in fields]

    def tables(self) -> Iterator[pa.Table]:
        """The samples, block by block: a dictionary<int32, binary> column per field, no nulls.

        Raises:
            DataError: at the first damaged line unless `skip_bad`; naming file, line, field, value and what is right.
        """
        left = self._limit
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
            if table is not None:
                left = None if left is None else left - table.num_rows
                yield table

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
        data = self._stream.read(BLOCK_BYTES)
        if data and not data.endswith(b"\n"):
            data += self._stream.readline(BLOCK_BYTES)
            if not data.endswith(b"\n"):
                if len(data) - data.rfind(b"\n") > BLOCK_BYTES:
                    line = self._line + data.count(b"\n")
                    raise DataError(
                        f"{self._name}, line {line}: longer than {BLOCK_BYTES} bytes; a log has one sample a line"
                    )
                data += b"\n"
        return data

    def _read_header(self) -> list[str]:
        line = self._stream.readline(BLOCK_BYTES).rstrip(b"\r\n").decode(errors="replace").removeprefix("\ufeff")
        columns = line.split(self._delimiter)
        missing = [field.name for field in self._fields if field.name not in columns]
        if missing:
            shown = line if len(line) <= 60 else line[:60] + "..."
            raise DataError(
                f"{self._name}, line 1: the header {shown!r} lacks {', '.join(missing)}; "
                f"it must name {', '.join(field.name for field in self._fields)}"
            )
        self._line = 2
        return columns

    def _parse(self, block: bytes) -> pa.Table | None:
        """The block's columns, or None if any line of it is damaged."""
        kind = pa.dictionary(pa.int32(), pa.binary())
        # Columns are read by number: a header may name one twice.
        names = [str(position) for position in range(len(self._columns))]
        wanted = [names[position] for position in self._positions]
        try:
            table = pacsv.read_csv(
                pa.BufferReader(block),
                read_options=pacsv.ReadOptions(column_names=names, block_size=4 << 20),
                parse_options=pacsv.ParseOptions(
                    delimiter=self._delimiter, quote_char=False, double_quote=False, ignore_empty_lines=False
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
            else:
                raise DataError(f"{self._name}, line {number}{fault}; mend the line, or skip damaged lines")
        return good.getvalue()

    def _fault(self, line: bytes) -> str | None:
        """What is wrong with a line, to follow its number, or None."""
        values = line.split(self._delimiter.encode())
        if len(values) != len(self._columns):
            between = {"\t": "tabs", ",": "commas"}[self._delimiter]
            return f": {len(values)} fields; it must have {len(self._columns)}, with {between} between them"
        if b"\r" in line:
            return ": a carriage return inside the line; each line ends with LF or CR LF"
        for field, position in zip(self._fields, self._positions, strict=True):
            if not field.expression.fullmatch(values[position]):
                shown = values[position][:40].decode(errors="backslashreplace")
                return f", field {field.name}: {shown!r} is not {field.right}"
        return None


def _nth_line_end(block: bytes, n: int) -> int:
    """The offset just after the n-th LF."""
    end = 0
    for _ in range(n):
        end = block.index(b"\n", end) + 1
    return end
