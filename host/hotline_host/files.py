"""Output files: checked before the work begins, and written whole or not at all.

A regular file is replaced at once when all of it is there. What is no regular file (a device, a named pipe, standard
output) is written in place. Symbolic links are followed.
"""

from __future__ import annotations

import errno
import io
import json
import math
import os
import secrets
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

__all__ = ["check_outputs", "is_standard_output", "json_text", "whole_file", "write_json", "write_npz", "write_text"]


def check_outputs(outputs: Mapping[str, Path | None], inputs: Mapping[str, Path | None] | None = None) -> None:
    """Checks the files that a command will write before it does its work, and makes their folders.

    Args:
        outputs: by what the user calls them, such as "--json". None is left out.
        inputs: that must not be overwritten, in the same way.

    Raises:
        OSError: a file could not be written, or is one of the inputs, or two outputs are one file.
    """
    others = {name: path for name, path in (inputs or {}).items() if path}
    for name, path in outputs.items():
        if path is None:
            continue
        _check(path)
        for other, taken in others.items():
            if _is_same(path, taken) and not _is_same(path, Path(os.devnull)):
                raise OSError(errno.EINVAL, f"is both {other} and {name}; name two files", str(path))
        others[name] = path


def is_standard_output(path: Path | None) -> bool:
    """Whether the file is what this process has as its standard output."""
    return path is not None and _standard_stream(path) == 1


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write. Nothing is written if the block raises.

    Raises:
        OSError: the file cannot be written; `filename` is `path`.
    """
    _check(path)
    try:
        if _written_in_place(path):
            content = io.BytesIO()
            yield content
            with _open_in_place(path) as target:
                target.write(content.getbuffer())
        else:
            with _replacement(Path(os.path.realpath(path))) as file:
                yield file
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def json_text(value: Any) -> str:
    """Standard JSON: numbers that are not finite become null."""
    return json.dumps(_finite(value), indent=1, allow_nan=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """As `json_text`."""
    write_text(path, json_text(value))


def write_text(path: Path, text: str) -> None:
    with whole_file(path) as file:
        file.write(text.encode())


def write_npz(path: Path, **arrays: np.ndarray) -> None:
    with whole_file(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def _check(path: Path) -> None:
    """Raises OSError if the file could not be written. Makes its folder."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = 0
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder; name a file", str(path))
    if stat.S_ISSOCK(mode):
        raise OSError(errno.ENXIO, "is a socket; name a file", str(path))
    if mode and _standard_stream(path) is None and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, "is read-only; name another file", str(path))
    if _written_in_place(path):
        return
    folder = Path(os.path.realpath(path)).parent
    folder.mkdir(parents=True, exist_ok=True)
    try:
        tempfile.TemporaryFile(dir=folder).close()  # permission bits say nothing to root
    except OSError as error:
        raise OSError(error.errno, f"no file can be made here ({error.strerror})", str(folder)) from None


def _written_in_place(path: Path) -> bool:
    try:
        return not stat.S_ISREG(path.stat().st_mode) or _standard_stream(path) is not None
    except FileNotFoundError:
        return False


def _standard_stream(path: Path) -> int | None:
    """1 or 2 if the file is what standard output or standard error goes to."""
    for stream in (1, 2):
        with suppress(OSError):
            if os.path.samestat(path.stat(), os.fstat(stream)) and not _is_same(path, Path(os.devnull)):
                return stream
    return None


def _open_in_place(path: Path) -> BinaryIO:
    stream = _standard_stream(path)
    if stream is None:
        return os.fdopen(os.open(path, os.O_WRONLY), "wb")
    # To open a redirected stream by its name again would write over what is there.
    (sys.stdout if stream == 1 else sys.stderr).flush()
    return os.fdopen(os.dup(stream), "wb")


@contextmanager
def _replacement(path: Path) -> Iterator[BinaryIO]:
    """A new file beside `path`, which takes its place at the end, with the old one's owner and permissions."""
    partial = path.parent / f".hotline-{secrets.token_hex(8)}"
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            old = path.stat()
            with suppress(PermissionError):
                os.chown(partial, old.st_uid, old.st_gid)
            partial.chmod(stat.S_IMODE(old.st_mode))
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them is not there yet
        return os.path.realpath(one) == os.path.realpath(other)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
