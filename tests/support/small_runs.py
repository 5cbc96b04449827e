"""A small log, and settings to train on it in a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hotline_host.experiments.cosim_settings import CosimSettings

__all__ = ["small_settings", "write_skewed_log"]


def write_skewed_log(path: Path) -> None:
    """1,000 multi-hot samples of 3 skewed tables, some samples empty, as an npz file. The label depends on the rows."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 3, (1000, 3))
    lengths[rng.random(1000) < 0.03] = 0
    tables = np.repeat(np.tile(np.arange(3), 1000), lengths.ravel())
    indices = (40 * rng.random(len(tables)) ** 3).astype(np.int64)
    sample = np.repeat(np.arange(1000), lengths.sum(1))
    score = np.bincount(sample, np.where(indices % 2, 1.0, -1.0), minlength=1000)
    dense = rng.standard_normal((1000, 2)).astype(np.float32)
    np.savez(path, indices=indices, lengths=lengths, dense=dense, label=rng.random(1000) < 1 / (1 + np.exp(-score)))


def small_settings(**changes) -> CosimSettings:
    defaults = {"hot_rows": 30, "learn_share": 0.2, "batch_size": 64, "passes": 1}
    return CosimSettings(**defaults | changes)
