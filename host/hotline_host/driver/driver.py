"""The device driver: an accelerator as software sees it, whatever backend stands behind it.

learn ---> tracker ---> dump ----> hot_set: (table, row) in every slot ---> the GPU's hot table
              |-------> select --> Moves: rows that take the slots of others ------^
classify -----+-------> Split: popular samples, slot or -1 for each lookup, cold rows
                gather -------> those cold rows, by DMA

Data goes through descriptors in rings (`rings.py`); CLEAR, budget, policy and counters are registers (`control.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from hotline_device.device import Device
from hotline_device.host_memory import Region
from hotline_host.data.log import Batch
from hotline_hw.spec.descriptors import Flag, Opcode
from hotline_hw.spec.policy import Policy

from .batches import BatchRunner, Prepared
from .control import RegisterState
from .gathering import Gathered, Gatherer
from .hot_set import Moves
from .packets import DriverError, check_batch, groups
from .split_results import Split, WorkingSet
from .tracker import TrackerDriver

__all__ = ["Driver", "DriverError", "Gathered", "Moves", "Policy", "Split", "WorkingSet"]


class Driver(TrackerDriver):
    """Drives one accelerator, alone. Every call waits for its end, and raises DriverError for what the device reports.

    Opening it waits out the clearing walk after reset; the tracker, the budget and the counters stay as they are. Calls
    may come from several threads; one waits for the other.

    Args:
        device: open; closing it stays the caller's task.
        timeout: seconds in which a descriptor or a command must end.
        rings: further arguments of `Rings`.

    Attributes:
        geometry: as the capability registers tell it.
        hot_rows: the budget N, 0 to `geometry.hot_capacity`; slots are 0 to N - 1.
        rings: with statistics of what went through them.

    Raises:
        DriverError: not a Hotline core, or one of another version.
    """

    def __init__(self, device: Device, *, timeout: float = 600.0, **rings: Any) -> None:
        super().__init__(device, timeout, **rings)
        self._runner = BatchRunner(self.rings, self._buffers, self.geometry.banks)
        self._gatherer = Gatherer(self.control, self.rings, self._buffers, self.geometry.working_rows)

    # Mini-batches

    def check(self, batches: Iterable[Batch], *, by_bag: bool = False) -> None:
        """Raises DriverError, naming table, row, sample and limit, where the accelerator cannot take a mini-batch."""
        for number, batch in enumerate(batches):
            check_batch(self.geometry, batch, number, by_bag=by_bag)

    def learn(
        self,
        batches: Sequence[Batch],
        progress: Callable[[int], None] | None = None,
        *,
        select_every: int = 1,
        by_bag: bool = False,
    ) -> None:
        """Trains the tracker with mini-batches, in order. All are checked before the first is sent.

        The accelerator also chooses the hot rows: after every `select_every` mini-batches (0: not in between),
        since what a lookup counts hangs on what is hot, and at the end until no more rows want to move than may.

        Args:
            progress: called now and then with the mini-batches that are done.
            by_bag: rows count by what they do for bags instead of samples: for logs so multi-hot that hardly any
                sample can be popular.
        """
        self.check(batches, by_bag=by_bag)
        done = 0
        for group in groups(batches, select_every):
            self._learn(group, by_bag)
            done += len(group)
            if select_every and done % select_every == 0 and done < len(batches):
                self.select()
            if progress:
                progress(done)
        self.settle()

    def settle(self) -> None:
        """Chooses the hot rows until no more want to move than may."""
        while len(self.select()) >= self.move_limit > 0:
            pass

    def classify(self, batch: Batch, *, relearn: bool = False, by_bag: bool = False) -> Split:
        """The split of one mini-batch. The tracker stays as it is, but learns from it too with `relearn`.

        Learning is by sample, in the same pass, or with `by_bag` by bag, in a second one.
        """
        check_batch(self.geometry, batch, by_bag=by_bag and relearn)
        with self._lock:
            split = self._classify([batch], relearn=relearn and not by_bag)[0]
            if relearn and by_bag:
                self._learn([batch], by_bag)
            return split

    def classify_all(self, batches: Sequence[Batch]) -> Iterator[Split]:
        """The split of each mini-batch, in order; as `classify`, but with many mini-batches under way at once.

        All are checked before the first is sent.
        """
        self.check(batches)
        for group in groups(batches):
            yield from self._classify(group)

    def prepare(
        self, batches: Sequence[Batch], opcode: Opcode, *, relearn: bool = False, by_bag: bool = False
    ) -> Prepared:
        """Mini-batches laid out in memory for LEARN or CLASSIFY, so that `run` can be timed alone.

        They lie there until any other call that moves data: none may come before `run`.
        """
        self.check(batches, by_bag=by_bag)
        with self._lock:
            return self._runner.prepare(batches, opcode, relearn=relearn, by_bag=by_bag)

    def run(self, work: Prepared) -> None:
        """Carries out what was prepared last; its answers stay unread."""
        with self._lock:
            self._runner.run(work)

    # Rows by DMA

    def set_table(self, table: int, address: int, rows: int, stride_bytes: int) -> None:
        """Says where an embedding table lies in `device.memory`: row r is at `address + r * stride_bytes`.

        The region that holds it is exposed for reading. 0 rows take the table away.

        Raises:
            DriverError: no such table can be, no region holds it, or all windows are in use: put tables in one region.
        """
        with self._lock:
            self._gatherer.set_table(table, address, rows, stride_bytes)

    def gather(
        self, row_bytes: int, target: Region, offset: int = 0, *, held: bool = False, keys: bool = False
    ) -> Gathered:
        """Brings the cold rows of the mini-batch that was classified last, in order of its `WorkingSet`.

        Args:
            row_bytes: of each row, from its beginning.
            target: is exposed for writing; rows are written end to end from byte `offset` on, a multiple of 64.
            held: those that are held, which are the last ones, instead of the others.
            keys: tell which rows they are.

        Raises:
            DriverError: a table was not set up or does not have a row, or memory is not there.
        """
        with self._lock:
            return self._gatherer.gather(row_bytes, target, offset, held=held, keys=keys)

    def gather_list(self, words: np.ndarray, row_bytes: int, target: Region, offset: int = 0) -> int:
        """Brings the rows that lookup words name (uint64 [n]), in their order. How many."""
        with self._lock:
            return self._gatherer.listed(words, row_bytes, target, offset, Flag(0))

    def pool(
        self,
        words: np.ndarray,
        row_bytes: int,
        target: Region,
        offset: int = 0,
        *,
        mean: bool = False,
        bf16: bool = False,
    ) -> int:
        """Brings the sums, or with `mean` the means, of bags of rows, as float32. How many.

        Args:
            words: uint64 [n], lookup words; `last` ends a bag.
            row_bytes: of a row in its table: float32, or bfloat16 with `bf16`.
        """  # fmt: skip
        flags = Flag.POOL | (Flag.MEAN if mean else Flag(0)) | (Flag.BF16 if bf16 else Flag(0))
        with self._lock:
            return self._gatherer.listed(words, row_bytes, target, offset, flags)

    # Registers

    def describe(self) -> list[RegisterState]:
        """Every register with what its fields hold, and mean."""
        with self._lock:
            return self.control.describe()

    # One operation: from an idle core to an idle core

    def _learn(self, batches: Sequence[Batch], by_bag: bool) -> None:
        with self._lock:
            self._runner.run(self._runner.prepare(batches, Opcode.LEARN, by_bag=by_bag))

    def _classify(self, batches: Sequence[Batch], *, relearn: bool = False) -> list[Split]:
        with self._lock:
            work = self._runner.prepare(batches, Opcode.CLASSIFY, relearn=relearn)
            return self._runner.splits(work, self._runner.run(work), self.hot_rows)
