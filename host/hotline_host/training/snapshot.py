"""The embedding rows as they were at one moment, read shard by shard while training goes on.

    written by training      keep: the old values, unless their shard was read | write
    read for the checkpoint  shard: a copy of what is there now | what was kept | rows that were hot

A row is kept before it is written, so a shard may be copied while rows in it change: what was kept replaces them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import wraps
from threading import Lock
from typing import ParamSpec, TypeVar

import numpy as np
import torch
from torch import Tensor

from .checkpoint import Rows

__all__ = ["Snapshot", "begun"]

_Values = tuple[Tensor, ...]
_Item = TypeVar("_Item")
_Parameters = ParamSpec("_Parameters")


def begun(
    function: Callable[_Parameters, Generator[_Item, None, None]],
) -> Callable[_Parameters, Generator[_Item, None, None]]:
    """Makes generators that have begun: closing one runs its `finally` even if nothing was read of it.

    The function yields once, anything, before its first item.
    """

    @wraps(function)
    def begin(*arguments: _Parameters.args, **options: _Parameters.kwargs) -> Generator[_Item, None, None]:
        generator = function(*arguments, **options)
        next(generator)
        return generator

    return begin


class Snapshot:
    """Begins with the values of this moment.

    Args:
        rows, state: [R, ...] each, in host memory, where training writes them.
        hot: int64 [h], rows whose values are elsewhere, ascending; `hot_values`: copies of rows and states [h, ...].
        drawn: bool [blocks]: blocks of `block` rows that have values; None: all. The others are left out.
    """

    def __init__(
        self, rows: Tensor, state: Tensor, hot: np.ndarray, hot_values: _Values, *,
        drawn: np.ndarray | None = None, block: int = 1,
    ) -> None:  # fmt: skip
        self._of = (rows, state)
        self._hot, self._hot_values = hot, hot_values
        self._drawn, self._block = drawn, block
        self._front = 0  # the rows before it were read
        self._seen = np.zeros(len(rows), bool)  # rows that were kept; its memory is taken as it is written
        self._kept: list[tuple[np.ndarray, _Values]] = []
        self._lock = Lock()

    def keep(self, keys: np.ndarray) -> None:
        """Training is about to write these rows (integers [n], each once)."""
        with self._lock:
            keys = keys[(keys >= self._front) & ~self._seen[keys]].astype(np.int64)
            if len(keys):
                self._seen[keys] = True
                names = torch.from_numpy(keys)
                self._kept.append((keys, tuple(each.index_select(0, names) for each in self._of)))

    def shards(self, size: int) -> Iterator[Rows]:
        """All rows, `size` keys a shard. Where only some rows of a shard have values, "keys" says which."""
        for first in range(0, len(self._seen), size):
            keys = self._drawn_keys(first, min(first + size, len(self._seen)))
            if keys is None or len(keys):
                yield self._shard(first, size, keys)  # has no name here, so that it is gone before the next is made

    def _shard(self, first: int, size: int, keys: np.ndarray | None) -> Rows:
        end = min(first + size, len(self._seen))
        if keys is None:
            values = tuple(each[first:end].clone() for each in self._of)
        else:
            values = tuple(each.index_select(0, torch.from_numpy(keys)) for each in self._of)
        for changed, old in self._read_up_to(end):
            _replace(values, first, keys, changed, old)
        begin, stop = np.searchsorted(self._hot, (first, end))
        hot = tuple(each[begin:stop] for each in self._hot_values)
        _replace(values, first, keys, self._hot[begin:stop], hot)
        named = {} if keys is None else {"keys": torch.from_numpy(keys)}
        return Rows(first, dict(zip(("rows", "state"), values, strict=True)) | named)

    def _drawn_keys(self, first: int, end: int) -> np.ndarray | None:
        """The rows of a shard that have values; None if all have."""
        if self._drawn is None:
            return None
        blocks = np.arange(first // self._block, -(-end // self._block))
        blocks = blocks[self._drawn[blocks]]
        keys = (blocks[:, None] * self._block + np.arange(self._block)).ravel()
        keys = keys[(keys >= first) & (keys < end)]
        return None if len(keys) == end - first else keys

    def _read_up_to(self, end: int) -> list[tuple[np.ndarray, _Values]]:
        """The rows before `end` were copied. Returns what was kept of them."""
        with self._lock:
            self._front = end
            kept, self._kept = self._kept, []
        taken: list[tuple[np.ndarray, _Values]] = []
        left: list[tuple[np.ndarray, _Values]] = []
        for keys, values in kept:  # without the lock: training goes on
            here = keys < end
            for chosen, into in ((here, taken), (~here, left)):
                if chosen.all():
                    into.append((keys, values))
                elif chosen.any():
                    at = torch.from_numpy(np.flatnonzero(chosen))
                    into.append((keys[chosen], tuple(each.index_select(0, at) for each in values)))
        with self._lock:
            self._kept += left
        return taken


def _replace(values: _Values, first: int, keys: np.ndarray | None, changed: np.ndarray, old: _Values) -> None:
    """Puts the `old` values of rows into those of a shard, where it has these rows."""
    places = changed - first
    if keys is not None:
        places = np.searchsorted(keys, changed)
        there = np.flatnonzero(keys[np.minimum(places, len(keys) - 1)] == changed) if len(keys) else np.empty(0, int)
        places, old = places[there], tuple(each[torch.from_numpy(there)] for each in old)
    for each, was in zip(values, old, strict=True):
        each.index_copy_(0, torch.from_numpy(places.astype(np.int64)), was)
