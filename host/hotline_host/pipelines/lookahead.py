"""Splits the next mini-batch, and gathers its cold rows, in a thread beside the step of the present one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from time import perf_counter

from hotline_host.data.log import Batch
from hotline_host.driver.driver import Driver
from hotline_host.driver.follow import Follower, FollowOptions
from hotline_host.plan import Followed, Working
from hotline_host.training.step import SplitTrainer

from .working import Gathering, WorkingGatherer

__all__ = ["LookAhead", "Ready"]


@dataclass(frozen=True)
class Ready(Followed):
    """A mini-batch that is ready for its step. The rows have moved as `moves` says.

    Attributes:
        working: its cold rows; None if the host must gather them.
        gathering: how they were gathered.
    """

    working: Working | None
    gathering: Gathering


class LookAhead:
    """Takes one mini-batch ahead and has the accelerator work on it.

    Args:
        driver: of an accelerator that has learned.
        trainer: with its cold rows in the memory of the driver's device.
        follow: how the hot rows follow popularity.

    Attributes:
        seconds: time that the accelerator worked beside training.
        between: time that it worked between two steps, on rows that the first of them updated.
    """

    def __init__(self, driver: Driver, trainer: SplitTrainer, follow: FollowOptions | None = None) -> None:
        self.driver, self.trainer = driver, trainer
        self.seconds = self.between = 0.0
        self._follower = Follower(driver, follow)
        self._gatherer = WorkingGatherer(driver, trainer.store)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="look-ahead")
        self._coming: Future[tuple[Followed, Gathering]] | None = None

    def next(self, batches: Iterator[Batch]) -> Ready:
        """The next mini-batch, ready. Take its step before the next call.

        The mini-batch behind it is taken from `batches` too. It is split, and its free rows are gathered, while the
        caller takes the step. The next call moves rows, and gathers the rows that the step updated.

        Raises:
            StopIteration: `batches` has ended, and so have the mini-batches taken from it.
        """
        coming = self._coming or self._pool.submit(self._split, next(batches))
        self._coming = None
        now, gathering = coming.result()
        if now.moves:
            self.trainer.move(now.moves)
        start = perf_counter()
        working = self._gatherer.finish(gathering)
        self.between += perf_counter() - start
        # Only now: the accelerator's lists of cold rows are those of the mini-batch that was split last.
        following = next(batches, None)
        if following is not None:
            self._coming = self._pool.submit(self._split, following)
        return Ready(now.batch, now.split, now.moves, now.cycles, working, gathering)

    def wait(self) -> None:
        """Returns once the accelerator has done all that it does beside the step."""
        if self._coming:
            wait([self._coming])

    def drop(self) -> None:
        """Forgets the mini-batch that was taken ahead. Rows that a SELECT before it moved do move."""
        coming, self._coming = self._coming, None
        if coming and (moves := coming.result()[0].moves):
            self.trainer.move(moves)

    def close(self) -> None:
        """Ends the thread once its work has ended. Close the device first to cut that short."""
        self._pool.shutdown(cancel_futures=True)

    def _split(self, batch: Batch) -> tuple[Followed, Gathering]:
        start = perf_counter()
        followed = self._follower.split(batch)
        gathering = self._gatherer.begin(followed.split, bool(followed.moves))
        self.seconds += perf_counter() - start
        return followed, gathering
