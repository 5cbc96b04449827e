"""All click logs, by name."""

from __future__ import annotations

import re
from pathlib import Path

from hotline_host.data.synthetic import generator as synthetic
from hotline_host.data.synthetic.shapes import SHAPES

from . import arrays, avazu, criteo, movielens, open_bandit
from .criteo_stream import CriteoStream, can_stream
from .delimited import Progress
from .log import MLPERF_ROWS, ClickLog, DataError, Log, in_memory

__all__ = ["SOURCES", "load", "open_log", "source_file"]

SOURCES = {
    "ml-100k": "MovieLens-100k with user and film features, fetched on first use",
    "open-bandit": "a sample of the Open Bandit log, fetched on first use",
    "criteo:PATH": "your copy of a Criteo log (Kaggle or Terabyte), tab-separated, plain or compressed; or "
    "day_*; ,rows=N behind it: most rows of a table",
    "avazu:PATH": "your copy of the Avazu log, comma-separated with its header, plain or compressed",
    "npz:PATH": "your own log as NumPy arrays: sparse, or indices and lengths; optional dense, label, rows",
    **{f"synthetic:{name}": shape.about for name, shape in SHAPES.items()},
}
"""What `load` and `open_log` take, with a description."""

_ROWS = re.compile(r"(.*),rows=([^,/]*)")


def open_log(
    spec: str, *, skip_bad: bool = False, samples: int | None = None, seed: int = 0, cache: Path | None = None,
    progress: Progress | None = None,
) -> Log:  # fmt: skip
    """As `load`, but a log that can be read or drawn while it is used takes no memory.

    These are criteo, unless it is a pipe, and synthetic ones with the option `rows`.
    """
    kind, _, rest = spec.partition(":")
    if kind == "synthetic" and rest:
        _check_samples(samples)
        return synthetic.open_log(rest, samples=samples, seed=seed, progress=progress)
    if kind == "criteo" and rest:
        _check_samples(samples)
        path, rows = _path_and_rows(spec, rest)
        if rows is not None or can_stream(path):
            return CriteoStream(
                path, rows=MLPERF_ROWS if rows is None else rows, skip_bad=skip_bad, samples=samples,
                progress=progress,
            )  # fmt: skip
    return load(spec, skip_bad=skip_bad, samples=samples, seed=seed, cache=cache, progress=progress)


def load(
    spec: str, *, skip_bad: bool = False, samples: int | None = None, seed: int = 0, cache: Path | None = None,
    progress: Progress | None = None,
) -> ClickLog:  # fmt: skip
    """Loads or makes a click log in memory.

    Args:
        spec: one of `SOURCES`; a synthetic one takes options after a comma, see `synthetic.options`.
        skip_bad: for criteo and avazu, leave damaged lines out and count them, instead of raising at the first.
        samples: most samples to take, from the front; of a synthetic log, the samples to draw.
        seed: of the synthetic log.
        cache: folder of fetched packages, instead of the usual one.
        progress: called from time to time as `progress(what, done, total)`.

    Raises:
        DataError: an unknown spec, or data that cannot be used.
    """
    _check_samples(samples)
    kind, colon, rest = spec.partition(":")
    if kind in ("criteo", "avazu", "npz") and not rest:
        raise DataError(f"{spec!r} lacks a file; write {kind}:PATH")
    path, rows = _path_and_rows(spec, rest) if kind == "criteo" else (_path(spec, rest), None)
    match kind, rest:
        case "ml-100k", "" if not colon:
            return movielens.load(samples=samples, cache=cache, progress=progress)
        case "open-bandit", "" if not colon:
            return open_bandit.load(samples=samples, cache=cache, progress=progress)
        case "criteo", _ if rows is not None:
            return in_memory(CriteoStream(path, rows=rows, skip_bad=skip_bad, samples=samples, progress=progress))
        case "criteo", _:
            return criteo.load(path, skip_bad=skip_bad, samples=samples, progress=progress)
        case "avazu", _:
            return avazu.load(path, skip_bad=skip_bad, samples=samples, progress=progress)
        case "npz", _:
            return arrays.load(path, samples=samples)
        case "synthetic", _ if rest:
            return synthetic.load(rest, samples=samples, seed=seed, progress=progress)
    raise DataError(f"there is no log {spec!r}; there are {', '.join(SOURCES)}")


def source_file(spec: str) -> Path | None:
    """The file that a log is read from, if it is the user's own."""
    kind, _, rest = spec.partition(":")
    if f"{kind}:PATH" not in SOURCES or not rest:
        return None
    return _path_and_rows(spec, rest)[0] if kind == "criteo" else _path(spec, rest)


def _check_samples(samples: int | None) -> None:
    if samples is not None and samples < 1:
        raise DataError(f"samples={samples}; take at least 1")


def _path_and_rows(spec: str, rest: str) -> tuple[Path, int | None]:
    """The path, and the number of rows that may follow it."""
    if not (found := _ROWS.fullmatch(rest)):
        return _path(spec, rest), None
    if not found[2].isdecimal():
        raise DataError(f"{spec!r}: rows={found[2]}; rows is a whole number, the most rows of a table")
    return _path(spec, found[1]), int(found[2])


def _path(spec: str, text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # ~NAME of a user who does not exist
        raise DataError(f"{spec!r}: {error}; write the whole path") from None
