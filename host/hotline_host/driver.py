"""The device driver: an accelerator as software sees it, whatever backend stands behind it.

learn ---> tracker ---> dump ----> hot_set: (table, row) in every slot ---> the GPU's hot table
              |-------> select --> Moves: rows that take the slots of others ------^
classify -----+-------> Split: popular samples, slot or -1 for each lookup
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hotline_hw import __version__
from hotline_hw.params import Geometry, GeometryError
from hotline_hw.regmap import COUNTERS, ID_VALUE, Command, Irq, Phase, counter_offset, register, version_value
from hotline_sim.arguments import quiet_limit
from hotline_sim.device import DeviceTimeout
from hotline_sim.stream_core import Results, StreamCore

from .aging import AgingControl
from .data.log import Batch
from .hot_set import Moves, read_dump, read_events
from .packets import DriverError, Packets, Split, check_batch, groups, pack
from .policy import Policy, policy_registers

__all__ = ["Driver", "DriverError", "Moves", "Policy", "Split"]


class Driver:
    """Drives one accelerator, alone. Every call waits for its end, and raises DriverError for what the core reports.

    Opening it waits out the clearing walk after reset; the tracker, the budget and the counters stay as they are.

    Args:
        device: open; closing it stays the caller's task.

    Attributes:
        geometry: as the capability registers tell it.
        hot_rows: the budget N, 0 to `geometry.hot_capacity`; slots are 0 to N - 1.

    Raises:
        DriverError: not a Hotline core, or one of another version.
    """

    def __init__(self, device: StreamCore) -> None:
        self.device = device
        self._identify()
        self.geometry = self._discover()
        self._await_idle("its reset")
        self._write("ERROR", self._read("ERROR"))  # of whoever drove it before
        self._write("IRQ_STATUS", int(sum(Irq)))
        self._write("IRQ_ENABLE", int(sum(Irq)))
        self.hot_rows = self._read("HOT_ROWS")
        self._aging: AgingControl | None = None
        self._asked = 0, 0

    # The tracker

    def set_hot_rows(self, hot_rows: int) -> None:
        """Sets the budget N, and clears the tracker.

        Raises:
            DriverError: N is beyond what the tracker has entries for.
        """
        geometry = self.geometry
        if not 0 <= hot_rows <= geometry.hot_capacity:
            each = f", {geometry.entries_per_hot_row} for each hot row" if geometry.sample_aware else ""
            raise DriverError(
                f"{hot_rows} hot rows are beyond this accelerator's capacity: its tracker has "
                f"{geometry.entries} entries{each}, so choose 0 to {geometry.hot_capacity}"
            )
        self._operate(f"HOT_ROWS = {hot_rows}", Irq.COMMAND_DONE, lambda: self._write("HOT_ROWS", hot_rows))
        self.hot_rows = hot_rows

    def clear(self) -> None:
        """Empties the tracker."""
        self._command(Command.CLEAR)

    def dump(self) -> np.ndarray:
        """The tracker's contents: uint64 [sets in use * state_rows_per_set, ways], laid out in `hotline_hw.words`."""
        rows, ways = self._state_shape()
        return self._command(Command.DUMP, lambda: self.device.receive_state(rows, ways))

    def restore(self, dump: np.ndarray) -> None:
        """Puts back what `dump` gave, under the same budget.

        Raises:
            DriverError: the shape is that of another budget or geometry.
        """
        shape = self._state_shape()
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
            DriverError: a tag does not belong to its set, or an entry or its slot is outside the budget.
        """
        return read_dump(self.geometry, self.hot_rows, dump)

    # Which rows are hot, with the sample-aware tracker

    @property
    def move_limit(self) -> int:
        """Most rows that one SELECT makes hot."""
        return min(self.geometry.max_moves, self._read("MOVE_LIMIT"))

    def configure(self, policy: Policy, aging: AgingControl | None = None) -> None:
        """Says how popularity is tracked from now on. `select_start` is where the next SELECT begins.

        Args:
            aging: sets the policy's age_period, now and after every SELECT.

        Raises:
            DriverError: a value does not fit, or the tracker is SRRIP.
        """
        self._check_sample_aware("a policy")
        if aging:
            policy = replace(policy, age_period=aging.period)
        for name, value in policy_registers(policy).items():
            self._write(name, value)
        self._aging = aging
        if aging:
            self._asked_again()  # what came before is not its business

    def select(self) -> Moves:
        """Lets the accelerator choose the hot rows anew. Whatever holds them must be told, before the next mini-batch.

        Each call begins to look at another set, so that with a limit on moves no set is favoured.

        Raises:
            DriverError: the tracker is SRRIP, or the answer is wrong.
        """
        self._check_sample_aware("SELECT")
        limit, ways = self.geometry.max_moves + 1, self.geometry.ways
        events = self._command(Command.SELECT, lambda: self.device.receive_events(limit, ways))
        sets = 1 << self._read("INDEX_BITS") - self.geometry.bank_bits
        # The golden section of a power of two, made odd: it comes to every set, and soon near to every set.
        start = self._read("SELECT_START") + (round(0.618 * sets) | 1)
        self._write("SELECT_START", start % sets)
        moves = read_events(self.geometry, self.hot_rows, events)
        if self._aging:
            revivals, returns = self._asked_again()
            period = self._aging.observe(
                revivals=revivals,
                returns=returns,
                idle=moves.idle,
                recent=moves.recent,
                hot=moves.hot_count,
                budget=self.hot_rows,
            )
            self._write("AGE_PERIOD", period)
        return moves

    def _asked_again(self) -> tuple[int, int]:
        """The counters `revivals` and `returns`, since this was last asked."""
        self._command(Command.SNAPSHOT)
        before, self._asked = self._asked, (self._counter("revivals"), self._counter("returns"))
        return self._asked[0] - before[0], self._asked[1] - before[1]

    def _check_sample_aware(self, what: str) -> None:
        if not self.geometry.sample_aware:
            raise DriverError(
                f"{what} is for a sample-aware tracker, and this accelerator's is SRRIP; "
                "choose a geometry of entries_per_hot_row = 2 or more"
            )

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

        A sample-aware tracker also chooses the hot rows: after every `select_every` mini-batches (0: not in between),
        since what a lookup counts hangs on what is hot, and at the end until no more rows want to move than may.

        Args:
            progress: called now and then with the mini-batches that are done.
            by_bag: rows count by what they do for bags instead of samples: for logs so multi-hot that hardly any
                sample can be popular.
        """
        self.check(batches, by_bag=by_bag)
        select_every = select_every if self.geometry.sample_aware else 0
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
        """Chooses the hot rows until no more want to move than may. With SRRIP they are chosen as it learns."""
        while self.geometry.sample_aware and len(self.select()) >= self.move_limit > 0:
            pass

    def classify(self, batch: Batch, *, relearn: bool = False, by_bag: bool = False) -> Split:
        """The split of one mini-batch. The tracker stays as it is, but learns from it too with `relearn`.

        Learning is by sample, in the same pass, or with `by_bag` by bag, in a second one.
        """
        check_batch(self.geometry, batch, by_bag=by_bag and relearn)
        if relearn:
            self._check_sample_aware("RELEARN")
        split = self._classify([batch], Phase.RELEARN if relearn and not by_bag else Phase.CLASSIFY)[0]
        if relearn and by_bag:
            self._learn([batch], by_bag)
        return split

    def classify_all(self, batches: Sequence[Batch]) -> Iterator[Split]:
        """The split of each mini-batch, in order; as `classify`, but with many mini-batches under way at once.

        All are checked before the first is sent.
        """
        self.check(batches)
        for group in groups(batches):
            yield from self._classify(group, Phase.CLASSIFY)

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
        self._asked = 0, 0

    # One operation: from an idle core to an idle core

    def _learn(self, batches: list[Batch], by_bag: bool) -> None:
        results = self._stream(pack(batches, by_bag=by_bag), Phase.LEARN)
        if results is not None and (len(results.popular) or len(results.nonpopular)):
            raise DriverError("mini-batches that were sent to be learned came back classified")

    def _classify(self, batches: list[Batch], phase: Phase) -> list[Split]:
        packets = pack(batches)
        results = self._stream(packets, phase)
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
        limit = quiet_limit(self.geometry)  # a read takes a cycle or more
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
        for name in ("CAP_STREAM", "CAP_TRACKER", "CAP_KEY", "CAP_SAMPLES", "CAP_BEATS", "CAP_POLICY"):
            values |= register(name).unpack(self._read(name))
        for name in ("banks", "sets"):
            values[name] = 1 << values.pop(f"log2_{name}")
        try:
            return Geometry(name="discovered", **values)
        except GeometryError as error:
            raise DriverError(f"the capability registers describe no accelerator: {error}") from None

    def _state_shape(self) -> tuple[int, int]:
        return self.geometry.state_rows_per_set << self._read("INDEX_BITS"), self.geometry.ways

    def _counter(self, name: str) -> int:
        low = counter_offset(name)
        return self.device.read(low) | self.device.read(low + 4) << 32

    def _read(self, name: str) -> int:
        return self.device.read(register(name).offset)

    def _write(self, name: str, value: int) -> None:
        self.device.write(register(name).offset, value)
