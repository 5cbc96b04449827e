"""Avazu's click-through log: comma-separated, with a header; an id, the click, the hour and 21 categories a line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .columns import Gather, hexadecimal, integer, numbers, one_lookup_each, respell
from .compressed import open_text
from .delimited import Field, Progress, Reader
from .log import ClickLog

__all__ = ["FIELDS", "TABLES", "load"]

_NUMBER = ("(?:-?[0-9]{1,18})?", "an integer of at most 18 digits, or empty where it is missing")
_HEX = ("[0-9a-fA-F]{0,8}", "a value of 1 to 8 hexadecimal digits, or empty where it is missing")

FIELDS = (
    Field("click", "[01]", "a click: 0 or 1"),
    Field("hour", "[0-9]{6}(?:[01][0-9]|2[0-3])", "an hour written YYMMDDHH, HH from 00 to 23"),
    *(Field(name, *_NUMBER) for name in ("C1", "banner_pos")),
    *(Field(name, *_HEX) for name in (
        "site_id", "site_domain", "site_category", "app_id", "app_domain", "app_category",
        "device_id", "device_ip", "device_model",
    )),
    *(Field(name, *_NUMBER) for name in ("device_type", "device_conn_type")),
    *(Field(f"C{number}", *_NUMBER) for number in range(14, 22)),
)  # fmt: skip
"""The columns that are read. The id is not, as it is unique to its line."""

TABLES = ("hour_of_day", *(field.name for field in FIELDS[2:]))
"""22 tables: the hour of the day and 21 other categories. The date is left out, as it never comes again."""


def load(
    path: Path, *, skip_bad: bool = False, samples: int | None = None, progress: Progress | None = None
) -> ClickLog:
    """Reads a log, plain or compressed (see `open_text`): 22 tables of one lookup a bag, no dense feature.

    The label is the click. Columns are found by the header's names. Rows are numbered in order of first appearance.
    Values that are the same number share a row, however they are written; a missing value is a row of its own.

    Args:
        skip_bad: leave damaged lines out and count them in `ClickLog.skipped`.
        samples: most samples to read, from the top.
        progress: called with the bytes of the file that have been read.

    Raises:
        DataError: a file that cannot be read or has no sample, a header that lacks a column, or the first damaged line
            (file, line, field).
    """
    sparse = Gather(len(TABLES))
    label = [np.empty(0, np.float32)]
    with open_text(path) as (stream, done, size):
        reader = Reader(
            stream, str(path), FIELDS, delimiter=",", header=True, label="click", skip_bad=skip_bad, limit=samples
        )
        for table in reader.tables():
            click, hour, *rest = table.columns
            label.append(numbers(click).astype(np.float32))
            values = [
                respell(column, hexadecimal if field.pattern == _HEX[0] else integer)
                for field, column in zip(FIELDS[2:], rest, strict=True)
            ]
            sparse.add([respell(hour, _hour_of_day), *values])
            if progress is not None:
                progress(f"reading {path.name}", done(), size)
    labels = np.concatenate(label)
    indices, rows = sparse.finish()
    return ClickLog(
        name=f"avazu:{path.name}",
        tables=TABLES,
        rows=rows,
        indices=indices,
        lengths=one_lookup_each(len(labels), len(TABLES)),
        dense=np.empty((len(labels), 0), np.float32),
        label=labels,
        rule="every value keeps its own row; a missing value is a row of its own",
        skipped=reader.skipped,
    )


def _hour_of_day(hours: pa.Array) -> pa.Array:
    """The last two digits of YYMMDDHH."""
    return pc.binary_slice(hours, 6, 8)
