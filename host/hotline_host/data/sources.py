"""All click logs, by name."""

from __future__ import annotations

from pathlib import Path

from hotline_host.data.synthetic import generator as synthetic
from hotline_host.data.synthetic.shapes import SHAPES

from . import arrays, avazu, criteo, movielens, open_bandit
from .delimited import Progress
from .log import ClickLog, DataError

__all__ = ["SOURCES", "load"]

SOURCES = {
    "ml-100k": "MovieLens-100k with user and film features, fetched on first use",
    "open-bandit": "a sample of the Open Bandit log, fetched on first use",
    "criteo:PATH": "your copy of a Criteo log (Kaggle or Terabyte), tab-separated, plain or compressed; or day_*",
    "avazu:PATH": "your copy of the Avazu log, comma-separated with its header, plain or compressed",
    "npz:PATH": "your own log as NumPy arrays: sparse, or indices and lengths; optional dense, label, rows",
    **{f"synthetic:{name}": shape.about for name, shape in SHAPES.items()},
}
"""What `load` takes, with a description."""


def load(
    spec: str, *, skip_bad: bool = False, samples: int | None = None, seed: int = 0, cache: Path | None = None,
    progress: Progress | None = None,
) -> ClickLog:  # fmt: skip
    """Loads or makes a click log.

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
    if samples is not None and samples < 1:
        raise DataError(f"samples={samples}; take at least 1")
    kind, colon, rest = spec.partition(":")
    if kind in ("criteo", "avazu", "npz") and not rest:
        raise DataError(f"{spec!r} lacks a file; write {kind}:PATH")
    try:
        path = Path(rest).expanduser()
    except RuntimeError as error:  # ~NAME of a user who does not exist
        raise DataError(f"{spec!r}: {error}; write the whole path") from None
    match kind, rest:
        case "ml-100k", "" if not colon:
            return movielens.load(samples=samples, cache=cache, progress=progress)
        case "open-bandit", "" if not colon:
            return open_bandit.load(samples=samples, cache=cache, progress=progress)
        case "criteo", _:
            return criteo.load(path, skip_bad=skip_bad, samples=samples, progress=progress)
        case "avazu", _:
            return avazu.load(path, skip_bad=skip_bad, samples=samples, progress=progress)
        case "npz", _:
            return arrays.load(path, samples=samples)
        case "synthetic", _ if rest:
            return synthetic.load(rest, samples=samples, seed=seed, progress=progress)
    raise DataError(f"there is no log {spec!r}; there are {', '.join(SOURCES)}")
