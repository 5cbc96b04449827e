"""Checks of what is handed to a `StreamCore`, and the file that a simulator records waves to."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np

__all__ = ["check_batches", "check_entries", "waves_path"]


def check_batches(words: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`words` and `ends` of `StreamCore.stream`, as contiguous uint64 and int64 arrays.

    Raises:
        ValueError: naming what was wrong.
    """
    if words.dtype != np.uint64 or words.ndim != 1:
        raise ValueError(f"words must be uint64 [n], not {words.dtype} {list(words.shape)}")
    if ends.dtype.kind not in "iu" or ends.ndim != 1:
        raise ValueError(f"ends must be int64 [P], not {ends.dtype} {list(ends.shape)}")
    ends = np.ascontiguousarray(ends, np.int64)
    if (np.diff(ends, prepend=0) <= 0).any() or (ends[-1] if len(ends) else 0) != len(words):
        raise ValueError(f"ends must increase from above 0 to the {len(words)} words, so no mini-batch is empty")
    return np.ascontiguousarray(words), ends


def check_entries(entries: np.ndarray, ways: int) -> np.ndarray:
    """`entries` of `StreamCore.send_state`, as a contiguous array.

    Raises:
        ValueError: naming what was wrong.
    """
    if entries.dtype != np.uint64 or entries.ndim != 2 or entries.shape[1] != ways or not entries.size:
        raise ValueError(
            f"entries must be uint64 [rows, {ways}] with a row at least, not {entries.dtype} {list(entries.shape)}"
        )
    return np.ascontiguousarray(entries)


_serial = itertools.count(1)


def waves_path(chosen: str | Path | None, default_suffix: str) -> Path | None:
    """Where a simulator records waves: `chosen`, else a new file here if $WAVES is 1, else None."""
    if chosen is not None:
        return Path(chosen).absolute()
    if os.environ.get("WAVES", "0") in ("", "0"):
        return None
    return Path(f"hotline-{os.getpid()}-{next(_serial)}{default_suffix}").absolute()
