"""Random numbers by counter, for compiled loops. A draw depends only on its key and counter, not on earlier draws.

A number is SplitMix64's finalizer (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014)
of a key and a counter, so any sample of a log can be drawn without the samples before it.

Everything is uint64, as numba turns a sum of signed and unsigned integers into a float.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from hotline_device.compiled import compiled

__all__ = ["NORMAL", "STEP", "U", "child", "derive", "mix", "normal", "unit", "unit_normal"]

U = np.uint64

STEP = U(0x9E3779B97F4A7C15)
"""Difference between the counters of successive draws."""

_CELLS = 16_384
_TAIL = 3e-6

NORMAL = np.array(
    [NormalDist().inv_cdf(min(max(cell / _CELLS, _TAIL), 1 - _TAIL)) for cell in range(_CELLS + 1)], np.float32
)
"""Quantiles of the normal distribution, for `normal`; cut at 4.5 standard deviations."""


@compiled(inline="always")
def mix(word):
    """A bijection of 64 bits that looks random."""
    word = (word ^ (word >> U(30))) * U(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> U(27))) * U(0x94D049BB133111EB)
    return word ^ (word >> U(31))


@compiled(inline="always")
def child(key, number):
    """The `number`-th key below this key."""
    return mix(key + U(number) * STEP)


def derive(key: np.uint64, number: int) -> np.uint64:
    """`child` for callers that are not compiled, which would get a Python int from numba."""
    return U(child(U(key), U(number)))


@compiled(inline="always")
def unit(word):
    """float64, at least 0 and below 1."""
    return (word >> U(11)) * (1.0 / 9007199254740992.0)


@compiled(inline="always")
def unit_normal(share, quantiles):
    """The normal score with a `share` of the distribution (at least 0, below 1) below it, interpolated in `NORMAL`."""
    place = share * _CELLS
    cell = int(place)
    return quantiles[cell] + (place - cell) * (quantiles[cell + 1] - quantiles[cell])


@compiled(inline="always")
def normal(word, quantiles):
    """A normal score."""
    return unit_normal(unit(word), quantiles)
