"""The device driver: the accelerator as software sees it, on any backend.

learn ---> tracker ---> dump ----> hot_set: (table, row) in every slot ---> the GPU's hot table
              |-------> select --> Moves: rows that take the slots of others ------^
classify -----+-------> Split: popular samples, slot or -1 for each lookup, cold rows
                gather -------> those cold rows, by DMA

Data goes through descriptors in rings (`rings.py`). CLEAR, budget, policy and counters are registers (`control.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from hotline_device.device import Device
from hotline_device.host_memory import Region
from hotline_host.data.log import Batch
from hotline_host.data.minibatches import to_check
from hotline_host.errors import DriverError
from hotline_host.plan import Split
from hotline_hw.spec.descriptors import Opcode
from hotline_hw.spec.policy import Policy

from .batches import BatchRunner, Prepared
from .control import RegisterState
from .gathering import Gathered, Gatherer
from .packets import check_batch, groups
from .tracker import TrackerDriver

__all__ = ["Driver", "DriverError", "Gathered", "Policy"]


class Driver(TrackerDriver):
    """Drives one accelerator. No other driver may use it at the same time.

    Every call returns when its work has ended, and raises DriverError for errors that the device reports. Several
    threads may call; they wait for one another. The constructor waits for the clearing walk after reset, and leaves the
    tracker, the budget and the counters as they are.

    Args:
        device: open. The caller closes it.
        timeout: seconds in which a descriptor or a command must end.
        rings: further arguments of `Rings`.

    Attributes:
        geometry: read from the capability registers.
        hot_rows: the budget N, 0 to `geometry.hot_capacity`; slots are 0 to N - 1.
        rings: the descriptor rings, with statistics.

    Raises:
        DriverError: the device is not a Hotline core, or has another interface.
    """

    def __init__(self, device: Device, *, timeout: float = 600.0, **rings: Any) -> None:
        super().__init__(device, timeout, **rings)
        self._runner = BatchRunner(self.rings, self._buffers, self.geometry.banks, self._front)
        self._gatherer = Gatherer(self.control, self.rings, self._buffers, self.geometry.working_rows)

    # Mini-batches

    def check(self, batches: Iterable[Batch], *, by_bag: bool = False) -> None:
        """Raises DriverError if the accelerator cannot take a mini-batch. It names table, row, sample and limit."""
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

        The accelerator also chooses the hot rows after every `select_every` mini-batches, as the weight of a lookup
        depends on which rows are hot, and at the end, see `settle`.

        Args:
            progress: called now and then with the number of mini-batches that are done.
            select_every: 0 chooses at the end only.
            by_bag: weigh rows by what they do for bags instead of samples. For logs so multi-hot that hardly any sample
                can be popular.
        """
        self.check(to_check(batches), by_bag=by_bag)
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
        """Chooses the hot rows again and again, until the move limit holds no row back."""
        while len(self.select()) >= self.move_limit > 0:
            pass

    def classify(self, batch: Batch, *, relearn: bool = False, by_bag: bool = False) -> Split:
        """Splits one mini-batch. The tracker stays as it is, unless `relearn` lets it learn from the mini-batch too.

        It learns by sample in the same pass, or with `by_bag` by bag in a second pass.
        """
        check_batch(self.geometry, batch, by_bag=by_bag and relearn)
        with self._lock:
            split = self._classify(batch, relearn=relearn and not by_bag)
            if relearn and by_bag:
                self._learn([batch], by_bag)
            return split

    def prepare(
        self, batches: Sequence[Batch], opcode: Opcode, *, relearn: bool = False, by_bag: bool = False
    ) -> Prepared:
        """Lays mini-batches out in memory for LEARN or CLASSIFY, so that `run` can be timed alone.

        Call nothing else that moves data before `run`: it would overwrite them.
        """
        self.check(batches, by_bag=by_bag)
        with self._lock:
            return self._runner.prepare(batches, opcode, relearn=relearn, by_bag=by_bag)

    def run(self, work: Prepared) -> None:
        """Runs what was prepared last. The answers are not read."""
        with self._lock:
            self._runner.run(work)

    # Rows by DMA

    def set_table(self, table: int, address: int, rows: int, stride_bytes: int) -> None:
        """Sets the place of an embedding table in `device.memory`: row r is at `address + r * stride_bytes`.

        The region that holds it is exposed for reading. 0 rows remove the table.

        Raises:
            DriverError: a value is out of range, no region holds the table, or all windows are in use. Several tables
                in one region need one window.
        """
        with self._lock:
            self._gatherer.set_table(table, address, rows, stride_bytes)

    def gather(
        self, row_bytes: int, target: Region, offset: int = 0, *, held: bool = False, keys: bool = False
    ) -> Gathered:
        """Gathers cold rows of the mini-batch that was classified last, in the order of its `WorkingSet`.

        Args:
            row_bytes: bytes to read of each row, from its beginning.
            target: is exposed for writing. Rows are written end to end from byte `offset` on, a multiple of 64.
            held: gather the held rows, which are the last ones, instead of the others.
            keys: also tell which rows were gathered.

        Raises:
            DriverError: a table was not set up, a row is beyond its table, or the target cannot be written.
        """
        with self._lock:
            return self._gatherer.gather(row_bytes, target, offset, held=held, keys=keys)

    def hide(self, region: Region) -> None:
        """Takes the accelerator's rights to a region away, which `gather` gave: it is no longer used."""
        with self._lock:
            self.rings.windows.hide(region)

    def gather_list(self, words: np.ndarray, row_bytes: int, target: Region, offset: int = 0) -> int:
        """Gathers the rows that lookup words (uint64 [n]) name, in their order. Returns how many were written."""
        with self._lock:
            return self._gatherer.listed(words, row_bytes, target, offset)

    # Registers

    def describe(self) -> list[RegisterState]:
        """Every register, with the values and meanings of its fields."""
        with self._lock:
            return self.control.describe()

    # One operation each, from an idle core to an idle core

    def _learn(self, batches: Sequence[Batch], by_bag: bool) -> None:
        with self._lock:
            self._runner.run(self._runner.prepare(batches, Opcode.LEARN, by_bag=by_bag))

    def _classify(self, batch: Batch, *, relearn: bool) -> Split:
        with self._lock:
            work = self._runner.prepare([batch], Opcode.CLASSIFY, relearn=relearn)
            return self._runner.split(work, self._runner.run(work), self.hot_rows)
