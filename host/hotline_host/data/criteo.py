"""Criteo's display advertising logs (Kaggle, and Terabyte's days), as their publisher formats them.

A line is a label, 13 integers and 26 hexadecimal strings, with tabs between them; any of the 39 may be empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .columns import Gather, hexadecimal, numbers, one_lookup_each, respell
from .compressed import open_text
from .delimited import Field, Position, Progress, Reader
from .log import ClickLog, DataError

__all__ = ["DENSE", "FIELDS", "TABLES", "dense_features", "files_of", "load", "read_text"]

DENSE = tuple(f"I{number}" for number in range(1, 14))
TABLES = tuple(f"C{number}" for number in range(1, 27))
_NUMBER = re.compile("([0-9]+)")

FIELDS = (
    Field("label", "[01]", "a label: 0 or 1"),
    *(Field(name, "(?:-?[0-9]{1,18})?", "an integer of at most 18 digits, or empty where it is missing")
      for name in DENSE),
    *(Field(name, "[0-9a-fA-F]{0,8}", "a value of 1 to 8 hexadecimal digits, or empty where it is missing")
      for name in TABLES),
)  # fmt: skip


def load(
    path: Path, *, skip_bad: bool = False, samples: int | None = None, progress: Progress | None = None
) -> ClickLog:
    """Reads a log, plain or compressed (see `open_text`): 26 tables of one lookup a bag, 13 dense features.

    A pattern such as `day_*.gz` names several files, which are read one after the other; day_2 comes before day_10.

    Rows are numbered in order of first appearance. Values that are the same number share a row, in whatever case and
    with however many leading zeros they are written; a missing value is a row of its own. A dense feature x becomes
    log1p(max(x, 0)), a missing one 0.

    Args:
        skip_bad: leave damaged lines out and count them in `ClickLog.skipped`.
        samples: most samples to read, from the top.
        progress: called with the bytes of the file that have been read.

    Raises:
        DataError: a file that cannot be read or has no sample, or its first damaged line (file, line, field).
    """
    sparse = Gather(len(TABLES))
    dense = [np.empty((0, len(DENSE)), np.float32)]
    label = [np.empty(0, np.float32)]
    left, skipped = samples, 0
    for file in files_of(path):
        with read_text(file, skip_bad=skip_bad, limit=left) as (reader, done, size):
            for table in reader.tables():
                columns = table.columns
                label.append(numbers(columns[0]).astype(np.float32))
                dense.append(dense_features(columns[1 : 1 + len(DENSE)]))
                sparse.add([respell(column, hexadecimal) for column in columns[1 + len(DENSE) :]])
                left = None if left is None else left - table.num_rows
                if progress is not None:
                    progress(f"reading {file.name}", done(), size)
            skipped += reader.skipped
        if left == 0:
            break
    labels = np.concatenate(label)
    indices, rows = sparse.finish()
    return ClickLog(
        name=f"criteo:{path.name}",
        tables=TABLES,
        rows=rows,
        indices=indices,
        lengths=one_lookup_each(len(labels), len(TABLES)),
        dense=np.concatenate(dense),
        label=labels,
        rule="every value keeps its own row; a missing value is a row of its own",
        skipped=skipped,
    )


@contextmanager
def read_text(
    file: Path, *, skip_bad: bool = False, limit: int | None = None, start: Position | None = None
) -> Iterator[tuple[Reader, Callable[[], int], int]]:
    """Opens one file. Yields its reader, and the last two as `open_text` does. Arguments as `Reader`."""
    with open_text(file) as (stream, done, size):
        yield Reader(
            stream, str(file), FIELDS, delimiter="\t", label="label", skip_bad=skip_bad, limit=limit, start=start
        ), done, size  # fmt: skip


def files_of(path: Path) -> list[Path]:
    """The files of a name that may be a pattern, in the order of the numbers in their names."""
    if not set("*?[") & set(path.name) or path.exists():
        return [path]
    found = [file for file in path.parent.glob(path.name) if not file.is_dir()]
    if not found:
        raise DataError(f"{path}: no file has a name of this pattern")
    return sorted(found, key=lambda file: [int(part) if part.isdigit() else part for part in _NUMBER.split(file.name)])


def dense_features(columns: list) -> np.ndarray:
    """float32 [n, 13]: log1p of positive numbers, 0 for all others."""
    return np.stack([np.log1p(np.maximum(numbers(column), 0)).astype(np.float32) for column in columns], axis=1)
