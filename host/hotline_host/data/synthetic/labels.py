"""Labels of a generated log, drawn from a logistic model so that there is something to learn."""

from __future__ import annotations

import math

import numpy as np

from hotline_device.compiled import compiled

from .random import U, child, unit

__all__ = ["CLICK_RATE", "Labels"]

CLICK_RATE = 0.25
"""Approximate share of samples with label 1."""

_EFFECTS = 1024
_SPREAD = 0.25
_DENSE_SPREAD = 0.1


class Labels:
    """The log-odds of a click are a sum: the mean effect of each bag's rows, and the weighted dense features.

    The raw rows of a table share 1,024 effects, which are fixed by the seed.

    Args:
        tables: int64 [L], table of each lookup of a sample.
        pooling: int64 [T], lookups of each table.
        dense: dense features.
        seed: of the log.
    """

    def __init__(self, tables: np.ndarray, pooling: np.ndarray, dense: int, seed: int) -> None:
        rng = np.random.default_rng([seed, 0])
        self._tables = tables
        self._effects = (rng.normal(0, _SPREAD, (len(pooling), _EFFECTS)) / pooling[:, None]).astype(np.float32)
        self._weights = rng.normal(0, _DENSE_SPREAD, dense).astype(np.float32)
        self._bias = 0.0

    def calibrate(self, indices: np.ndarray, dense: np.ndarray) -> None:
        """Sets the bias so that the click rate over these samples is about `CLICK_RATE`."""
        odds = np.empty(len(dense), np.float32)
        _odds(indices, dense, self._tables, self._effects, self._weights, odds)
        for _ in range(8):
            rate = float(np.mean(1 / (1 + np.exp(-(odds + self._bias)))))
            self._bias += math.log(CLICK_RATE / (1 - CLICK_RATE)) - math.log(rate / (1 - rate))

    def draw(self, key: np.uint64, start: int, indices: np.ndarray, dense: np.ndarray, label: np.ndarray) -> None:
        """Fills `label` float32 [n] for the samples from `start` on: raw rows int64 [n, L], dense float32 [n, F]."""
        _odds(indices, dense, self._tables, self._effects, self._weights, label)
        _click(key, start, self._bias, label)


@compiled()
def _odds(indices, dense, tables, effects, weights, odds):
    for sample in range(indices.shape[0]):
        total = np.float32(0)
        for lookup in range(tables.size):
            total += effects[tables[lookup], indices[sample, lookup] & (_EFFECTS - 1)]
        for feature in range(weights.size):
            total += weights[feature] * dense[sample, feature]
        odds[sample] = total


@compiled()
def _click(key, start, bias, odds):
    """Replaces log-odds by labels."""
    for sample in range(odds.size):
        rate = 1 / (1 + math.exp(-(odds[sample] + bias)))
        odds[sample] = 1 if unit(child(key, U(start + sample))) < rate else 0
