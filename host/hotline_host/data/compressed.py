"""Opening a text file, plain or compressed. How it is compressed is seen from its first bytes, not from its name."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from .log import DataError

__all__ = ["open_text"]

_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"PK\x03\x04": "zip",
}
_SUFFIXES = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd", ".lz4": "lz4", ".zip": "zip"}
_REFUSED = {
    b"PAR1": "a Parquet file; write it as text, or as arrays with numpy.savez",
    b"\x89HDF": "an HDF5 file; write it as text, or as arrays with numpy.savez",
    b"7z\xbc\xaf": "a 7z archive; unpack it and name the text file",
    b"Rar!": "a RAR archive; unpack it and name the text file",
    b"\x1f\x9d": "compressed with `compress`; unpack it and name the text file",
    b"\xff\xfe": "UTF-16 text; write it as UTF-8",
    b"\xfe\xff": "UTF-16 text; write it as UTF-8",
}
_TAR = slice(257, 262)
_DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile, pa.ArrowException)


@contextmanager
def open_text(path: Path) -> Iterator[tuple[BinaryIO, Callable[[], int], int]]:
    """Opens a text file to read: plain, gzip, bzip2, xz, zstd, lz4, or a zip archive of one file. A pipe will do.

    Yields:
        the unpacked stream, a function that returns how many bytes of the file have been read, and the file's size.
        The last two are 0 for a pipe.

    Raises:
        DataError: no such file, unreadable, damaged, or no text; here or while the stream is read.
    """
    kind = None
    try:
        with path.open("rb") as raw:
            start = raw.peek(6)
            kind = next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), None)
            # A compressed file whose first bytes are damaged is not taken for text.
            kind = kind or _SUFFIXES.get(path.suffix.lower())
            unpacked = _unpack(path, raw, kind) if start and kind else raw
            stream: io.BufferedReader = io.BufferedReader(cast(io.RawIOBase, unpacked))
            _refuse_other_formats(path, stream)
            if raw.seekable():
                yield stream, raw.tell, path.stat().st_size
            else:
                yield stream, lambda: 0, 0
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; name the log by its path, absolute or from {Path.cwd()}") from None
    except _DAMAGED as error:
        raise _damaged(path, kind, error) from None
    except OSError as error:
        if kind and error.errno is None:  # of a decompressor, not of the file system
            raise _damaged(path, kind, error) from None
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); name a readable file") from None


def _unpack(path: Path, raw: io.BufferedReader, kind: str) -> BinaryIO:
    match kind:
        case "gzip":
            return cast(BinaryIO, gzip.GzipFile(fileobj=raw))
        case "bzip2":
            return cast(BinaryIO, bz2.BZ2File(raw))
        case "xz":
            return cast(BinaryIO, lzma.LZMAFile(raw))
        case "zip":
            return _only_member(path, raw)
    return cast(BinaryIO, pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), kind))


def _only_member(path: Path, raw: io.BufferedReader) -> BinaryIO:
    if not raw.seekable():
        raise DataError(f"{path}: a zip archive cannot be read from a pipe; unpack it first, as with `unzip -p`")
    archive = zipfile.ZipFile(raw)
    members = [member for member in archive.infolist() if not member.is_dir()]
    names = ", ".join(member.filename for member in members[:4]) + (", ..." if len(members) > 4 else "")
    if members and all(member.filename.endswith(".npy") for member in members):
        raise DataError(f"{path}: holds NumPy arrays ({names}); write npz:{path}")
    if len(members) != 1:
        raise DataError(
            f"{path}: a zip archive of {len(members)} files ({names or 'none'}); unpack it and name the log in it"
        )
    try:
        return cast(BinaryIO, archive.open(members[0]))
    except (RuntimeError, NotImplementedError) as error:  # encrypted, or packed in a way that zipfile does not know
        raise DataError(f"{path}: cannot be unpacked here ({error}); unpack it and name the text file") from None


def _refuse_other_formats(path: Path, stream: io.BufferedReader) -> None:
    start = stream.peek(512)
    for magic, what in _REFUSED.items():
        if start.startswith(magic):
            raise DataError(f"{path}: {what}")
    if start[_TAR] == b"ustar":
        raise DataError(f"{path}: a tar archive; unpack it (tar xf {path.name}) and name the log in it")


def _damaged(path: Path, kind: str | None, error: Exception) -> DataError:
    return DataError(f"{path}: damaged {kind} ({error}); fetch the file again, or unpack what is left of it")
