"""Folders with files that are mapped as memory. What a killed process leaves behind, the next one removes."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

__all__ = ["MemoryFolder", "map_file"]

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
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            path.unlink()
            if error.errno != errno.ENOSPC:
                raise
            free = shutil.disk_usage(path.parent).free
            raise OSError(
                errno.ENOSPC, f"{what} needs {_amount(size)}, and {_amount(free)} are free", str(path.parent)
            ) from None
        return mmap.mmap(file.fileno(), size)


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
