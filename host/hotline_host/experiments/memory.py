"""Whether embedding tables fit into memory, asked before any of it is taken."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from hotline_host.errors import SettingsError

__all__ = ["available_bytes", "check_memory"]


def check_memory(rows: np.ndarray, dimension: int, itemsize: int, copies: int = 1) -> None:
    """Raises SettingsError unless tables of `rows` fit into the memory that is free now, `copies` times.

    Args:
        rows: int64 [T].
        itemsize: bytes of one of the `dimension` elements of a row, and of its optimizer state.
    """
    total = sum(int(count) for count in rows)
    needed, there = copies * total * (dimension + 1) * itemsize, available_bytes()
    if needed > there:
        times = f", {copies} times" if copies > 1 else ""
        raise SettingsError(
            f"tables of {total:,} rows, dimension {dimension}, {itemsize} bytes an element{times}, need {needed:,} "
            f"bytes of memory, and {there:,} are free; keep them in files (--tables DIR), or take fewer samples, a "
            "smaller dimension, or a log of fewer rows"
        )


def available_bytes() -> int:
    """Bytes of memory that are free, or can be freed, here and in the container that this process runs in."""
    try:
        fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        free = 1024 * int(fields["MemAvailable"].split()[0])
    except (OSError, KeyError):  # not Linux
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([free, *_container_limit()])


def _container_limit() -> list[int]:
    """The limit of a container in bytes, if there is one."""
    try:
        return [int(Path("/sys/fs/cgroup/memory.max").read_text())]
    except (OSError, ValueError):  # none, or the word "max"
        return []
