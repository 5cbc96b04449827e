"""What is trained: a log, and a model for it. One more configuration is one more entry."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hotline_host.data.synthetic.generator import SMALL_ROWS
from hotline_host.data.synthetic.shapes import SHAPES
from hotline_host.errors import SettingsError

if TYPE_CHECKING:
    from hotline_host.training.dlrm import ModelConfig

__all__ = ["CONFIGS", "BenchConfig", "find_config", "fitting_share", "table_rows"]

FLOAT_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """One configuration. The widths of its MLPs are those of DLRM for Criteo Kaggle.

    Attributes:
        shape: of the generated log, a key of SHAPES.
        dimension: D.
        hot_share: default budget, as a share of all rows.
        hbm_share: memory of the device that rivals are given, as a share of the bytes of all rows with their state;
            None: all there is.
        learn_by: what rows count for, "sample" or "bag".
        about: in a few words.
    """

    shape: str
    dimension: int
    hot_share: float = 0.1
    hbm_share: float | None = None
    learn_by: str = "sample"
    about: str

    @property
    def row_bytes(self) -> int:
        """Of a float32 row and its optimizer state."""
        return FLOAT_BYTES * (self.dimension + 1)

    def data(self, share: float) -> str:
        """What `data.sources.load` takes, with tables of `share` of the full vocabulary."""
        return f"synthetic:{self.shape},vocabulary={share:.6g}"

    def model(self) -> ModelConfig:
        from hotline_host.training.dlrm import ModelConfig  # torch takes seconds

        return replace(ModelConfig.kaggle(), dimension=self.dimension)


CONFIGS = {
    "kaggle": BenchConfig(shape="kaggle", dimension=16, about="Criteo Kaggle, 34 M rows, D 16"),
    "terabyte": BenchConfig(
        shape="terabyte", dimension=64, hot_share=0.05, hbm_share=0.25,
        about="Criteo Terabyte, 883 M rows, D 64: rows do not fit the device memory that is given",
    ),
    "multihot": BenchConfig(
        shape="mlperf-multihot", dimension=64, learn_by="bag",
        about="MLPerf's multi-hot Criteo, 204 M rows, 214 lookups a sample, D 64",
    ),
}  # fmt: skip
"""Configurations by name."""


def find_config(name: str) -> BenchConfig:
    """Raises SettingsError, with all names, if there is none of this name."""
    if name not in CONFIGS:
        raise SettingsError(f"config is {name!r}; it must be one of {', '.join(CONFIGS)}")
    return CONFIGS[name]


def table_rows(config: BenchConfig, share: float) -> int:
    """Rows of all tables, with `share` of the full vocabulary."""
    rows = np.array(SHAPES[config.shape].rows)
    return int(np.minimum(rows, np.maximum(np.ceil(share * rows), SMALL_ROWS)).sum())


def fitting_share(config: BenchConfig, share: float, copies: int, memory_bytes: int) -> float:
    """`share`, or the largest power of two times it of which `copies` copies of all tables fit into memory.

    Raises:
        SettingsError: not even the smallest tables fit.
    """
    if not 0 < share <= 1:
        raise SettingsError(f"rows is {share}; it must be a share above 0, at most 1")
    smallest = table_rows(config, math.ulp(0.0))
    if copies * smallest * config.row_bytes > memory_bytes:
        raise SettingsError(
            f"{copies} copies of {smallest:,} rows of {config.row_bytes} bytes do not fit into {memory_bytes:,} bytes "
            "of memory; name fewer rivals"
        )
    while copies * table_rows(config, share) * config.row_bytes > memory_bytes:
        share /= 2
    return share
