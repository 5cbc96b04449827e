"""Folders with files that are mapped as memory. What a killed process leaves behind, the next one removes.

The space of a file is reserved before it is written, so that no access ends the process: all at once, or page by page.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import shutil
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path

import numpy as np

__all__ = ["PAGE_BYTES", "HoledFile", "MemoryFolder", "map_file"]

PAGE_BYTES = 4096

_PREFIX = "hotline-memory-"
_LOCK_NAME = "lock"


class MemoryFolder:
    """A temporary folder in `place`, locked for as long as this process needs it.

    A folder that nobody has locked belongs to a process that was killed. It is removed here.
    """

    def __init__(self, place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        one_at_a_time = _lock(place / f"{_PREFIX}{os.getuid()}.lock")
        try:
            for folder in place.glob(f"{_PREFIX}*/"):
                _remove_if_left(folder)
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
            self._held: int | None = _lock(self.path / _LOCK_NAME)
        finally:
            os.close(one_at_a_time)

    def remove(self) -> None:
        """Removes the files. What is mapped stays valid."""
        if self._held is not None:
            os.close(self._held)
            self._held = None
        shutil.rmtree(self.path, ignore_errors=True)


def map_file(path: Path, size: int, what: str) -> mmap.mmap:
    """Maps a new file of `size` bytes, zero at first. Its space is reserved, so that no access fails later.

    Raises:
        OSError: there is no room for it. The message says how much there is, and nothing is left behind.
    """
    with path.open("x+b") as file:
        try:
            _reserve(file.fileno(), 0, size, what, path.parent)
        except OSError:
            path.unlink()
            raise
        return mmap.mmap(file.fileno(), size)


class HoledFile:
    """A new file that is mapped, with holes: it reads as zeros, and takes no space before it is reserved.

    Args:
        size: bytes.
        what: the file is, for messages; `place`: the folder to be named in them, if not that of `path`.

    Attributes:
        mapped: its bytes. Only what is reserved may be written, or read where the file is in memory (/dev/shm).

    Raises:
        OSError: files cannot be so large here.
    """

    def __init__(self, path: Path, size: int, what: str, place: Path | None = None) -> None:
        self._what, self._place = what, place or path.parent
        with path.open("x+b") as file:
            os.ftruncate(file.fileno(), size)
            self.mapped = mmap.mmap(file.fileno(), size)
            self._descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)
        self._size = size
        self._reserved = np.zeros(-(-size // PAGE_BYTES), bool)

    def reserve(self, offsets: np.ndarray, size: int) -> None:
        """Reserves the `size` bytes at each of the offsets (int64, ascending), as far as the file reaches.

        Raises:
            OSError: there is no room. The message says how much there is.
        """
        if not len(offsets) or not size:
            return
        first, last = offsets // PAGE_BYTES, (np.minimum(offsets + size, self._size) - 1) // PAGE_BYTES
        pages = np.concatenate([first + at for at in range(int((last - first).max()) + 1)])
        pages = np.unique(pages[pages <= np.tile(last, len(pages) // len(last))])
        pages = pages[~self._reserved[pages]]
        if not len(pages):
            return
        cuts = np.flatnonzero(np.diff(pages) > 1)  # runs of pages that follow each other end there
        begins, ends = pages[np.append(0, cuts + 1)] * PAGE_BYTES, (pages[np.append(cuts, -1)] + 1) * PAGE_BYTES
        for begin, end in zip(begins.tolist(), np.minimum(ends, self._size).tolist(), strict=True):
            _reserve(self._descriptor, begin, end - begin, f"another part of {self._what}", self._place)
        self._reserved[pages] = True


def _reserve(descriptor: int, offset: int, size: int, what: str, folder: Path) -> None:
    try:
        os.posix_fallocate(descriptor, offset, size)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        room = os.fstatvfs(descriptor)
        free = room.f_bavail * room.f_frsize
        raise OSError(
            errno.ENOSPC, f"{what} needs {_amount(size)}, and {_amount(free)} are free", str(folder)
        ) from None


def _lock(path: Path, *, wait: bool = True) -> int:
    """A descriptor that holds the file's lock until it is closed, or its process ends. The file stays.

    Raises:
        BlockingIOError: another process holds it, and `wait` is False.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _remove_if_left(folder: Path) -> None:
    with suppress(OSError):
        if folder.stat().st_uid == os.getuid():
            lock = _lock(folder / _LOCK_NAME, wait=False)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _amount(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
