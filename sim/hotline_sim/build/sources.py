"""The sources that a build is made of, read once.

A build's name is a digest of its sources. Somebody may edit them between the moment when the name is made and the
moment when the build reads them, and that takes minutes. So sources are read once: the name is made of these texts, and
the build gets a copy of the same texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from .cache import digest

__all__ = ["digest_sources", "read_sources", "write_sources"]


def read_sources(root: Path, paths: Iterable[Path]) -> dict[str, str]:
    """The texts of files below `root`, by their paths relative to it."""
    return {path.relative_to(root).as_posix(): path.read_text() for path in sorted(paths)}


def digest_sources(sources: Mapping[str, str]) -> str:
    """For a build's name. Paths count too."""
    return digest(*(part for source in sources.items() for part in source))


def write_sources(sources: Mapping[str, str], folder: Path) -> None:
    """Writes the texts below `folder`, at the same paths."""
    for path, text in sources.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
