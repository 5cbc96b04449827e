"""The shapes of the generated logs: tables, rows, lookups a bag. Plain data."""

from __future__ import annotations

from dataclasses import dataclass

from hotline_host.data.criteo import DENSE, TABLES

__all__ = ["SHAPES", "Shape"]


@dataclass(frozen=True)
class Shape:
    """The fixed properties of a generated log.

    Attributes:
        tables: name of each table.
        rows: rows of each table, the full vocabulary.
        pooling: lookups in each table's bag.
        dense: dense features.
        dimension: embedding dimension usual for this data.
        about: the log in a few words.
    """

    tables: tuple[str, ...]
    rows: tuple[int, ...]
    pooling: tuple[int, ...]
    dense: int
    dimension: int
    about: str


# Rows: as published with Facebook's DLRM (Kaggle), HugeCTR (Terabyte, all 24 days), MLPerf Training 3.0 (DLRM-DCNv2,
# rows above 40 M hashed to 40 M; its pooling factors too) and Alibaba's UserBehavior.
SHAPES = {
    "kaggle": Shape(
        tables=TABLES,
        rows=(
            1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683, 8351593, 3194,
            27, 14992, 5461306, 10, 5652, 2173, 4, 7046547, 18, 15, 286181, 105, 142572,
        ),
        pooling=(1,) * len(TABLES),
        dense=len(DENSE),
        dimension=16,
        about="a generated log that has the statistics of Criteo Kaggle",
    ),
    "terabyte": Shape(
        tables=TABLES,
        rows=(
            227605432, 39060, 17295, 7424, 20265, 3, 7122, 1543, 63, 130229467, 3067956, 405282, 10,
            2209, 11938, 155, 4, 976, 14, 292775614, 40790948, 187188510, 590152, 12973, 108, 36,
        ),
        pooling=(1,) * len(TABLES),
        dense=len(DENSE),
        dimension=64,
        about="a generated log of the size of Criteo Terabyte",
    ),
    "mlperf-multihot": Shape(
        tables=TABLES,
        rows=(
            40000000, 39060, 17295, 7424, 20265, 3, 7122, 1543, 63, 40000000, 3067956, 405282, 10,
            2209, 11938, 155, 4, 976, 14, 40000000, 40000000, 40000000, 590152, 12973, 108, 36,
        ),
        pooling=(3, 2, 1, 2, 6, 1, 1, 1, 1, 7, 3, 8, 1, 6, 9, 5, 1, 1, 1, 12, 100, 27, 10, 3, 1, 1),
        dense=len(DENSE),
        dimension=128,
        about="a generated log of the size of MLPerf's multi-hot Criteo: 214 lookups a sample",
    ),
    "taobao": Shape(
        tables=("user", "item", "category", "behaviour"),
        rows=(987_994, 4_162_024, 9_439, 4),
        pooling=(1, 1, 1, 1),
        dense=0,
        dimension=16,
        about="a generated log ruled by recency: items live a short while, users come in sessions",
    ),
}  # fmt: skip
"""Shapes by name."""
