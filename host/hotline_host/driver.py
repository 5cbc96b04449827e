"""The device driver: an accelerator as software sees it, whatever backend stands behind it.

learn ---> tracker ---> dump ---> hot_set: (table, row) in every slot ---> the GPU's hot table
              |
classify -----+-------> Split: popular samples, slot or -1 for each lookup
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from hotline_hw import __version__
from hotline_hw.feistel import unmix
from hotline_hw.params import Geometry, GeometryError
from hotline_hw.regmap import COUNTERS, ID_VALUE, Command, Irq, Phase, counter_offset, register, version_value
from hotline_hw.words import ENTRY_TAG, ENTRY_VALID
from hotline_sim.device import Device, DeviceTimeout, Results

from .data.log import Batch
from .packets import DriverError, Packets, Split, check_batch, pack

__all__ = ["Driver", "DriverError", "Split"]

_STREAM_WORDS = 1 << 17
"""Lookups of one `Device.stream` call, about: enough that the call itself costs nothing, 1 MiB of words."""


class Driver:
    """Drives one accelerator, alone. Every call waits for its end, and raises DriverError for what the core reports.

    Opening it waits out the clearing walk after reset; the tracker, the budget and the counters stay as they are.

    Args:
        device: open; closing it stays the caller's task.

    Attributes:
        geometry: as the capability registers tell it.
        hot_rows: the budget N, 0 to `geometry.entries`; slots are 0 to N - 1.

    Raises:
        DriverError: not a Hotline core, or one of another version.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self._identify()
        self.geometry = self._discover()
        self._await_idle("its reset")
        self._write("ERROR", self._read("ERROR"))  # of whoever drove it before
        self._write("IRQ_STATUS", int(sum(Irq)))
        self._write("IRQ_ENABLE", int(sum(Irq)))
        self.hot_rows = self._read("HOT_ROWS")

    # The tracker

    def set_hot_rows(self, hot_rows: int) -> None:
        """Sets the budget N, and clears the tracker.

        Raises:
            DriverError: N is beyond the tracker's entries.
        """
        if not 0 <= hot_rows <= self.geometry.entries:
            raise DriverError(
                f"{hot_rows} hot rows are beyond this accelerator's capacity: its tracker has "
                f"{self.geometry.entries} entries, so choose 0 to {self.geometry.entries}"
            )
        self._operate(f"HOT_ROWS = {hot_rows}", Irq.COMMAND_DONE, lambda: self._write("HOT_ROWS", hot_rows))
        self.hot_rows = hot_rows

    def clear(self) -> None:
        """Empties the tracker."""
        self._command(Command.CLEAR)

    def dump(self) -> np.ndarray:
        """The tracker's contents: uint64 [sets in use, ways], entry words."""
        rows, ways = 1 << self._read("INDEX_BITS"), self.geometry.ways
        return self._command(Command.DUMP, lambda: self.device.receive_state(rows, ways))

    def restore(self, dump: np.ndarray) -> None:
        """Puts back what `dump` gave, under the same budget.

        Raises:
            DriverError: the shape is that of another budget or geometry.
        """
        shape = (1 << self._read("INDEX_BITS"), self.geometry.ways)
        if dump.shape != shape or dump.dtype != np.uint64:
            raise DriverError(
                f"a dump of {self.hot_rows} hot rows is uint64 {list(shape)}, not {dump.dtype} {list(dump.shape)}; "
                "set the budget under which it was taken"
            )
        self._command(Command.RESTORE, lambda: self.device.send_state(dump))

    def hot_set(self, dump: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The rows in a dump of this accelerator under the present budget, by inverting the hash.

        Returns:
            tables, rows, slots: int64 [m], in ascending order of slots.

        Raises:
            DriverError: a tag does not belong to its set, or an entry is outside the budget.
        """
        geometry = self.geometry
        gsets, ways = np.nonzero(dump >> ENTRY_VALID.low & 1)
        tags = dump[gsets, ways] >> ENTRY_TAG.low & ENTRY_TAG.mask
        index_bits = geometry.index_bits_in_use(self.hot_rows)
        slots = ways << index_bits | gsets
        sets = gsets >> geometry.bank_bits
        wrong = (tags & ((1 << index_bits - geometry.bank_bits) - 1) != sets) | (tags >> geometry.tag_bits != 0)
        wrong |= slots >= self.hot_rows
        if wrong.any():
            at = int(wrong.argmax())
            raise DriverError(
                f"entry {int(dump[gsets[at], ways[at]]):#018x} cannot be in set {gsets[at]}, way {ways[at]} with "
                f"{self.hot_rows} hot rows: its tag belongs to another set, or the way is outside the budget"
            )
        banks = (gsets & geometry.banks - 1).astype(np.uint64)
        keys = unmix(tags << geometry.bank_bits | banks, geometry.key_bits)
        tables = (keys >> geometry.row_bits).astype(np.int64)
        rows = (keys & ((1 << geometry.row_bits) - 1)).astype(np.int64)
        order = np.argsort(slots)
        return tables[order], rows[order], slots[order].astype(np.int64)

    # Mini-batches

    def check(self, batches: Iterable[Batch]) -> None:
        """Raises DriverError, naming table, row, sample and limit, where the accelerator cannot take a mini-batch."""
        for number, batch in enumerate(batches):
            check_batch(self.geometry, batch, number)

    def learn(self, batches: Sequence[Batch], progress: Callable[[int], None] | None = None) -> None:
        """Trains the tracker with mini-batches, in order. All are checked before the first is sent.

        Args:
            progress: called now and then with the mini-batches that are done.
        """
        self.check(batches)
        done = 0
        for group in _groups(batches):
            results = self._stream(pack(group), Phase.LEARN)
            if results is not None and (len(results.popular) or len(results.nonpopular)):
                raise DriverError("mini-batches that were sent to be learned came back classified")
            done += len(group)
            if progress:
                progress(done)

    def classify(self, batch: Batch) -> Split:
        """The split of one mini-batch. The tracker stays as it is."""
        check_batch(self.geometry, batch)
        return self._classify([batch])[0]

    def classify_all(self, batches: Sequence[Batch]) -> Iterator[Split]:
        """The split of each mini-batch, in order; as `classify`, but with many mini-batches under way at once.

        All are checked before the first is sent.
        """
        self.check(batches)
        for group in _groups(batches):
            yield from self._classify(group)

    # Counters

    def counters(self) -> dict[str, int | None]:
        """Every counter, as of one instant, by name (`hotline_hw.regmap.COUNTERS`).

        Timing counters are None on a backend without clock cycles, which shows in that its work has taken none.
        """
        self._command(Command.SNAPSHOT)
        values: dict[str, int | None] = {counter.name: self._counter(counter.name) for counter in COUNTERS}
        if values["batches"] and not values["cycles"]:
            values |= dict.fromkeys((counter.name for counter in COUNTERS if counter.timing), None)
        return values

    def cycles(self) -> int:
        """The counter of clock cycles with a mini-batch in the core, 0 on a backend without cycles."""
        self._command(Command.SNAPSHOT)
        return self._counter("cycles")

    def reset_counters(self) -> None:
        self._command(Command.RESET_COUNTERS)

    # One operation: from an idle core to an idle core

    def _classify(self, batches: list[Batch]) -> list[Split]:
        packets = pack(batches)
        results = self._stream(packets, Phase.CLASSIFY)
        if results is None:
            nothing, none = np.empty(0, np.uint64), np.empty(0, np.int64)
            results = Results(nothing, none, nothing, none)
        return packets.splits(results, self.hot_rows)

    def _stream(self, packets: Packets, phase: Phase) -> Results | None:
        """The answer to packets, None where there is nothing to send."""
        if not len(packets.ends):
            return None
        self._write("CONTROL", int(phase))
        work = f"{phase.name} of {len(packets.ends)} mini-batches"
        return self._operate(work, Irq.BATCH_DONE, lambda: self.device.stream(packets.words, packets.ends))

    def _command(self, command: Command, transfer: Callable[[], Any] | None = None) -> Any:
        """Runs a command; what `transfer`, called while it runs, returns."""

        def act() -> Any:
            self._write("COMMAND", int(command))
            return transfer() if transfer else None

        return self._operate(command.name, Irq.COMMAND_DONE, act)

    def _operate(self, work: str, cause: Irq, act: Callable[[], Any]) -> Any:
        """What `act` returns, once the interrupt of its end has come, the core is idle, and it reports no error."""
        answer = act()
        self.device.wait_irq()
        self._await_idle(work)
        causes = self._read("IRQ_STATUS")
        self._write("IRQ_STATUS", causes)
        if errors := self._read("ERROR"):
            self._write("ERROR", errors)
            fields = register("ERROR").fields
            named = "; ".join(f"{field.name.upper()} ({field.doc})" for field in fields if field.get(errors))
            raise DriverError(f"{work}: the accelerator reports {named}")
        if not causes & cause:
            raise DriverError(f"{work}: the core is idle and raised {Irq(causes)!r}, but not {cause.name}")
        return answer

    def _await_idle(self, work: str) -> None:
        # A read takes a cycle or more, and no walk takes more cycles than a bank has sets.
        limit = 4 * self.geometry.sets + 10_000
        busy = register("STATUS").field("busy")
        for _ in range(limit):
            if not busy.get(self._read("STATUS")):
                return
        raise DeviceTimeout(f"the core was still busy with {work} after {limit} reads of STATUS")

    # Registers

    def _identify(self) -> None:
        if (found := self._read("ID")) != ID_VALUE:
            raise DriverError(f"there is no Hotline core here: ID reads {found:#010x}, and not {ID_VALUE:#010x}")
        theirs, ours = (register("VERSION").unpack(value) for value in (self._read("VERSION"), version_value()))
        if (theirs["major"], theirs["minor"]) != (ours["major"], ours["minor"]):
            version = "{major}.{minor}.{patch}".format(**theirs)
            raise DriverError(f"the core has version {version}, this driver {__version__}; major and minor must agree")

    def _discover(self) -> Geometry:
        values: dict[str, int] = {}
        for name in ("CAP_STREAM", "CAP_TRACKER", "CAP_KEY", "CAP_SAMPLES", "CAP_BEATS"):
            values |= register(name).unpack(self._read(name))
        for name in ("banks", "sets"):
            values[name] = 1 << values.pop(f"log2_{name}")
        try:
            return Geometry(name="discovered", **values)
        except GeometryError as error:
            raise DriverError(f"the capability registers describe no accelerator: {error}") from None

    def _counter(self, name: str) -> int:
        low = counter_offset(name)
        return self.device.read(low) | self.device.read(low + 4) << 32

    def _read(self, name: str) -> int:
        return self.device.read(register(name).offset)

    def _write(self, name: str, value: int) -> None:
        self.device.write(register(name).offset, value)


def _groups(batches: Iterable[Batch]) -> Iterator[list[Batch]]:
    """Mini-batches in groups of about _STREAM_WORDS lookups."""
    group: list[Batch] = []
    lookups = 0
    for batch in batches:
        group.append(batch)
        lookups += len(batch.indices)
        if lookups >= _STREAM_WORDS:
            yield group
            group, lookups = [], 0
    if group:
        yield group
