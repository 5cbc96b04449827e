"""The accelerator beside training: it splits the next mini-batch, and gathers its cold rows, while this one trains."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from types import TracebackType

from hotline_host.data.log import Batch
from hotline_host.data.minibatches import MiniBatches
from hotline_host.driver.driver import Driver
from hotline_host.driver.follow import Followed, Follower
from hotline_host.plan import Working
from hotline_host.training.step import SplitTrainer

from .working import Gathering, WorkingGatherer

__all__ = ["Accelerator", "Ready"]


@dataclass(frozen=True)
class Ready(Followed):
    """A mini-batch that is ready for its step: rows have moved as `moves` says.

    Attributes:
        working: its cold rows; None: the host is to gather them.
        gathering: how they came.
    """

    working: Working | None
    gathering: Gathering


class Accelerator:
    """Splits mini-batches in a thread of its own. Left by an exception, it closes the device in the midst of its work.

    Args:
        driver: of the accelerator that learned.
        trainer: with its cold rows in the memory of the driver's device.
        relearn_share, select_every, by_bag: as `Follower`.

    Attributes:
        seconds: that it was at work beside training.
        between: seconds that it was at work between two steps, gathering rows that had been in flux.
    """

    def __init__(
        self,
        driver: Driver,
        trainer: SplitTrainer,
        relearn_share: float = 0.0,
        select_every: int = 1,
        *,
        by_bag: bool = False,
    ) -> None:
        self.driver, self.trainer = driver, trainer
        self.seconds = self.between = 0.0
        self._follower = Follower(driver, relearn_share, select_every, by_bag=by_bag)
        self._gatherer = WorkingGatherer(driver, trainer.store)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="accelerator")

    def __enter__(self) -> Accelerator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.driver.device.close()  # else the pool would wait for the end of a simulation
        self._pool.shutdown(cancel_futures=True)

    def splits(self, batches: MiniBatches, steps: int) -> Iterator[Ready]:
        """Yields each step's mini-batch when it is ready. The caller takes the step before it asks for the next one.

        Beside the step the next mini-batch is split, and what is not in flux of its rows is gathered. Between the steps
        rows move, and the others are gathered.
        """
        coming = self._pool.submit(self._split, batches[0])
        for step in range(steps):
            now, gathering = coming.result()
            if now.moves:
                self.trainer.move(now.moves)
            start = perf_counter()
            working = self._gatherer.finish(gathering)
            self.between += perf_counter() - start
            if step + 1 < steps:  # not before: the lists of cold rows are those of the mini-batch split last
                coming = self._pool.submit(self._split, batches[(step + 1) % len(batches)])
            yield Ready(now.batch, now.split, now.moves, now.cycles, working, gathering)

    def _split(self, batch: Batch) -> tuple[Followed, Gathering]:
        start = perf_counter()
        followed = self._follower.split(batch)
        gathering = self._gatherer.begin(followed.split, bool(followed.moves))
        self.seconds += perf_counter() - start
        return followed, gathering
