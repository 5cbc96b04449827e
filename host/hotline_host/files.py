"""Files that appear whole or not at all."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

__all__ = ["check_writable", "json_text", "whole_file", "write_json", "write_npz"]


def check_writable(path: Path) -> None:
    """Makes the folder of a file to come. Raises OSError where the file could not be written, before work is done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(21, "is a folder; name a file", str(path))
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(13, "this folder cannot be written", str(path.parent))


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes its name when the block ends, and leaves nothing if that ends by an exception."""
    check_writable(path)
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(partial, 0o666 & ~umask)  # mkstemp's files are their owner's alone
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def json_text(value: Any) -> str:
    """Standard JSON: numbers that are not finite become null."""
    return json.dumps(_finite(value), indent=1, allow_nan=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """As `json_text`."""
    with whole_file(path) as file:
        file.write(json_text(value).encode())


def write_npz(path: Path, **arrays: np.ndarray) -> None:
    with whole_file(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
