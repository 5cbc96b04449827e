"""Checks of what is handed to a `StreamCore`, and answers that are the same for every simulator."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np

from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import ADDRESS_BITS

from .device import BusError

__all__ = ["bus_error", "check_batches", "check_entries", "check_register", "quiet_limit", "waves_path"]


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


def check_register(access: str, offset: int, value: int = 0, *, address_bits: int = ADDRESS_BITS) -> None:
    """Offset and value of a register access, which is a `read` or a `write`; offsets have `address_bits`.

    Raises:
        BusError: the offset is outside the address space.
        ValueError: the value does not fit 32 bits.
    """
    if not 0 <= offset < 1 << address_bits:
        raise BusError(f"{access} of offset {offset:#05x}: the registers' address space has {address_bits} bits")
    if not 0 <= value < 1 << 32:
        raise ValueError(f"{value:#x} does not fit the register at {offset:#05x}, which has 32 bits")


def bus_error(access: str, offset: int) -> BusError:
    reason = "no such register" if access == "read" else "no such register, or a read-only one"
    return BusError(f"{access} of offset {offset:#05x} was answered with SLVERR: {reason}")


def quiet_limit(geometry: Geometry) -> int:
    """Clock cycles without any transfer after which a simulator gives up.

    The longest silence of a healthy core is that of SELECT before its first event: a walk over the sets of a bank for
    each bit of the threshold, some that count, and one that makes rows cold.
    """
    return 4 * (1 + geometry.counter_bits) * geometry.sets + 16 * geometry.max_moves + 10_000


_serial = itertools.count(1)


def waves_path(chosen: str | Path | None, default_suffix: str) -> Path | None:
    """Where a simulator records waves: `chosen`, else a new file here if $WAVES is 1, else None."""
    if chosen is not None:
        return Path(chosen).absolute()
    if os.environ.get("WAVES", "0") in ("", "0"):
        return None
    return Path(f"hotline-{os.getpid()}-{next(_serial)}{default_suffix}").absolute()
