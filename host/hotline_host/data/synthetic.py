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
_LARGEST_SCORE = 6.0
_CELLS = 4096
_QUANTILES = np.array(
    [math.erfc(-score / math.sqrt(2)) / 2 for score in np.linspace(-_LARGEST_SCORE, _LARGEST_SCORE, _CELLS + 1)]
)
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
        """Rank (from 0, with a fraction) at each of `_QUANTILES`: the curve's inverse distribution function."""
        power, scale = 1 - self.slope, 1 + self.shift
        span = (1 + self.rows / scale) ** power - 1
        return ((1 + _QUANTILES * span) ** (1 / power) - 1) * scale

    def draw(self, level: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Ranks int64 [n] of n samples with these levels."""
        score = self.loading * level + math.sqrt(1 - self.loading**2) * noise
        # Linear interpolation; scores are evenly spaced, so no search is needed to find the cell.
        position = np.clip((score + _LARGEST_SCORE) * (_CELLS / (2 * _LARGEST_SCORE)), 0, _CELLS - 1e-6)
        cell = position.astype(np.int64)
        low = self._ranks[cell]
        rank = low + (position - cell) * (self._ranks[cell + 1] - low)
        return np.minimum(rank.astype(np.int64), self.rows - 1)


# Rows of the Kaggle log's 26 columns, as its users have published them; slope, shift and loading are fitted (see
# `kaggle`) for five columns one by one, and for the rest by their size.
_ROWS = (
    1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683, 8351593, 3194,
    27, 14992, 5461306, 10, 5652, 2173, 4, 7046547, 18, 15, 286181, 105, 142572,
)  # fmt: skip
_SLOPES = {3: 1.103, 4: 1.17, 12: 1.098, 16: 1.127, 21: 1.126}


def _table(number: int) -> _Table:
    """Column C`number` of the log."""
    rows = _ROWS[number - 1]
    if number in _SLOPES:
        return _Table(rows, slope=_SLOPES[number], shift=0.26, loading=0.934)
    if rows > 50_000:
        return _Table(rows, slope=1.192, shift=0.063, loading=0.531)
    if rows > 2_000:
        return _Table(rows, slope=1.125, shift=0.01, loading=0.496)
    return _Table(rows, slope=0.78, shift=0.625, loading=0.375)


class _Model:
    """The planted logistic model: the log-odds of a click are a sum of the effects of rows and dense features.

    Rows share `_EFFECTS` effects a table: what a row adds is fixed by the seed, however many rows there are.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._effects = rng.normal(0, 0.25, (len(TABLES), _EFFECTS)).astype(np.float32)
        self._weights = rng.normal(0, 0.1, len(DENSE)).astype(np.float32)
        self.bias = 0.0

    def calibrate(self, ranks: np.ndarray, dense: np.ndarray) -> None:
        """Sets the bias for a click rate of `_CLICK_RATE` over these samples, within a small error."""
        odds = self.odds(ranks, dense)
        for _ in range(8):
            rate = float(np.mean(1 / (1 + np.exp(-(odds + self.bias)))))
            self.bias += math.log(_CLICK_RATE / (1 - _CLICK_RATE)) - math.log(rate / (1 - rate))

    def odds(self, ranks: np.ndarray, dense: np.ndarray) -> np.ndarray:
        """Log-odds float32 [n] of samples with these ranks int64 [T, n] and dense features float32 [n, F]."""
        odds = dense @ self._weights + self.bias
        for effects, rank in zip(self._effects, ranks, strict=True):
            odds += effects[rank % _EFFECTS]
        return odds


def kaggle(*, samples: int | None = None, seed: int = 0, progress: Progress | None = None) -> ClickLog:
    """Draws a log of 26 tables of one lookup a bag and 13 dense features.

    Measured on 80,000 samples, seeds 0 to 2 (in brackets: Criteo Kaggle's first 80,000), the hottest 1, 5, 10 and 25%
    of distinct rows being kept:

        lookups served      .714 .852 .891 .931   (.73 .84 .88 .93)
        samples all-hot     .036 .214 .321 .467   (.035 .201 .332 .505)
        distinct rows       182 k, .705 of them seen once, grown as m^0.71   (200 k, .71, m^0.7)
        at 10%              4.17 cold lookups in a non-popular sample   (4.6); such a sample has one in table
                            3: .55, 12: .56, 21: .49, 16: .48, 4: .37   (.51, .48, .46, .42, .33)

    Labels follow a planted logistic model at a click rate of about a quarter, so there is something to learn. Nothing
    drifts, and which rows occur together is decided by their frequency alone. Rows are numbered in order of first
    appearance. A shorter log of the same seed is the beginning of a longer one, label for label.

    Args:
        samples: how many to draw, 80,000 unless given.
        seed: 0 or more; the same seed gives the same log.
        progress: told the samples that have been drawn.

    Raises:
        DataError: a negative seed.
    """
    if seed < 0:
        raise DataError(f"synthetic:kaggle: seed={seed}; a seed is 0 or more")
    size = DEFAULT_SAMPLES if samples is None else samples
    tables = [_table(number) for number in range(1, len(TABLES) + 1)]
    model = _Model(np.random.default_rng([seed, 0]))
    ranks = np.empty((len(TABLES), size), np.int64)
    dense = np.empty((size, len(DENSE)), np.float32)
    label = np.empty(size, np.float32)
    for chunk, start in enumerate(range(0, size, _CHUNK)):
        stop = min(start + _CHUNK, size)
        # Whole chunks are drawn, each from a stream of its own, so that a log does not depend on its length.
        rng = np.random.default_rng([seed, 1 + chunk])
        level = rng.standard_normal(_CHUNK)
        drawn = np.stack([table.draw(level, rng.standard_normal(_CHUNK)) for table in tables])
        features = _dense(level, rng)
        if chunk == 0:
            model.calibrate(drawn, features)
        clicks = rng.logistic(size=_CHUNK) < model.odds(drawn, features)
        ranks[:, start:stop] = drawn[:, : stop - start]
        dense[start:stop] = features[: stop - start]
        label[start:stop] = clicks[: stop - start]
        if progress is not None:
            progress("drawing samples", stop, size)
    indices, rows = np.empty((size, len(TABLES)), np.int64), np.empty(len(TABLES), np.int64)
    for table, column in enumerate(ranks):
        indices[:, table], rows[table] = encode(column)
    return ClickLog(
        name="synthetic:kaggle",
        tables=TABLES,
        rows=rows,
        indices=indices.ravel(),
        lengths=one_lookup_each(size, len(TABLES)),
        dense=dense,
        label=label,
    )


def _dense(level: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """float32 [n, F]: log1p of counts that lean on the level, from small and regular ones to large and wild ones."""
    noise = rng.standard_normal((len(level), len(DENSE)), dtype=np.float32)
    spread = np.linspace(0.8, 2.4, len(DENSE), dtype=np.float32)
    score = np.float32(0.3) * level.astype(np.float32)[:, None] + noise
    return np.log1p(np.floor(np.exp(spread * (score + 1)))).astype(np.float32)
