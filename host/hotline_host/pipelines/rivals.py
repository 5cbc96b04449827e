"""Hotline's rivals: the same pool and the same kernels, with software in the accelerator's place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch

from hotline_host.data.delimited import Progress
from hotline_host.data.log import Batch
from hotline_host.errors import SettingsError
from hotline_host.splitters.set_cache import SetCache
from hotline_host.splitters.splitter import Splitter
from hotline_host.splitters.static_hot import AllHot, StaticHot
from hotline_host.training.pool_trainer import PoolTrainer

from .gatherers import Gatherer, ZeroCopyGatherer
from .pipeline import Setup
from .pooled import PooledPipeline, size_of

__all__ = ["LfuPipeline", "LruPipeline", "ResidentPipeline", "StaticPipeline", "ZeroCopyPipeline"]


class ResidentPipeline(PooledPipeline):
    """All rows are in device memory: the bound for every other way, where it fits."""

    def __init__(self, setup: Setup) -> None:
        self._rows = AllHot(setup.rows)
        super().__init__(setup, _trainer(setup, self._rows.hot_rows, 0, all_hot=True))

    def _learn(self, learned: Sequence[Batch], coming: Sequence[Batch], progress: Progress) -> Splitter:
        return self._rows


class StaticPipeline(PooledPipeline):
    """The rows that were most frequent in the learned part are hot, and stay so: Hotline without a tracker."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup, _trainer(setup, setup.hot_rows, 0))

    def _learn(self, learned: Sequence[Batch], coming: Sequence[Batch], progress: Progress) -> Splitter:
        return StaticHot(self.setup.rows, self.setup.hot_rows, learned)


class ZeroCopyPipeline(PooledPipeline):
    """No row is hot: the device reads all unique rows of a mini-batch from host memory, beside the step before."""

    def __init__(self, setup: Setup) -> None:
        if setup.lazy and torch.device(setup.device).type != "cpu":
            raise SettingsError(
                "zero-copy is given with lazy, but the device reads rows in pinned memory, which is there as a whole; "
                "leave one of them out"
            )
        super().__init__(setup, _trainer(setup, 0, 0, zero_copy=True))

    def _open_gatherer(self) -> Gatherer:
        return ZeroCopyGatherer(self.trainer.pool)

    def _learn(self, learned: Sequence[Batch], coming: Sequence[Batch], progress: Progress) -> Splitter:
        return StaticHot(self.setup.rows, 0, [])


class LruPipeline(PooledPipeline):
    """A 32-way set-associative row cache on the device, with one mini-batch of look-ahead."""

    policy: ClassVar[str] = "lru"

    def __init__(self, setup: Setup) -> None:
        self._cache = SetCache(setup.rows, setup.hot_rows, self.policy)
        moves = min(self._cache.most_moves, setup.batch_lookups)
        super().__init__(setup, _trainer(setup, self._cache.hot_rows, moves))

    def _learn(self, learned: Sequence[Batch], coming: Sequence[Batch], progress: Progress) -> Splitter:
        self._cache.learn(learned)
        return self._cache


class LfuPipeline(LruPipeline):
    """The same, but the row with the fewest lookups leaves."""

    policy = "lfu"


def _trainer(setup: Setup, hot_rows: int, moves: int, *, all_hot: bool = False, zero_copy: bool = False) -> PoolTrainer:
    return PoolTrainer(
        setup.config, setup.rows, hot_rows, size_of(setup, moves), device=setup.device, dtype=setup.dtype,
        seed=setup.seed, check=setup.check, all_hot=all_hot, zero_copy=zero_copy, folder=setup.folder, lazy=setup.lazy,
    )  # fmt: skip
