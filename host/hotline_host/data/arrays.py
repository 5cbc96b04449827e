"""Click logs kept as NumPy arrays in an `.npz` file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .columns import one_lookup_each
from .log import MAX_ROWS, ClickLog, DataError

__all__ = ["load"]

_INTEGER, _FLOAT, _NUMBER = "iu", "f", "iufb"
_KINDS = {_INTEGER: "integers (int64)", _FLOAT: "floating-point numbers (float32)", _NUMBER: "numbers (float32)"}


def load(path: Path, *, samples: int | None = None) -> ClickLog:
    """Reads a log of S samples of T tables; pickled objects are never loaded.

    The file holds, by key:
        sparse: int64 [S, T], one lookup a bag; or
        indices, lengths: int64 [n], sample-major, and int64 [S, T], with lengths adding up to n.
        dense: optional float32 [S, F].
        label: optional [S], from 0 to 1, of any numbers; zeros if absent.
        rows: optional int64 [T], rows of each table; if absent, one more than the largest index.
    Integers may have any type if int64 can hold them, and floating-point numbers any type if float32 can.

    Args:
        samples: most samples to take, from the front.

    Raises:
        DataError: naming file, key, what is wrong and what would be right.
    """
    with _open(path) as file:
        return _log(_Arrays(path, file), path, samples)


def _open(path: Path) -> np.lib.npyio.NpzFile:
    try:
        file = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; name the log by its path, absolute or from {Path.cwd()}") from None
    except OSError as error:
        reason = error.strerror or _line(error)
        raise DataError(f"{path}: cannot be read ({reason}); name a readable .npz file, not a pipe") from None
    except Exception as error:  # a damaged archive ends in many kinds
        raise DataError(f"{path}: cannot be read as .npz ({_line(error)}); write it with numpy.savez") from None
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise DataError(f"{path}: holds a single array; write the log with numpy.savez, under its keys")
    return file


def _log(arrays: _Arrays, path: Path, samples: int | None) -> ClickLog:
    if "sparse" in arrays:
        if "indices" in arrays or "lengths" in arrays:
            raise DataError(f"{path}: holds both sparse and indices or lengths; keep sparse, or the other two")
        sparse = arrays.get("sparse", _INTEGER, S=None, T=None)
        key, indices, lengths = "sparse", sparse.ravel(), one_lookup_each(*sparse.shape)
    elif "indices" in arrays and "lengths" in arrays:
        key, indices = "indices", arrays.get("indices", _INTEGER, n=None)
        lengths = arrays.get("lengths", _INTEGER, S=None, T=None)
        arrays.refuse("lengths", lengths, lengths < 0, "a bag has 0 lookups or more")
        # A sum of int64 may wrap. One of float64 is exact below 2**53, and larger than any count of indices beyond.
        if (total := int(lengths.sum(dtype=np.float64))) != len(indices):
            raise DataError(f"{path}: lengths add up to {total}, but indices holds {len(indices)}; they must agree")
    else:
        raise DataError(
            f"{path}: holds {arrays.names}; it must hold sparse [S, T], or indices [n] and lengths [S, T] for "
            "multi-hot tables"
        )
    size, tables = lengths.shape
    if not size or not tables:
        raise DataError(f"{path}: {size} samples of {tables} tables; it must hold at least one of each")
    # In the stored shape, so that a message names the place that the user would look at.
    stored = indices.reshape(lengths.shape) if key == "sparse" else indices
    arrays.refuse(key, stored, stored < 0, "a row is 0 or more")
    arrays.refuse(key, stored, stored >= MAX_ROWS, f"the accelerator's key names at most {MAX_ROWS} rows")

    table_of = np.repeat(np.tile(np.arange(tables), size), lengths.ravel())
    if "rows" in arrays:
        rows = arrays.get("rows", _INTEGER, T=tables)
        arrays.refuse("rows", rows, rows < 0, "a table has 0 rows or more")
        beyond = (indices >= rows[table_of]).reshape(stored.shape)
        if beyond.any():
            table = table_of[np.flatnonzero(beyond)[0]]
            arrays.refuse(key, stored, beyond, f"table {table} has {rows[table]} rows, and its last is one less")
    else:
        rows = np.zeros(tables, np.int64)
        np.maximum.at(rows, table_of, indices + 1)
    dense = arrays.get("dense", _FLOAT, S=size, F=None) if "dense" in arrays else np.empty((size, 0))
    arrays.refuse("dense", dense, ~np.isfinite(dense), "a dense feature is finite")
    with np.errstate(over="ignore"):
        narrow = dense.astype(np.float32, order="C")
    arrays.refuse("dense", dense, ~np.isfinite(narrow), "float32 cannot hold it")
    label = arrays.get("label", _NUMBER, S=size) if "label" in arrays else np.zeros(size)
    arrays.refuse("label", label, ~((label >= 0) & (label <= 1)), "a label is from 0 to 1")

    taken = min(size, samples) if samples is not None else size
    if not lengths[:taken].any():
        raise DataError(f"{path}: all bags of its {taken} samples are empty; it must hold at least one lookup")
    return ClickLog(
        name=f"npz:{path.name}",
        tables=tuple(f"table_{table}" for table in range(tables)),
        rows=rows,
        indices=indices[: lengths[:taken].sum()],
        lengths=lengths[:taken],
        dense=narrow[:taken],
        label=label[:taken].astype(np.float32),
        rule="rows are numbered as in the file",
    )


class _Arrays:
    """The arrays of an `.npz` file, read and checked one by one."""

    def __init__(self, path: Path, file: np.lib.npyio.NpzFile) -> None:
        self._path, self._file = path, file

    @property
    def names(self) -> str:
        return ", ".join(self._file.files) or "nothing"

    def __contains__(self, key: str) -> bool:
        return key in self._file.files

    def get(self, key: str, kinds: str, **axes: int | None) -> np.ndarray:
        """An array of one of the kinds, with the named axes. An axis must have the given length; None allows any.

        Returns:
            int64 for integers; other arrays as stored.
        """
        fixed = [f"{axis} = {length}" for axis, length in axes.items() if length is not None]
        right = f"it must hold {_KINDS[kinds]} of shape [{', '.join(axes)}]" + " with ".join(["", *fixed])
        try:
            array = self._file[key]
        except Exception as error:  # a damaged array ends in many kinds
            raise DataError(f"{self._path}: {key} cannot be read ({_line(error)}); {right}") from None
        if not isinstance(array, np.ndarray):
            raise DataError(f"{self._path}: {key} is no array; {right}")
        if array.dtype.kind not in kinds:
            raise DataError(f"{self._path}: {key} has type {array.dtype}; {right}")
        wanted = tuple(axes.values())
        if array.ndim != len(wanted) or any(a not in (None, b) for a, b in zip(wanted, array.shape, strict=True)):
            raise DataError(f"{self._path}: {key} has shape {list(array.shape)}; {right}")
        if kinds != _INTEGER:
            return array
        if array.dtype == np.uint64:
            self.refuse(key, array, array > np.iinfo(np.int64).max, "int64 cannot hold it")
        return array.astype(np.int64, copy=False)

    def refuse(self, key: str, array: np.ndarray, wrong: np.ndarray, rule: str) -> None:
        """Raises DataError at the first place where `wrong`, a mask as large as the array, is set."""
        if wrong.any():
            place = np.unravel_index(int(np.argmax(wrong)), array.shape)
            where = ", ".join(str(axis) for axis in place)
            raise DataError(f"{self._path}: {key}[{where}] is {array[place]}; {rule}")


def _line(error: Exception) -> str:
    """The error's message in one line."""
    return " ".join(str(error).split()) or type(error).__name__
