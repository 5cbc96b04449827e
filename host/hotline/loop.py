"""The order in which batches are used: prepared, yielded to the loop, read, and done with before the next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from hotline_host.pipelines.ahead import Ahead, Ready
from hotline_host.training.optim import RowOptimizer
from hotline_host.training.saver import Saver

from .preparation import Item, Preparation
from .training_step import OrderError, TrainingStep

__all__ = ["Loop"]


class Loop:
    """The loop over prefetch that trains the rows of a collection. There is one at a time.

    Attributes:
        preparation: what is done for a mini-batch before its step.
        active: a loop is under way.
        begun: there has been one.
        figures: counts of the mini-batches so far.
        position: batches that prefetch yielded and that are done with: trained on, or left out.
        random: states of the generators, to be set when the next loop has skipped what it skips.
        saver: writes checkpoints beside the loop.
    """

    def __init__(self, preparation: Preparation, optimizer: RowOptimizer) -> None:
        self.preparation, self._optimizer = preparation, optimizer
        self._ahead: Ahead[Item] | None = None
        self._step: TrainingStep | None = None
        self._number = -1  # of the batch that was yielded last, in its step
        self._unended: Callable[[], None] | None = None  # what is left to do for a loop that was left
        self._uncounted = 0  # batches of the step, until it is done
        self._saves: dict[Path, Callable[[], None]] = {}  # by folder, to be called once nothing is taken ahead
        self.begun = False
        self.figures: Counter[str] = Counter()
        self.position = 0
        self.random: list[dict[str, Any]] | None = None
        self.saver = Saver()

    @property
    def active(self) -> bool:
        return self._ahead is not None and self._unended is None

    def begin(self, ahead: Ahead[Item]) -> None:
        self._end_left()
        if self.active:
            raise OrderError(
                "the rows are being prefetched for another loop, and one loop at a time can train them; leave that "
                "loop, or close() what prefetch returned"
            )
        self._ahead, self.begun = ahead, True

    def open(self, ready: Ready[Item]) -> None:
        """The next mini-batch is ready. Raises what went wrong with it."""
        split, gather = ready.packed.result(), ready.gathered.result()
        self.figures.update(
            mini_batches=1, samples=split.samples, popular=split.popular, lookups=split.lookups, hits=split.hits,
            moved=split.moved, unlisted=split.unlisted, gathered=gather.gathered, by_host=gather.by_host,
            held=gather.held,
        )  # fmt: skip
        self._count()
        self._step, self._uncounted = self.preparation.step(ready, self._optimizer), len(ready.item.batches)

    def offer(self, number: int) -> None:
        """A batch of the mini-batch is yielded."""
        self._number = number

    def check_trained(self, number: int) -> None:
        """Raises OrderError unless a batch had its backward pass, or was left out."""
        step = self._step
        assert step is not None
        part = step.parts[number]
        if not step.done and part.gradients is None:
            missing = "backward pass ran" if part.forwarded else "forward pass ran in training mode"
            raise OrderError(
                f"no {missing} for the batch that prefetch yielded last; run it before the next batch is taken, or "
                "leave the batch out with skip()"
            )

    def expected(self, features: Any) -> tuple[TrainingStep, int]:
        """The step of the batch that was yielded last, and its number in it.

        Raises:
            OrderError: that batch cannot be trained on now, or the features are not its own.
        """
        if self._step is None:
            raise OrderError(
                "in training mode, batches come from hotline.prefetch(loader, emb), which brings their rows; call "
                "emb.eval() to read rows without training"
            )
        part = self._step.parts[self._number]
        if part.forwarded or self._step.done:
            raise OrderError("the batch was used already; each one that prefetch yields is used once")
        if not torch.is_grad_enabled():
            raise OrderError(
                "gradients are disabled, and the backward pass is what updates the rows; call emb.eval() to read rows "
                "without training"
            )
        if not _same(features, part.features):
            raise OrderError(
                "the features are not those of the batch that prefetch yielded last; use each batch in turn"
            )
        return self._step, self._number

    def skip(self) -> None:
        """Leaves out the batch that was yielded last, with all that are accumulated with it."""
        if self._step is None:
            raise OrderError("there is no batch to skip; prefetch yields one first")
        self._step.give_up()

    def save(self, folder: Path, save: Callable[[], None]) -> None:
        """Calls `save` once all that was taken ahead is trained on: at once, if there is no loop. Within a loop nothing
        more is taken until then, and nothing is saved if the loop is left before. Of several calls for a folder, only
        the last counts."""
        self._end_left()
        if self.active:
            self._saves[folder] = save
        else:
            save()
            self.saver.wait()

    @property
    def save_wanted(self) -> bool:
        """A checkpoint is wanted, so nothing more may be taken ahead."""
        return bool(self._saves)

    def save_now(self) -> bool:
        """Begins the checkpoints that are wanted; False if none is. Nothing is taken ahead any more, and the loop's
        body has ended."""
        if not self._saves:
            return False
        self._count()
        saves, self._saves = self._saves, {}
        for save in saves.values():
            save()
        return True

    def rest(self) -> None:
        """Returns once nothing runs beside the loop, so that rows can be read.

        Raises:
            OrderError: a mini-batch is in the middle of its step.
        """
        self._end_left()
        if self._step is not None and self._step.arrived and not self._step.done:
            raise OrderError("rows cannot be read between the forward and the backward pass of a training batch")
        if self._ahead is not None:
            self._ahead.rest()

    def close(self) -> None:
        """Nothing uses the accelerator any more. With several ranks, what was prepared is given up later (`end`)."""
        if self._ahead is None:
            return
        if self.preparation.ranks.count > 1:
            self._ahead.rest()
        else:
            self._end(self._ahead, whole=True)

    def end(self, ahead: Ahead[Item], *, whole: bool, left: bool) -> None:
        """The loop has ended. Mini-batches that were prepared are given up.

        Args:
            whole: nothing went wrong with one of them. Else all rows are placed anew.
            left: it ended before its loader. To give mini-batches up, several ranks need each other, and perhaps this
                one alone has left, because it failed. So that waits until they do something else together.
        """
        if self._ahead is not ahead or self._unended:
            return
        if left and self.preparation.ranks.count > 1:
            self._unended = partial(self._end, ahead, whole)
        else:
            self._end(ahead, whole)

    def _end_left(self) -> None:
        """Ends a loop that was left."""
        if self._unended:
            end, self._unended = self._unended, None
            end()

    def _count(self) -> None:
        """A step that is done counts. One that is given up because its loop was left does not."""
        if self._step is not None and self._step.done:
            self.position += self._uncounted
            self._uncounted = 0

    def _end(self, ahead: Ahead[Item], whole: bool) -> None:
        try:
            self._count()
            if self._step is not None:
                self._step.give_up()
            if whole:
                for ready in ahead.drain():
                    self.preparation.step(ready, self._optimizer).give_up()
        except BaseException:
            whole = False
            raise
        finally:
            ahead.rest()
            ahead.close()
            self._ahead = self._step = None
            self._saves = {}
            if not whole:
                self.preparation.place_anew()


def _same(given: Any, expected: Any) -> bool:
    """Whether two KeyedJaggedTensors hold the same lookups. Lookups on a GPU are not looked at, only counted."""
    if given is expected:
        return True
    a, b = given.values(), expected.values()
    if list(given.keys()) != list(expected.keys()) or a.shape != b.shape:
        return False
    return not (a.is_cpu and b.is_cpu) or torch.equal(a, b)
