"""A generated log with the shape and the skew of Criteo Kaggle, and labels that can be learned.

    level g (one a sample) --+
                             +--> normal score --> rank, by the table's popularity curve --> row
    noise e (one a lookup) --+        a*g + sqrt(1 - a^2)*e

A table's curve is Zipf-Mandelbrot: the row of rank r is drawn in proportion to (r + 1 + shift)^-slope. The level is
shared by all columns of a sample, so a sample is frequent or rare in all of them together, which is what makes whole
samples popular; columns drawn independently almost never are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .columns import encode, one_lookup_each
from .criteo import DENSE, TABLES
from .delimited import Progress
from .log import ClickLog, DataError

__all__ = ["DEFAULT_SAMPLES", "kaggle"]

DEFAULT_SAMPLES = 80_000

_CHUNK = 16_384
_SCORES = np.linspace(-6, 6, 4097)
_QUANTILES = np.array([math.erfc(-score / math.sqrt(2)) / 2 for score in _SCORES])
_EFFECTS = 1024
_CLICK_RATE = 0.25


@dataclass(frozen=True)
class _Table:
    """How one column is drawn.

    Attributes:
        rows: rows there are to draw from; those of the whole Kaggle log.
        slope, shift: of the popularity curve.
        loading: a, how much of a lookup's rarity comes from its sample's level, 0 to 1.
    """

    rows: int
    slope: float
    shift: float
    loading: float

    @cached_property
    def _ranks(self) -> np.ndarray:
        """Rank (from 0, with a fraction) at each of `_SCORES`: the curve's inverse distribution function."""
        power, scale = 1 - self.slope, 1 + self.shift
        span = (1 + self.rows / scale) ** power - 1
        return ((1 + _QUANTILES * span) ** (1 / power) - 1) * scale

    def draw(self, level: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Ranks int64 [n] of n samples with these levels."""
        score = self.loading * level + math.sqrt(1 - self.loading**2) * noise
        return np.minimum(np.interp(score, _SCORES, self._ranks).astype(np.int64), self.rows - 1)
