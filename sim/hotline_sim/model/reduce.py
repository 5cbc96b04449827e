"""Golden model of pooling: what BagReducer does to rows, in NumPy. The specification of its sums, bit by bit."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hotline_hw.spec.descriptors import MAX_MEAN_ROWS

__all__ = ["CANONICAL_NAN", "canonical", "divide", "from_bfloat16", "pool"]

CANONICAL_NAN = 0x7FC00000
"""The bits of every NaN that pooling gives. What sign and payload an arithmetic NaN has, IEEE 754 leaves open, and so
does NumPy, whose answer is the processor's."""


def canonical(values: np.ndarray) -> np.ndarray:
    """float32 values, every NaN of them the canonical one."""
    values = np.asarray(values, dtype=np.float32)
    return np.where(np.isnan(values), np.uint32(CANONICAL_NAN), values.view(np.uint32)).view(np.float32)


def from_bfloat16(values: np.ndarray) -> np.ndarray:
    """float32 of bfloat16 bit patterns (uint16), the same numbers: bfloat16 is float32 without its lower half."""
    return (np.asarray(values, dtype=np.uint16).astype(np.uint32) << 16).view(np.float32)


def divide(values: np.ndarray, divisor: ArrayLike) -> np.ndarray:
    """float32 values over integers from 1 to MAX_MEAN_ROWS, the quotients rounded once."""
    with np.errstate(under="ignore", invalid="ignore"):
        return canonical(np.asarray(values, dtype=np.float32) / np.asarray(divisor).astype(np.float32))


def pool(rows: np.ndarray, bag_lengths: ArrayLike, *, mean: bool = False) -> np.ndarray:
    """The sum of each bag's rows, or their mean.

    A sum is ((row 0 + row 1) + row 2) + ..., each addition rounded to float32, to nearest, ties to even; of a single
    row it is that row. A mean is that sum over the number of rows, rounded again. Every NaN is the canonical one.

    Args:
        rows: float32 [n, D], the bags' rows one after the other.
        bag_lengths: rows in each bag, one at least; n in all.
        mean: means are wanted, of MAX_MEAN_ROWS rows at most.

    Returns:
        float32 [bags, D].
    """
    rows = np.asarray(rows)
    lengths = np.asarray(bag_lengths, dtype=np.int64)
    if rows.dtype != np.float32 or rows.ndim != 2:
        raise ValueError(f"rows must be float32 [n, D], not {rows.dtype} {rows.shape}")
    if lengths.ndim != 1 or (lengths < 1).any() or lengths.sum() != len(rows):
        raise ValueError(f"bag_lengths must be positive and sum up to {len(rows)} rows, not {lengths.tolist()}")
    if mean and (lengths > MAX_MEAN_ROWS).any():
        raise ValueError(f"bag_lengths must be {MAX_MEAN_ROWS} at most for means, not {lengths.max()}")
    begins = np.cumsum(lengths) - lengths
    sums = rows[begins]
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for step in range(1, lengths.max(initial=0)):
            bags = np.flatnonzero(lengths > step)  # those that have another row
            sums[bags] += rows[begins[bags] + step]
    return divide(sums, lengths[:, None]) if mean else canonical(sums)
