"""Draws samples by latent clusters: the generated logs that are like Criteo's.

    cluster, by its popularity --+--> its preferred rows of each table --+
                                 |                                       | with a chance by table and sample
                                 +--> its level --+                      v
    the sample's own noise -----------------------+--> level ------> normal score --> rank --> row
    the lookup's own noise ----------------------------------------------^

A cluster is a campaign, an ad or a segment of users. Samples of one cluster look up the same rows again and again. All
columns of a sample share its level, so a sample is frequent or rare in all of them together.

A table's popularity curve is Zipf-Mandelbrot: the row of rank r is drawn in proportion to (r + 1 + shift)^-slope. The
score has the same distribution with and without clusters, so clusters decide which rows occur together, not how often
each one occurs. `constants` says how the numbers were found.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np

from hotline_device.compiled import compiled

from .constants import CLUSTERS, Column, columns_of
from .random import NORMAL, STEP, U, child, derive, mix, normal, unit, unit_normal
from .shapes import Shape

__all__ = ["LARGE", "Clusters"]

LARGE = 10_000
"""Popularity can shift in tables of more rows than this."""

_LEAST_SCORE, _CELLS_A_SCORE, _CELLS = -8.0, 256, 6144
_SCORES = _LEAST_SCORE + np.arange(_CELLS + 1) / _CELLS_A_SCORE
_GRID = np.linspace(-14, 14, 28_001)
_BELOW = np.array([math.erfc(-score / math.sqrt(2)) / 2 for score in _GRID])  # the normal distribution
_GOLDEN = (math.sqrt(5) - 1) / 2


class Clusters:
    """Draws lookups and dense features of any stretch of a log.

    Args:
        shape: of the log.
        seed: of the log.
        shift: samples between two shifts of popularity; 0 for none.
        shift_share: share of a large table's ranks that get other rows in a shift.
        independent: draw each column from separate samples.
    """

    def __init__(self, shape: Shape, seed: int, *, shift: int, shift_share: float, independent: bool) -> None:
        columns = columns_of(shape)
        key = derive(U(seed), 1)
        tables = range(len(columns))
        offset = [int(derive(derive(key, 3), table)) % rows for table, rows in zip(tables, shape.rows, strict=True)]
        self._model = _Model(
            key=derive(key, 1),
            lookup_key=derive(key, 5),
            cluster_key=derive(key, 2),
            shift_key=derive(key, 4),
            tables=np.repeat(np.arange(len(columns)), shape.pooling),
            places=np.concatenate([np.arange(bag) for bag in shape.pooling]),
            ranks=np.stack([_ranks(one, rows) for one, rows in zip(columns, shape.rows, strict=True)]),
            rows=np.array(shape.rows, np.uint64),
            factor=np.array([_coprime(rows) for rows in shape.rows], np.uint64),
            offset=np.array(offset, np.uint64),
            loading=np.array([one.loading for one in columns]),
            own=np.sqrt(1 - np.array([one.loading for one in columns]) ** 2),
            jump=np.array([one.jump for one in columns]),
            steepness=np.array([one.steepness for one in columns]),
            follow=np.array([one.follow for one in columns]),
            shift=shift,
            shift_share=shift_share,
            independent=independent,
        )

    def draw(self, start: int, indices: np.ndarray, dense: np.ndarray) -> None:
        """Fills indices int64 [n, L] with raw rows, and dense float32 [n, F], of samples `start` to `start + n`."""
        _draw(self._model, CLUSTERS, start, NORMAL, indices, dense)


class _Model(NamedTuple):
    """Inputs of the compiled loop. They are arguments, as numba's cache does not notice changes in other modules."""

    key: np.uint64
    lookup_key: np.uint64
    cluster_key: np.uint64
    shift_key: np.uint64
    tables: np.ndarray  # int64 [L], of each lookup of a sample
    places: np.ndarray  # int64 [L], of each lookup in its bag
    ranks: np.ndarray  # float64 [T, _CELLS + 1]
    rows: np.ndarray  # uint64 [T]
    factor: np.ndarray  # uint64 [T]: the row of a rank is (rank * factor + offset) % rows
    offset: np.ndarray  # uint64 [T]
    loading: np.ndarray  # float64 [T], weight of the level in a score
    own: np.ndarray  # float64 [T], weight of the lookup's own noise
    jump: np.ndarray  # float64 [T], added to a level above the edge
    steepness: np.ndarray  # float64 [T], slope of the level above the hinge
    follow: np.ndarray  # float64 [T], chance of a row that the cluster prefers, in unfaithful samples
    shift: int
    shift_share: float
    independent: bool


def _coprime(rows: int) -> int:
    """A factor that makes `rank * factor % rows` a permutation, near the golden section of `rows`."""
    factor = max(1, round(rows * _GOLDEN))
    while math.gcd(factor, rows) > 1:
        factor += 1
    return factor


