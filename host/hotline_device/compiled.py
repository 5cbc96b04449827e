"""Numba's `njit`, with compiled code kept where there is a place for it.

Numba alone ends with an error where neither the sources nor the home can be written, where its files are damaged, and
where the disk is full. All of that may only cost time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numba
from numba.core import config
from numba.core.caching import FunctionCache

from .cache_folder import cache_folder, can_write, temporary_cache

__all__ = ["compiled"]


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A decorator: the function is compiled at its first call and runs without the GIL.

    Compiled code is kept in NUMBA_CACHE_DIR if the user has set that, else in the cache folder.

    Args:
        options: further ones of `numba.njit`.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(nogil=True, **options)(function)
        # Numba raises RuntimeError where it finds no folder; then the function is compiled in every process.
        with _cache_place(), suppress(RuntimeError):
            dispatcher._cache = _Cache(function)
        return dispatcher

    return decorate


class _Cache(FunctionCache):
    """Numba's cache, to which nothing happens that the program would notice."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # a damaged file is whatever unpickling makes of it
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):
            super().save_overload(sig, data)


@contextmanager
def _cache_place() -> Iterator[None]:
    """Tells Numba the folder, for as long as it looks for one: the setting is the whole process's."""
    if config.CACHE_DIR:
        yield
        return
    for find in (cache_folder, temporary_cache):
        place = find()
        # A folder for each user: files of another user could not be replaced.
        if place and can_write(place / f"numba-{os.getuid()}", mode=0o700):
            config.CACHE_DIR = str(place / f"numba-{os.getuid()}")
            break
    try:
        yield
    finally:
        config.CACHE_DIR = ""
