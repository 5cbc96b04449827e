"""The part of the driver that deals with the tracker: its budget, its contents, and which rows are hot."""

from __future__ import annotations

import threading
from dataclasses import asdict
from typing import Any

import numpy as np

from hotline_device.device import Device
from hotline_device.ring_entries import Descriptor
from hotline_host.tracking.aging import AgingControl
from hotline_host.tracking.controller import TrackerController, read_closing
from hotline_host.tracking.front import FrontChooser
from hotline_hw.spec.descriptors import EVENT_BYTES, Opcode
from hotline_hw.spec.policy import Policy, pack_policy, unpack_policy
from hotline_hw.spec.regmap import POLICY_REGISTERS, Command

from .buffers import Buffers
from .control import Control
from .hot_set import Moves, read_dump, read_events
from .packets import DriverError
from .rings import Rings

__all__ = ["TrackerDriver"]


class TrackerDriver:
    """Opens an accelerator's registers and rings, and manages its tracker. See `Driver`, whose base it is."""

    def __init__(self, device: Device, timeout: float, **rings: Any) -> None:
        self.device = device
        self.control = Control(device, timeout)
        self.geometry = self.control.geometry
        self.hot_rows = self._read("HOT_ROWS")
        self.rings = Rings(device, timeout=timeout, **rings)
        self._buffers = Buffers(self.rings)
        self._lock = threading.RLock()
        self._controller = TrackerController(unpack_policy({name: self._read(name) for name in POLICY_REGISTERS}))
        self._asked = 0, 0
        self._front = FrontChooser(self.geometry)

    # The tracker

    def set_hot_rows(self, hot_rows: int) -> None:
        """Sets the budget N, and clears the tracker.

        Raises:
            DriverError: N is beyond what the tracker has entries for.
        """
        geometry = self.geometry
        if not 0 <= hot_rows <= geometry.hot_capacity:
            raise DriverError(
                f"{hot_rows} hot rows are beyond this accelerator's capacity: its tracker has "
                f"{geometry.entries} entries, {geometry.entries_per_hot_row} for each hot row, so choose 0 to "
                f"{geometry.hot_capacity}"
            )
        with self._lock:
            self.control.operate(f"HOT_ROWS = {hot_rows}", lambda: self._write("HOT_ROWS", hot_rows))
            self.hot_rows = hot_rows
            self._front.emptied()

    def clear(self) -> None:
        """Empties the tracker."""
        with self._lock:
            self._command(Command.CLEAR)
            self._front.emptied()

    def dump(self) -> np.ndarray:
        """The tracker's contents: uint64 [sets in use * state_rows_per_set, ways], laid out as in `spec.words`."""
        with self._lock:
            rows, ways = self._state_shape()
            state = self._buffers.targets(8 * rows * ways)[0]
            self.rings.run([Descriptor(opcode=Opcode.DUMP, targets=(state.address, 0, 0))])
            return state.array(rows * ways, np.uint64).reshape(rows, ways).copy()

    def restore(self, dump: np.ndarray) -> None:
        """Puts back what `dump` gave, under the same budget.

        Raises:
            DriverError: the shape is that of another budget or geometry.
        """
        with self._lock:
            self._restore(dump)

    def _restore(self, dump: np.ndarray) -> None:
        shape = self._state_shape()
        if dump.shape != shape or dump.dtype != np.uint64:
            raise DriverError(
                f"a dump of {self.hot_rows} hot rows is uint64 {list(shape)}, not {dump.dtype} {list(dump.shape)}; "
                "set the budget under which it was taken"
            )
        state = self._buffers.sources(dump.nbytes)[0]
        state.array(dump.size, np.uint64)[:] = dump.ravel()
        self._front.emptied()
        self.rings.run([Descriptor(opcode=Opcode.RESTORE, source=state.address, count=len(dump))])

    def tracker_state(self) -> dict[str, Any]:
        """All that decides how the tracker goes on: contents, policy, aging, front table. Plain data and arrays."""
        with self._lock:
            aging = self._controller.aging
            self._command(Command.SNAPSHOT)
            now = self.control.counter("revivals"), self.control.counter("returns")
            return {
                "hot_rows": self.hot_rows, "dump": self.dump(), "policy": pack_policy(self._controller.policy),
                "aging": aging and asdict(aging), "unasked": [now[0] - self._asked[0], now[1] - self._asked[1]],
                "front": self._front.state(),
            }  # fmt: skip

    def load_tracker_state(self, state: dict[str, Any]) -> None:
        """Goes on from what `tracker_state` gave, under the same budget. Errors as `restore`."""
        with self._lock:
            self._restore(np.asarray(state["dump"]))
            aging = state["aging"] and AgingControl(**state["aging"])
            self.configure(unpack_policy(state["policy"]), aging)
            self._command(Command.SNAPSHOT)
            unasked = state["unasked"]
            self._asked = self.control.counter("revivals") - unasked[0], self.control.counter("returns") - unasked[1]
            self._front.resume(state["front"])
            if len(front := self._front.lookups):
                rows = self._buffers.sources(front.nbytes)[0]
                rows.array(len(front), np.uint64)[:] = front
                self.rings.run([Descriptor(opcode=Opcode.FRONT, source=rows.address, count=len(front))])

    def hot_set(self, dump: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The rows in a dump of this accelerator under the present budget, by inverting the hash.

        Returns:
            tables, rows, slots: int64 [m], in ascending order of slots.

        Raises:
            DriverError: a tag does not belong to its set, or an entry or its slot is outside the budget.
        """
        return read_dump(self.geometry, self.hot_rows, dump)

    # Which rows are hot

    @property
    def front(self) -> np.ndarray:
        """Rows of the front table: uint64 [n], lookup words without `last`. The driver chooses them."""
        return self._front.table

    @property
    def move_limit(self) -> int:
        """Most rows that one SELECT makes hot."""
        with self._lock:
            return min(self.geometry.max_moves, self._read("MOVE_LIMIT"))

    def configure(self, policy: Policy, aging: AgingControl | None = None) -> None:
        """Says how popularity is tracked from now on. `select_start` is where the next SELECT begins.

        Args:
            aging: sets the policy's age_period, now and after every SELECT.

        Raises:
            DriverError: a value does not fit.
        """
        controller = TrackerController(policy, aging)
        try:
            registers = pack_policy(controller.policy)
        except ValueError as error:
            raise DriverError(str(error)) from None
        with self._lock:
            for name, value in registers.items():
                self._write(name, value)
            self._controller = controller
            if aging:
                self._asked_again()  # what came before is not its business

    def select(self) -> Moves:
        """Lets the accelerator choose the hot rows anew. Whatever holds them must be told, before the next mini-batch.

        Each call begins to look at another set, so that with a limit on moves no set is favoured.

        Raises:
            DriverError: the answer is wrong.
        """
        with self._lock:
            return self._select()

    def _select(self) -> Moves:
        buffer = self._buffers.targets((self.geometry.max_moves + 1) * EVENT_BYTES)[0]
        done = self.rings.run([Descriptor(opcode=Opcode.SELECT, targets=(buffer.address, 0, 0))])[0]
        if not 0 < done.listed <= self.geometry.max_moves + 1:
            raise DriverError(f"SELECT told of {done.listed} events, not of 1 to {self.geometry.max_moves + 1}")
        events = buffer.array(done.listed * 2, np.uint64).reshape(-1, 2).copy()
        moves = read_events(self.geometry, self.hot_rows, events)
        revivals, returns = self._asked_again() if self._controller.aging else (0, 0)
        policy = self._controller.selected(
            read_closing(events[-1]), revivals=revivals, returns=returns, budget=self.hot_rows,
            sets=1 << self._read("INDEX_BITS") - self.geometry.bank_bits,
        )  # fmt: skip
        registers = pack_policy(policy)
        for name in ("SELECT_START", "AGE_PERIOD"):
            self._write(name, registers[name])
        return moves

    def _asked_again(self) -> tuple[int, int]:
        """The counters `revivals` and `returns`, since this was last asked."""
        self._command(Command.SNAPSHOT)
        before = self._asked
        self._asked = self.control.counter("revivals"), self.control.counter("returns")
        return self._asked[0] - before[0], self._asked[1] - before[1]

    # Counters

    def counters(self) -> dict[str, int | None]:
        """Every counter by name (`hotline_hw.spec.regmap.COUNTERS`, and `DMA_COUNTERS` of the shell).

        Timing counters are None on a backend without clock cycles, which shows in that its work has taken none.
        """
        with self._lock:
            return self.control.counters()

    def cycles(self) -> int:
        """The counter of clock cycles with a mini-batch in the core, 0 on a backend without cycles."""
        with self._lock:
            self._command(Command.SNAPSHOT)
            return self.control.counter("cycles")

    def reset_counters(self) -> None:
        with self._lock:
            self.control.reset_counters()
            self._asked = 0, 0

    def _command(self, command: Command) -> None:
        with self._lock:
            self.control.command(command)

    def _state_shape(self) -> tuple[int, int]:
        return self.geometry.state_rows_per_set << self._read("INDEX_BITS"), self.geometry.ways

    def _read(self, name: str) -> int:
        return self.control.read(name)

    def _write(self, name: str, value: int) -> None:
        self.control.write(name, value)
