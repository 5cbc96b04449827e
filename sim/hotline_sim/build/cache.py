"""Builds made once and kept: libraries and simulators under the user's cache folder, each in a folder of its own.

A build's name carries a digest of everything that it depends on, so that nothing here is ever out of date; the whole
folder can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import platformdirs
from filelock import FileLock

from hotline_device.device import DeviceError

__all__ = ["CACHE_VARIABLE", "LOG_NAME", "cache_folder", "cached_build", "digest", "log_tail", "run_logged"]

CACHE_VARIABLE = "HOTLINE_CACHE"
LOG_NAME = "build.log"


def cache_folder() -> Path:
    """Where builds are kept: in $HOTLINE_CACHE, else in the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return (Path(chosen).absolute() if chosen else platformdirs.user_cache_path("hotline")) / "builds"


def digest(*parts: str) -> str:
    """64 bits of SHA-256 over `parts`, in hexadecimal; where one part ends and the next begins counts."""
    state = hashlib.sha256()
    for part in parts:
        state.update(f"{len(part)}:{part}".encode())
    return state.hexdigest()[:16]


def cached_build(name: str, what: str, build: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache, made by `build` unless it is there.

    Safe against other processes that ask for the same: one builds, the others wait for it. A build that fails or is
    interrupted leaves nothing behind but, where it had written one, its log.

    Args:
        name: the folder's name, with a digest of everything that its contents depend on.
        what: what is built and how long that takes, for the message on standard error.
        build: fills the new, empty folder that it is given. It may write LOG_NAME there. The folder gets its
            final name later, so nothing in it may depend on its place.

    Raises:
        DeviceError: the cache cannot be written, or what `build` raises.
    """
    folder = cache_folder() / name
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(folder.parent / f"{name}.lock").acquire()
    except OSError as error:
        raise DeviceError(f"cannot keep builds in {folder.parent}: {error}. Set {CACHE_VARIABLE} to a folder") from None
    with held:
        if folder.is_dir():
            return folder
        print(f"hotline: building {what}", file=sys.stderr, flush=True)
        made = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=folder.parent))
        try:
            build(made)
            made.rename(folder)
        finally:
            if made.is_dir():
                _keep_log(made, folder.parent / f"{name}.log")
                shutil.rmtree(made, ignore_errors=True)
    return folder


def _keep_log(made: Path, log: Path) -> None:
    if (made / LOG_NAME).is_file():
        shutil.copyfile(made / LOG_NAME, log)


def log_tail(log: Path, lines: int = 20) -> str:
    """The last lines of a log, indented, for a message."""
    try:
        with log.open(errors="replace") as file:
            return "".join(f"    {line.rstrip()}\n" for line in deque(file, lines)).rstrip()
    except FileNotFoundError:
        return "    (no log was written)"


def run_logged(command: Sequence[str | Path], folder: Path, env: Mapping[str, str], what: str) -> None:
    """Runs a step of a build in `folder`, its output added to LOG_NAME there.

    The step and all its children end if this process is interrupted.

    Raises:
        DeviceError: it ended with a status other than 0; the message has the log's tail and where it is kept.
    """
    log = folder / LOG_NAME
    with log.open("a") as file:
        print("$", *command, file=file, flush=True)
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(env),
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
        kept = folder.parent / f"{folder.name.rpartition('.')[0]}.log"
        raise DeviceError(f"{what} failed with status {status}. The end of {kept}:\n{log_tail(log)}")
