"""`VerilatedCore`: the Verilated hardware behind the device interface, whole batches a call."""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hotline_device.checks import bus_error, check_register, quiet_limit
from hotline_device.device import DeviceError, DeviceTimeout
from hotline_hw.spec.params import Geometry
from hotline_sim.checks import check_batches, check_entries, waves_path
from hotline_sim.stream_core import Results, StreamCore

from .build import build_library, trace_format
from .library import PORTS, SinkPort, SourcePort, Status, load, pointer

__all__ = ["VerilatedCore"]

_SLICE = 0.05  # seconds in the library between two looks for a signal (Ctrl-C)


class VerilatedCore(StreamCore):
    """The hardware itself, cycle by cycle, in this process. The GIL is released while the clock runs.

    Several may live in one process, and run in threads beside each other. A call interrupted by Ctrl-C, or one that
    failed in the middle of a transfer, leaves a core that can only be reset or closed.

    Args:
        geometry: what the accelerator is built with. The first use of one builds its library, which is kept.
        stall_seed: holds streams back in random cycles, the same for the same seed. None: never.
        stall_probability: chance, below 1, that a stream is held back in a cycle (tvalid of an input, tready of an
            output): for all, or by name of the stream (PORTS), others never.
        waves: file to record waves to, .fst or .vcd; without it, WAVES=1 in the environment names one in the
            current folder.
        quiet_limit: clock cycles without any transfer after which a call raises DeviceTimeout.

    Raises:
        DeviceError: the library cannot be built; the message says what to do.
    """

    def __init__(
        self,
        geometry: Geometry,
        *,
        stall_seed: int | None = None,
        stall_probability: float | Mapping[str, float] = 0.3,
        waves: str | Path | None = None,
        quiet_limit: int | None = None,
    ) -> None:
        self.geometry = geometry
        self.quiet_limit = _default_limit(geometry) if quiet_limit is None else quiet_limit
        self.waves = waves_path(waves, ".fst")
        probabilities = _probabilities(stall_probability) if stall_seed is not None else None
        self.library = build_library(geometry, trace=trace_format(self.waves))
        self._calls = load(self.library)
        self._lock = threading.Lock()  # close() of one thread waits for a slice of another's call
        self._trouble: str | None = None
        handle = self._calls.hotline_create(self.quiet_limit, str(self.waves).encode() if self.waves else None)
        if not handle:
            raise DeviceError(f"the Verilated {geometry.name} could not be created: out of memory, or {self.waves}")
        self._handle = ctypes.c_void_p(handle)
        self._finalizer = weakref.finalize(self, self._calls.hotline_destroy, self._handle)
        if probabilities is not None and stall_seed is not None:
            seed = stall_seed % (1 << 64)
            self._calls.hotline_stall(self._handle, seed, (ctypes.c_double * len(PORTS))(*probabilities))

    @property
    def cycles(self) -> int:
        """Clock cycles since the device was opened."""
        with self._lock:
            return self._calls.hotline_cycles(self._open_handle())

    def reset(self) -> None:
        """Pulses `rst`: the core is as new."""
        with self._lock:
            self._calls.hotline_reset(self._open_handle())
            self._trouble = None

    def read(self, offset: int) -> int:
        check_register("read", offset)
        value, response = ctypes.c_uint32(), ctypes.c_int()
        with self._lock:
            status = self._calls.hotline_read(self._sound_handle(), offset, value, response)
        self._check_access("read", offset, status, response.value)
        return value.value

    def write(self, offset: int, value: int) -> None:
        check_register("write", offset, value)
        response = ctypes.c_int()
        with self._lock:
            status = self._calls.hotline_write(self._sound_handle(), offset, value, response)
        self._check_access("write", offset, status, response.value)

    def stream(self, words: np.ndarray, ends: np.ndarray) -> Results:
        words, ends = check_batches(words, ends)
        popular, nonpopular = np.empty(len(words), np.uint64), np.empty(len(words), np.uint64)
        popular_ends, nonpopular_ends = np.zeros(len(ends), np.int64), np.zeros(len(ends), np.int64)
        with self._lock:
            handle = self._sound_handle()
            self._receive(handle, SinkPort.POPULAR, popular, popular_ends)
            self._receive(handle, SinkPort.NONPOPULAR, nonpopular, nonpopular_ends)
            self._send(handle, SourcePort.LOOKUP, words, ends)
        self._run(f"streaming {len(ends)} mini-batches of {len(words)} lookups")
        counts = [int(e[-1]) if len(e) else 0 for e in (popular_ends, nonpopular_ends)]
        return Results(popular[: counts[0]], popular_ends, nonpopular[: counts[1]], nonpopular_ends)

    def receive_state(self, rows: int, ways: int) -> np.ndarray:
        entries = self._receive_beats(rows, ways, f"receiving {rows} rows of state (was DUMP written to COMMAND?)")
        if len(entries) != rows:
            raise DeviceError(f"m_axis_state holds {entries.size} entries, not {rows} rows of {ways}")
        return entries

    def receive_events(self, limit: int, ways: int) -> np.ndarray:
        return self._receive_beats(limit, ways, f"receiving up to {limit} events (was SELECT written to COMMAND?)")

    def _receive_beats(self, limit: int, ways: int, doing: str) -> np.ndarray:
        beats, ends = np.zeros((limit, ways), np.uint64), np.zeros(1, np.int64)
        with self._lock:
            self._receive(self._sound_handle(), SinkPort.STATE, beats, ends)
        self._run(doing)
        return beats[: int(ends[0]) // ways]

    def send_state(self, entries: np.ndarray) -> None:
        entries = check_entries(entries, self.geometry.ways)
        ends = np.array([entries.size], np.int64)
        with self._lock:
            self._send(self._sound_handle(), SourcePort.STATE, entries, ends)
        self._run(f"sending {len(entries)} rows of state (was RESTORE written to COMMAND?)")

    def wait_irq(self) -> None:
        self._run("waiting for irq", for_irq=True)

    def close(self) -> None:
        with self._lock:
            self._finalizer()

    # The library. Arrays that it works on stay alive in the frame that calls _run.

    def _send(self, handle: ctypes.c_void_p, port: SourcePort, words: np.ndarray, ends: np.ndarray) -> None:
        self._calls.hotline_send(handle, port, pointer(words), pointer(ends), len(ends))

    def _receive(self, handle: ctypes.c_void_p, port: SinkPort, words: np.ndarray, ends: np.ndarray) -> None:
        self._calls.hotline_receive(handle, port, pointer(words), words.size, pointer(ends), len(ends))

    def _run(self, doing: str, *, for_irq: bool = False) -> None:
        """Runs the clock until everything that was set up is done; `doing` says what, for messages."""
        status = Status.RUNNING
        trouble: str | None = f"{doing} was interrupted"
        try:
            while status == Status.RUNNING:
                with self._lock:
                    status = self._calls.hotline_run(self._sound_handle(), for_irq, _SLICE)
            trouble = f"{doing} failed" if self._calls.hotline_moved(self._handle) else None
        finally:
            self._trouble = trouble
        if status == Status.TIMEOUT:
            raise DeviceTimeout(f"{doing}: no transfer for {self.quiet_limit} clock cycles")
        if status == Status.OVERFLOW:
            self._trouble = f"{doing} failed"
            raise DeviceError(f"{doing}: the core sent more words than it was asked for")

    def _open_handle(self) -> ctypes.c_void_p:
        if not self._finalizer.alive:
            raise DeviceError("the device was closed; open another one")
        return self._handle

    def _sound_handle(self) -> ctypes.c_void_p:
        if self._trouble:
            raise DeviceError(f"{self._trouble}, so the core is in the middle of it: reset() or close the device")
        return self._open_handle()

    def _check_access(self, access: str, offset: int, status: int, response: int) -> None:
        if status == Status.TIMEOUT:
            raise DeviceTimeout(f"{access} of offset {offset:#05x}: no answer in {self.quiet_limit} clock cycles")
        if response:
            raise bus_error(access, offset)


_default_limit = quiet_limit  # the constructor has an argument of that name


def _probabilities(given: float | Mapping[str, float]) -> list[float]:
    """The stall probability of each port, in PORTS' order."""
    by_port = dict(given) if isinstance(given, Mapping) else dict.fromkeys(PORTS, given)
    for port, probability in by_port.items():
        if port not in PORTS:
            raise ValueError(f"stall_probability names no stream {port!r}; the streams are {', '.join(PORTS)}")
        if not 0 <= probability < 1:
            raise ValueError(f"stall_probability of {port} is {probability}; it must be at least 0 and below 1")
    return [by_port.get(port, 0.0) for port in PORTS]
