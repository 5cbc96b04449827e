"""MovieLens-100k with the features of its users and films, from the `recbole` package."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from .columns import encode, interleave, numbers
from .delimited import Field, Progress, Reader
from .log import ClickLog
from .packages import Package

__all__ = ["PACKAGE", "TABLES", "load", "parse"]

PACKAGE = Package(
    requirement="recbole==1.2.1",
    wheel="recbole-1.2.1-py3-none-any.whl",
    sha256="9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
)

TABLES = ("user", "item", "age", "gender", "occupation", "zip", "year", "genres", "hour_of_day", "weekday")
"""Genres are multi-hot. The last two are of the time of the rating, in UTC; weekdays begin with Monday."""

_FOLDER = "recbole/dataset_example/ml-100k"
_TOKEN = (".+", "a value that is not empty")
_INTER = (
    Field("user_id:token", *_TOKEN),
    Field("item_id:token", *_TOKEN),
    Field("rating:float", "[1-5]", "a rating from 1 to 5"),
    Field("timestamp:float", "[0-9]{1,12}", "a time in whole seconds since 1970"),
)
_USER = tuple(Field(f"{name}:token", *_TOKEN) for name in ("user_id", "age", "gender", "occupation", "zip_code"))
_ITEM = (
    Field("item_id:token", *_TOKEN),
    Field("release_year:token", *_TOKEN),
    Field("class:token_seq", *_TOKEN),
)


def load(*, samples: int | None = None, cache: Path | None = None, progress: Progress | None = None) -> ClickLog:
    """The log, fetched on first use. See `parse`.

    Raises:
        DataError: the package cannot be fetched.
    """
    with PACKAGE.open(cache, progress) as wheel:
        return parse(wheel, samples=samples)


def parse(wheel: zipfile.ZipFile, *, samples: int | None = None) -> ClickLog:
    """100,000 ratings by 943 users of 1,682 films, in time order: 10 tables, no dense feature.

    The label is 1 for a rating of 4 or 5. Rows are numbered in order of first appearance.

    Args:
        samples: most ratings to take, the earliest.
    """
    users, items, ratings, moments = _columns(wheel, "inter", _INTER)
    seconds = numbers(moments)
    order = np.argsort(seconds, kind="stable")[:samples]
    seconds = seconds[order]
    user_ids, *user_features = (_text(column) for column in _columns(wheel, "user", _USER))
    item_ids, years, genres = (_text(column) for column in _columns(wheel, "item", _ITEM))
    user_at = _places(_text(users)[order], user_ids)
    item_at = _places(_text(items)[order], item_ids)

    genres_of = [str(text).split() for text in genres]
    bags = np.array([len(names) for names in genres_of], np.int64)[item_at]
    names = np.array([name for item in item_at for name in genres_of[item]], dtype=str)
    values = [
        user_at, item_at, *(feature[user_at] for feature in user_features), years[item_at], names,
        seconds // 3600 % 24, (seconds // 86400 + 3) % 7,  # 1970 began on a Thursday
    ]  # fmt: skip
    columns, rows = zip(*(encode(value) for value in values), strict=True)
    indices, lengths = interleave(columns, {TABLES.index("genres"): bags})
    return ClickLog(
        name="ml-100k",
        tables=TABLES,
        rows=np.array(rows, np.int64),
        indices=indices,
        lengths=lengths,
        dense=np.empty((len(order), 0), np.float32),
        label=(numbers(ratings)[order] >= 4).astype(np.float32),
    )


def _columns(wheel: zipfile.ZipFile, part: str, fields: Sequence[Field]) -> list[pa.ChunkedArray]:
    name = f"ml-100k.{part}"
    with wheel.open(f"{_FOLDER}/{name}") as stream:
        tables = Reader(stream, name, fields, delimiter="\t", header=True).tables()  # type: ignore[arg-type]
        return pa.concat_tables(tables).columns


def _text(column: pa.ChunkedArray) -> np.ndarray:
    """The column's values as str [n]."""
    return np.array([value.decode() for value in column.to_pylist()], dtype=str)


def _places(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """The position of each value in `among`, which holds each of them once."""
    order = np.argsort(among)
    return order[np.searchsorted(among, values, sorter=order)]
