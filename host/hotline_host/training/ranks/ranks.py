"""The processes that train one model, each on its part of every mini-batch: what they do together.

`Alone` is the one process that needs nobody. `Together` (together.py) is several.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn

from hotline_host.data.log import Batch
from hotline_host.training.embeddings import PooledEmbeddings

__all__ = ["ROW_TRAFFIC", "Alone", "Ranks", "SharedBatch", "Traffic"]

ROW_TRAFFIC = ("rows", "states", "rows of the step before", "gradients")
"""What ranks send each other for the embedding rows of a step: names in `Traffic.sent`."""


@dataclass(frozen=True)
class SharedBatch(Batch):
    """A mini-batch of all ranks. Its samples are those of rank 0, then those of rank 1, and so on.

    Attributes:
        bounds: int64 [N + 1], the first sample of each rank.
    """

    bounds: np.ndarray = field(default_factory=lambda: np.zeros(2, np.int64))


@dataclass
class Traffic:
    """What has crossed the network, as far as this rank knows.

    Attributes:
        sent: bytes that this rank sent for its steps, by what they were, without the gradients of dense parameters.
        least: bytes that all ranks had to send for the embedding rows, whatever is sent (`pool.exchange.Exchange`).
        steps: mini-batches.
    """

    sent: dict[str, int] = field(default_factory=dict)
    least: int = 0
    steps: int = 0

    def of_rows(self) -> dict[str, int]:
        """What of `sent` was for embedding rows; the same names on all ranks."""
        return {what: self.sent.get(what, 0) for what in ROW_TRAFFIC}


class Ranks(ABC):
    """The processes that train together.

    Attributes:
        number: of this one, from 0. Rank 0 speaks and writes for all.
        count: N.
    """

    number: int = 0
    count: int = 1

    @property
    def traffic(self) -> Traffic | None:
        """None: nothing crosses a network."""
        return None

    @abstractmethod
    def agree(self, numbers: Sequence[int]) -> np.ndarray:
        """int64 [N, k]: the k numbers of every rank. Called by the thread of the training loop."""

    @abstractmethod
    def whole(self, batch: Batch | None, error: BaseException | None = None) -> Batch:
        """The mini-batch of all ranks, of which `batch` is this one's part. Its lookups alone, without dense features
        and labels. Called by the thread that splits.

        Args:
            error: why there is no such part. It is raised, and `RanksError` on the other ranks.
        """

    @abstractmethod
    def part(self, batch: Batch) -> Batch:
        """This rank's part of a mini-batch that every rank has: about an N-th of its samples, next to each other."""

    @abstractmethod
    def embeddings(self, *arguments: Any, **options: Any) -> PooledEmbeddings:
        """The rows. Arguments as `PooledEmbeddings`."""

    @abstractmethod
    def data_parallel(self, model: nn.Module) -> nn.Module:
        """A model whose backward pass gives the mean gradients of all ranks, where it is called in place of `model`."""

    @abstractmethod
    def mean(self, values: np.ndarray) -> np.ndarray:
        """The mean over all ranks of each value. Called by the thread of the training loop."""

    def close(self) -> None:  # noqa: B027  # one process holds nothing
        """Ends what was opened to talk to the others. All ranks call it together, once rows are read no more."""


class Alone(Ranks):
    """One process."""

    def agree(self, numbers: Sequence[int]) -> np.ndarray:
        return np.array([numbers], np.int64)

    def whole(self, batch: Batch | None, error: BaseException | None = None) -> Batch:
        if error is not None:
            raise error
        assert batch is not None
        return batch

    def part(self, batch: Batch) -> Batch:
        return batch

    def embeddings(self, *arguments: Any, **options: Any) -> PooledEmbeddings:
        return PooledEmbeddings(*arguments, **options)

    def data_parallel(self, model: nn.Module) -> nn.Module:
        return model

    def mean(self, values: np.ndarray) -> np.ndarray:
        return values
