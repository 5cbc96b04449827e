"""`CocotbCore`: a cocotb simulator of the stream core, reached over a local socket."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np

from hotline_device.checks import bus_error, check_batches, check_entries, check_register, quiet_limit, waves_path
from hotline_device.device import DeviceError, DeviceTimeout
from hotline_device.stream_core import Results, StreamCore
from hotline_hw.spec.params import Geometry

from .build import build_simulator, default_simulator
from .link import map_arrays
from .session import Session

__all__ = ["CocotbCore"]


class CocotbCore(StreamCore):
    """The hardware in a simulator's process of its own, one Python step there a clock cycle.

    Simulated time stands still between calls. A call that was interrupted, or failed in the middle of a transfer,
    leaves a core in the middle of it: after the first the device can only be closed, after the second also reset.

    Args:
        geometry: what the accelerator is built with. The first use of one builds its simulator, which is kept.
        simulator: `icarus`, `verilator` or any other that cocotb's runner knows; None: icarus where that is
            installed, else verilator.
        waves: file to record waves to, .fst for Icarus, .vcd for Verilator; without it, WAVES=1 in the
            environment names one in the current folder.
        quiet_limit: clock cycles without any transfer after which a call raises DeviceTimeout.

    Raises:
        DeviceError: the simulator cannot be built or started; the message says what to do.
    """

    def __init__(
        self,
        geometry: Geometry,
        simulator: str | None = None,
        *,
        waves: str | Path | None = None,
        quiet_limit: int | None = None,
    ) -> None:
        self.geometry = geometry
        self.simulator = simulator or default_simulator()
        self.quiet_limit = _default_limit(geometry) if quiet_limit is None else quiet_limit
        self.waves = waves_path(waves, ".vcd" if self.simulator == "verilator" else ".fst")
        self.cycles = 0  # clock cycles since the device was opened
        build = build_simulator(geometry, self.simulator, waves=self.waves is not None)
        self._session = Session(self.simulator, build, self.waves, {"quiet_limit": self.quiet_limit})
        self._finalizer = weakref.finalize(self, self._session.stop)
        self._trouble: str | None = None
        try:
            self._take(self._session.start())
        except BaseException:
            self.close()
            raise

    def reset(self) -> None:
        """Pulses `rst`: the core is as new."""
        if not self._session.asking:
            self._trouble = None
        self._call("reset", op="reset")

    def read(self, offset: int) -> int:
        check_register("read", offset)
        reply = self._call(f"read of offset {offset:#05x}", op="read", offset=offset)
        if reply["error"] == "slverr":
            raise bus_error("read", offset)
        return reply["value"]

    def write(self, offset: int, value: int) -> None:
        check_register("write", offset, value)
        reply = self._call(f"write of offset {offset:#05x}", op="write", offset=offset, value=int(value))
        if reply["error"] == "slverr":
            raise bus_error("write", offset)

    def stream(self, words: np.ndarray, ends: np.ndarray) -> Results:
        words, ends = check_batches(words, ends)
        if not len(ends):
            return Results(*(np.empty(0, kind) for kind in (np.uint64, np.int64, np.uint64, np.int64)))
        shared = map_arrays(self._folder(), [len(words), len(ends)] * 3, create=True)
        shared[0][:], shared[1][:] = words, ends
        doing = f"streaming {len(ends)} mini-batches of {len(words)} lookups"
        self._call(doing, op="stream", words=len(words), batches=len(ends))
        popular, popular_ends, nonpopular, nonpopular_ends = shared[2:]
        return Results(
            popular[: popular_ends[-1]].copy(), popular_ends.copy(),
            nonpopular[: nonpopular_ends[-1]].copy(), nonpopular_ends.copy(),
        )  # fmt: skip

    def receive_state(self, rows: int, ways: int) -> np.ndarray:
        entries = self._receive_beats(rows, ways, f"receiving {rows} rows of state (was DUMP written to COMMAND?)")
        if len(entries) != rows:
            raise DeviceError(f"m_axis_state holds {entries.size} entries, not {rows} rows of {ways}")
        return entries

    def receive_events(self, limit: int, ways: int) -> np.ndarray:
        return self._receive_beats(limit, ways, f"receiving up to {limit} events (was SELECT written to COMMAND?)")

    def _receive_beats(self, limit: int, ways: int, doing: str) -> np.ndarray:
        words, ends = map_arrays(self._folder(), [limit * ways, 1], create=True)
        self._call(doing, op="receive", entries=limit * ways)
        return words.reshape(limit, ways)[: int(ends[0]) // ways].copy()

    def send_state(self, entries: np.ndarray) -> None:
        entries = check_entries(entries, self.geometry.ways)
        shared, ends = map_arrays(self._folder(), [entries.size, 1], create=True)
        shared[:], ends[0] = entries.ravel(), entries.size
        doing = f"sending {len(entries)} rows of state (was RESTORE written to COMMAND?)"
        self._call(doing, op="send", entries=entries.size)

    def wait_irq(self) -> None:
        self._call("waiting for irq", op="wait_irq")

    def close(self) -> None:
        self._finalizer()

    def _folder(self) -> Path:
        if not self._finalizer.alive:
            raise DeviceError("the device was closed; open another one")
        return self._session.folder

    def _call(self, doing: str, **request: Any) -> dict[str, Any]:
        """The reply to a request; `doing` is what it does, for messages."""
        self._folder()
        if self._trouble:
            remedy = "close" if self._session.asking else "reset() or close"
            raise DeviceError(f"{self._trouble}, so the core is in the middle of it: {remedy} the device")
        self._trouble = f"{doing} was interrupted"
        reply = self._take(self._session.ask(request))
        self._trouble = f"{doing} failed" if reply["error"] and reply["moved"] else None
        if reply["error"] == "timeout":
            raise DeviceTimeout(f"{doing}: no transfer for {self.quiet_limit} clock cycles")
        if reply["error"] == "overflow":
            raise DeviceError(f"{doing}: the core sent more words than it was asked for")
        return reply

    def _take(self, reply: dict[str, Any]) -> dict[str, Any]:
        self.cycles = reply["cycles"]
        return reply


_default_limit = quiet_limit  # the constructor has an argument of that name
