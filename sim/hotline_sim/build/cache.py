"""Builds that are made once and kept: libraries and simulators in the cache folder, each in a folder of its own.

A build's name carries a digest of everything that it depends on, so nothing here is ever out of date. The whole folder
can be deleted at any time.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from hotline_device.cache_folder import CACHE_VARIABLE, cache_folder, make_folder
from hotline_device.device import DeviceError

__all__ = ["LOG_NAME", "builds_folder", "cached_build", "digest", "log_tail", "run_logged"]

LOG_NAME = "build.log"
_CONTENTS = "contents.json"
_LEAST_FREE = 1 << 16  # bytes: with fewer, whatever failed did so for want of space
_FULL = ("No space left on device", "Disk quota exceeded")


def builds_folder() -> Path:
    """The folder that holds all builds. It may be missing.

    Raises:
        DeviceError: there is no place for one.
    """
    folder = cache_folder()
    if folder is None:
        raise DeviceError(
            "neither your cache folder nor the folder of temporary files can be written, and a build must be kept. "
            f"Set {CACHE_VARIABLE} to a folder"
        )
    return folder / "builds"


def digest(*parts: str) -> str:
    """64 bits of SHA-256 over `parts`, in hexadecimal; where one part ends and the next begins counts."""
    state = hashlib.sha256()
    for part in parts:
        state.update(f"{len(part)}:{part}".encode())
    return state.hexdigest()[:16]


def cached_build(name: str, what: str, build: Callable[[Path], None]) -> Path:
    """Returns the folder `name` of the cache. `build` makes it if it is missing or damaged.

    If several processes ask for the same build, one builds and the others wait. A build that fails or is interrupted
    leaves nothing but its log, if it wrote one.

    Args:
        name: of the folder, with a digest of everything that its contents depend on.
        what: is built and how long that takes, for the message on standard error.
        build: fills the new, empty folder that it is given. It may write LOG_NAME there. The folder is moved later, so
            nothing in it may depend on its path.

    Raises:
        DeviceError: the cache cannot be written or the disk is full; or what `build` raises.
    """
    folder = builds_folder() / name
    try:
        if _is_whole(folder):
            return folder
        make_folder(folder.parent)
        with _locked(folder):
            if _is_whole(folder):
                return folder
            if folder.exists():
                _say(f"{folder} is damaged and is built again")
                shutil.rmtree(folder)
            _say(f"building {what}")
            _build(folder, build)
    except OSError as error:
        raise DeviceError(
            f"cannot keep builds in {folder.parent}: {error.strerror or error}. "
            f"Set {CACHE_VARIABLE} to a folder that can be written and has room"
        ) from None
    return folder


def _build(folder: Path, build: Callable[[Path], None]) -> None:
    made = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        build(made)
        (made / _CONTENTS).write_text(json.dumps(_digests(made)))
        made.chmod(0o700 | folder.parent.stat().st_mode & 0o055)  # mkdtemp's folders are closed to others
        made.rename(folder)
    except OSError:
        if not _is_whole(folder):  # else another user, whose lock could not be taken, has been faster
            raise
    finally:
        if made.is_dir():
            _keep_log(made, folder.parent / f"{folder.name}.log")
            shutil.rmtree(made, ignore_errors=True)


def _is_whole(folder: Path) -> bool:
    """Whether a build is there, and all its files are as they were built."""
    try:
        contents = json.loads((folder / _CONTENTS).read_text())
        return all(_digest_of(folder / path) == wanted for path, wanted in contents.items())
    except (FileNotFoundError, ValueError, AttributeError):
        return False


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): _digest_of(path) for path in files}


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Waits until no other process builds this folder."""
    lock = FileLock(f"{folder}.lock", mode=folder.parent.stat().st_mode & 0o666)
    try:
        lock.acquire()
    except PermissionError:  # another user's: at worst both build, and one of the two folders stays
        yield
        return
    try:
        yield
    finally:
        lock.release()


def _say(text: str) -> None:
    """Tells the user on standard error, if anybody listens."""
    with suppress(OSError, ValueError):
        print(f"hotline: {text}", file=sys.stderr, flush=True)


def _keep_log(made: Path, log: Path) -> None:
    try:
        shutil.copyfile(made / LOG_NAME, log)
    except FileNotFoundError:
        return
    except OSError:  # a full disk, or a log of another user
        with suppress(OSError):
            log.unlink()


def log_tail(log: Path, lines: int = 20) -> str:
    """The last lines of a log, indented, for a message."""
    try:
        with log.open(errors="replace") as file:
            return "".join(f"    {line.rstrip()}\n" for line in deque(file, lines)).rstrip()
    except FileNotFoundError:
        return "    (no log was written)"


def run_logged(command: Sequence[str | Path], folder: Path, env: Mapping[str, str], what: str) -> None:
    """Runs a step of a build in `folder` and adds its output to LOG_NAME there. Temporary files are made there too.

    If this process is interrupted, the step and all its children end.

    Raises:
        DeviceError: the step ended with a status other than 0; the message has the log's tail and where it is kept.
        OSError: the disk is full.
    """
    log = folder / LOG_NAME
    with log.open("a") as file:
        print("$", *command, file=file, flush=True)
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**env, "TMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
        try:
            status = process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    if status != 0:
        tail = log_tail(log)
        if any(message in tail for message in _FULL) or shutil.disk_usage(folder).free < _LEAST_FREE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder.parent))
        kept = folder.parent / f"{folder.name.rpartition('.')[0]}.log"
        raise DeviceError(f"{what} failed with status {status}. The end of {kept}:\n{tail}")