@cache
def _distribution(loading: float, jump: float, steepness: float) -> np.ndarray:
    """float64 [_CELLS + 1]: share of lookups whose score is below each of `_SCORES`, over all levels."""
    levels = np.linspace(-4.6, 4.6, 921)
    weights = np.exp(-(levels**2) / 2)
    bent = levels + jump * (levels > CLUSTERS.edge) + (steepness - 1) * np.maximum(levels - CLUSTERS.hinge, 0)
    few = _SCORES[::8]
    noise = (few[:, None] - loading * bent) / math.sqrt(1 - loading**2)  # needed for that score at that level
    share = np.interp(noise, _GRID, _BELOW) @ weights / weights.sum()
    return np.interp(_SCORES, few, share)


def _ranks(one: Column, rows: int) -> np.ndarray:
    """float64 [_CELLS + 1]: rank, from 0, with a fraction, at each of `_SCORES`: the curve's inverse distribution."""
    share = _distribution(one.loading, one.jump, one.steepness)
    power, scale = 1 - one.slope, 1 + one.shift
    span = (1 + rows / scale) ** power - 1
    return np.minimum(((1 + share * span) ** (1 / power) - 1) * scale, rows - 1e-6)


@compiled()
def _sample(model, fit, key, sample, quantiles):
    """The sample's cluster key, cluster level and level, and whether it follows its cluster in all columns."""
    power, scale = 1 - fit.slope, 1 + fit.shift
    span = (1 + fit.clusters / scale) ** power - 1
    source = sample  # the sample whose cluster is taken: an earlier one in a burst
    while source > 0:
        word = child(child(key, source), 1)
        if unit(word) >= fit.burst:
            break
        source -= 1 + int(unit(mix(word + STEP)) * fit.reach)
    share = unit(child(child(key, max(source, 0)), 2))
    cluster = math.floor(((1 + share * span) ** (1 / power) - 1) * scale)
    cluster_key = child(model.cluster_key, cluster)
    share = ((1 + (cluster + 0.5) / scale) ** power - 1) / span  # at the cluster's middle: the same in all its samples
    cluster_level = unit_normal(min(share, 1 - 1e-9), quantiles)
    cluster_level = _blend(fit.cluster_level, cluster_level, normal(mix(cluster_key), quantiles))
    word = child(key, sample)
    level = _blend(fit.sample_level, cluster_level, normal(mix(word + STEP), quantiles))
    return cluster_key, cluster_level, level, unit(mix(word)) < fit.faithful


@compiled(inline="always")
def _blend(weight, common, own):
    """Blends two normal scores into one; `weight` is its correlation with `common`."""
    return weight * common + math.sqrt(1 - weight * weight) * own


@compiled()
def _draw(model, fit, start, quantiles, indices, dense):
    for at in range(indices.shape[0]):
        sample = start + at
        cluster_key, cluster_level, level, faithful = _sample(model, fit, model.key, sample, quantiles)
        epoch = sample // model.shift if model.shift else 0
        word = child(model.lookup_key, sample)

        for feature in range(dense.shape[1]):
            # log1p of counts that depend on the level. The first features vary little, the last ones much.
            spread = 0.8 + 1.6 * feature / max(dense.shape[1] - 1, 1)
            score = 0.3 * level + normal(mix(word), quantiles)
            word += STEP
            dense[at, feature] = math.log(1 + math.floor(math.exp(spread * (score + 1))))

        for lookup in range(model.tables.size):
            table = model.tables[lookup]
            if model.independent and model.places[lookup] == 0:
                column_key = child(model.lookup_key, -1 - table)
                cluster_key, cluster_level, level, faithful = _sample(model, fit, column_key, sample, quantiles)
            own = mix(word)
            follow = unit(mix(own + STEP))
            word += STEP
            chance = fit.faithful_follow if faithful else model.follow[table]
            if follow < chance:
                # A cluster has four rows in this table and place: one favourite, and three that share the rest.
                rest = follow / chance - fit.first
                row = 0 if rest < 0 else 1 + int(3 * rest / (1 - fit.first))
                chosen = child(cluster_key, 1 + table + 64 * (row + 4 * model.places[lookup]))
                common, noise = cluster_level, normal(chosen, quantiles)
            else:
                common, noise = level, normal(own, quantiles)
            bent = common
            if common > fit.edge:
                bent += model.jump[table]
            if common > fit.hinge:
                bent += (model.steepness[table] - 1) * (common - fit.hinge)
            score = model.loading[table] * bent + model.own[table] * noise

            # Scores of `ranks` are evenly spaced, so no search is needed to find the cell.
            place = (score - _LEAST_SCORE) * _CELLS_A_SCORE
            place = min(max(place, 0.0), _CELLS - 1e-6)
            cell = int(place)
            low = model.ranks[table, cell]
            rank = U(low + (place - cell) * (model.ranks[table, cell + 1] - low))
            indices[at, lookup] = _row(model, table, rank, epoch)


@compiled(inline="always")
def _row(model, table, rank, epoch):
    """The row of this rank after `epoch` shifts. It was set by the last shift that changed the rank."""
    rows = model.rows[table]
    offset = model.offset[table]
    if rows > U(LARGE):
        key = child(model.shift_key, table)
        while epoch > 0:
            if unit(child(child(key, epoch), rank)) < model.shift_share:
                offset = child(key, U(epoch)) % rows
                break
            epoch -= 1
    return (rank * model.factor[table] + offset) % rows
