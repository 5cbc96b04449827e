"""Lays mini-batches out in memory, runs their descriptors, and reads the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from hotline_device.ring_entries import Completion, Descriptor
from hotline_host.data.log import Batch
from hotline_host.plan import Split, WorkingSet
from hotline_host.tracking.front import FrontChooser
from hotline_hw.spec.descriptors import BUFFER_ALIGN, SUMMARY_BYTES, SUMMARY_LISTS, Flag, Opcode, Status
from hotline_hw.spec.descriptors import MAX_BANKS as _BANKS

from .buffers import Buffer, Buffers
from .packets import Lookups, pack
from .rings import Rings
from .split_results import Answer, read_split

__all__ = ["BatchRunner", "Prepared"]


@dataclass(frozen=True)
class Prepared:
    """Mini-batches in memory, ready to run.

    Attributes:
        lookups: of each mini-batch.
        descriptors: one for each mini-batch with a lookup, some of them behind a FRONT. The others are not sent.
        results: for CLASSIFY, the buffers of popular words, non-popular words and summary of each descriptor.
    """

    lookups: list[Lookups]
    descriptors: list[Descriptor]
    results: list[tuple[Buffer, Buffer, Buffer]]


class BatchRunner:
    """Sends mini-batches.

    Args:
        banks: the number of banks of the accelerator.
        front: chooses the rows of its front table.
    """

    def __init__(self, rings: Rings, buffers: Buffers, banks: int, front: FrontChooser) -> None:
        self._rings, self._buffers, self._banks, self._front = rings, buffers, banks, front

    def prepare(
        self, batches: Sequence[Batch], opcode: Opcode, *, relearn: bool = False, by_bag: bool = False
    ) -> Prepared:
        """Lays mini-batches out that passed `check_batch`. They stay until the buffers are taken again.

        Where one of them says that other rows belong in the front table, a FRONT comes before it.
        """
        lookups = [pack(batch, by_bag=by_bag) for batch in batches]
        sent = [each for each in lookups if len(each)]
        fronts = [self._front_rows(each) for each in sent]
        classify = opcode == Opcode.CLASSIFY
        both = ((front.nbytes, each.data.nbytes) for each, front in zip(sent, fronts, strict=True))
        sources = iter(self._buffers.sources(*chain.from_iterable(both)))
        sizes = [size for each in sent for size in _result_sizes(len(each))] if classify else []
        buffers = iter(self._buffers.targets(*sizes))
        descriptors, results = [], []
        for each, front in zip(sent, fronts, strict=True):
            rows, source = next(sources), next(sources)
            if len(front):
                rows.array(len(front), np.uint64)[:] = front
                descriptors.append(Descriptor(opcode=Opcode.FRONT, source=rows.address, count=len(front)))
            source.array(len(each), each.data.dtype)[:] = each.data
            targets = (0, 0, 0)
            if classify:
                popular, nonpopular, summary = next(buffers), next(buffers), next(buffers)
                results.append((popular, nonpopular, summary))
                targets = popular.address, nonpopular.address, summary.address
            descriptors.append(
                Descriptor(
                    opcode=opcode,
                    flags=Flag.LEARN if relearn else 0,
                    source=source.address,
                    count=len(each),
                    operand=each.tables,
                    targets=targets,
                )
            )
        return Prepared(lookups, descriptors, results)

    def _front_rows(self, lookups: Lookups) -> np.ndarray:
        """Lookup words of the rows that must be in the front table for this mini-batch, none if it stays as it is."""
        front = self._front
        if not front.choose(lookups.keys_at(front.positions(len(lookups))), len(lookups)):
            return np.empty(0, np.uint64)
        return front.lookups

    def run(self, work: Prepared) -> list[Completion]:
        """Runs the descriptors. A mini-batch with more cold rows than can be listed is no failure."""
        return self._rings.run(work.descriptors, allowed=(Status.WORKING,))

    def split(self, work: Prepared, completions: Sequence[Completion], hot_rows: int) -> Split:
        """The split of the one mini-batch in `work`.

        Raises:
            DriverError: the answer is wrong.
        """
        (lookups,) = work.lookups
        if not len(lookups):
            return _unsent(lookups)
        return read_split(lookups, self._answer(lookups, completions[-1], work.results[0]), hot_rows)

    def _answer(self, lookups: Lookups, completion: Completion, results: tuple[Buffer, Buffer, Buffer]) -> Answer:
        popular, nonpopular, summary = results
        most = len(lookups)
        counts = np.zeros(SUMMARY_LISTS, np.int64)
        for first in (0, _BANKS):
            counts[first : first + self._banks] = summary.array(self._banks, np.uint32, 4 * first)
        bits = summary.array(-(-lookups.sent // 8), np.uint8, SUMMARY_BYTES)
        return Answer(
            completion,
            popular.array(min(completion.popular_words, most), np.uint32),
            nonpopular.array(min(completion.nonpopular_words, most), np.uint32),
            counts,
            np.unpackbits(bits, count=lookups.sent, bitorder="little").astype(bool),
        )


def _result_sizes(lookups: int) -> tuple[int, int, int]:
    """Bytes that CLASSIFY may write to each target."""
    return 4 * lookups, 4 * lookups, SUMMARY_BYTES + -(-lookups // (8 * BUFFER_ALIGN)) * BUFFER_ALIGN


def _unsent(lookups: Lookups) -> Split:
    """The split of a mini-batch without lookups."""
    none, nothing = np.empty(0, np.int32), np.empty(0, np.int64)
    return Split(np.ones(len(lookups.counts), bool), none, WorkingSet(none, nothing, nothing, 0))
