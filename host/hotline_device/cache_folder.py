"""The folder for what can be made again: built simulators, fetched logs, compiled functions.

HOTLINE_CACHE names it. Otherwise it is in the user's cache folder, or, where that cannot be written (a container that
runs as a user without a home), in the folder of temporary files.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

__all__ = ["CACHE_VARIABLE", "cache_folder", "can_write", "make_folder", "temporary_cache"]

CACHE_VARIABLE = "HOTLINE_CACHE"


def cache_folder() -> Path | None:
    """The folder, absolute; None where there is none.

    The one that HOTLINE_CACHE names is returned as it is: it may be missing, or be read-only and hold all that is
    needed. The others can be written.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(os.path.expanduser(chosen)).absolute()
    try:
        users = _users_folder()
    except RuntimeError:  # the user has no home at all
        return temporary_cache()
    # Without a home, older versions of platformdirs return a path that begins with "~".
    return users if users.is_absolute() and can_write(users) else temporary_cache()


def _users_folder() -> Path:
    """Raises RuntimeError if the user has no home."""
    try:
        import platformdirs
    except ModuleNotFoundError:  # a GPU machine that has only what training needs
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hotline"
    return platformdirs.user_cache_path("hotline")


def temporary_cache() -> Path | None:
    """A folder for this user alone among the temporary files; None where there is none.

    Other users can make files there too, so a folder of this name is used only if it belongs to this user.
    """
    try:
        folder = Path(tempfile.gettempdir()) / f"hotline-{os.getuid()}"
    except FileNotFoundError:
        return None
    if not can_write(folder, mode=0o700):
        return None
    found = folder.lstat()
    private = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    return folder if private else None


def can_write(folder: Path, mode: int = 0o777) -> bool:
    """Whether files can be made in a folder, which is made if it is missing.

    This tries it: permission bits say nothing to root, nor on a read-only file system.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=mode, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def make_folder(folder: Path) -> None:
    """Makes a folder inside the cache, as open to other users as the folder that holds it."""
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(exist_ok=True)
        folder.chmod(folder.parent.stat().st_mode & 0o7777)
