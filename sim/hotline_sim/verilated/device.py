"""`VerilatedDevice`: the whole Verilated accelerator, with its memory, behind the device interface."""

from __future__ import annotations

import ctypes
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hotline_device.checks import bus_error, check_register, check_shell, quiet_limit
from hotline_device.device import Device, DeviceError, DeviceTimeout
from hotline_device.host_memory import HostMemory
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.shell_registers import DEVICE_ADDRESS_BITS
from hotline_sim.checks import waves_path
from hotline_sim.memory.library import config
from hotline_sim.memory.model import MemoryControl
from hotline_sim.memory.statistics import MemoryStatistics
from hotline_sim.memory.timing import MemoryTiming, memory_timing
from hotline_sim.turns import Turns

from .build import DEVICE, build_library, trace_format
from .library import DeviceStatus, load_device

__all__ = ["VerilatedDevice"]

_SLICE = 0.05  # seconds in the library between two checks for a signal (Ctrl-C) or for another thread's call


class VerilatedDevice(Device):
    """The hardware, cycle by cycle, in this process. The GIL is released while its clock runs.

    Several may exist in one process. `wait_irq` runs in slices; a register access from another thread ends the current
    slice and is made before the next one.

    Args:
        geometry: what the accelerator is built with, including a shell. Its library is built on first use, and kept.
        timing: timing of the memory behind the AXI manager, or the name of one of its PRESETS.
        seed: for the memory's randomness. The same seed, register accesses in the same clock cycles and the same bytes
            give the same cycles.
        waves: file to record waves to, .fst or .vcd; without it, WAVES=1 in the environment names one in the
            current folder.
        quiet_limit: `wait_irq` raises DeviceTimeout after so many clock cycles without a transfer on the AXI manager; a
            register access after so many without an answer.

    Raises:
        DeviceError: the library cannot be built; the message says what to do.
    """

    def __init__(
        self,
        geometry: Geometry,
        *,
        timing: MemoryTiming | str = "pcie4-x16",
        seed: int = 0,
        waves: str | Path | None = None,
        quiet_limit: int | None = None,
    ) -> None:
        check_shell(geometry)
        self.geometry, self.timing = geometry, memory_timing(timing)
        self.quiet_limit = (
            _default_limit(geometry) + self.timing.longest_silence if quiet_limit is None else quiet_limit
        )
        self.waves = waves_path(waves, ".fst")
        self.library = build_library(geometry, top=DEVICE, trace=trace_format(self.waves))
        self._calls = load_device(self.library)
        wanted = ctypes.c_int32(0)  # the library reads it while the clock runs
        self._turns = Turns(lambda want: setattr(wanted, "value", want))
        settings = config(
            self.timing, axi_bits=geometry.axi_bits, id_bits=geometry.id_bits, seed=seed,
            max_beats=geometry.burst_beats,
        )  # fmt: skip
        if self._calls.hotline_device_beat_bytes() != geometry.axi_bytes:
            raise DeviceError(f"the Verilog's m_axi_rdata is not {geometry.axi_bits} bits wide, as geometry has it")
        path = str(self.waves).encode() if self.waves else None
        handle = self._calls.hotline_device_create(settings, self.quiet_limit, path, wanted)
        if not handle:
            raise DeviceError(f"the Verilated {geometry.name} could not be created: out of memory, or {self.waves}")
        self._handle = ctypes.c_void_p(handle)
        self._finalizer = weakref.finalize(self, self._calls.hotline_device_destroy, self._handle)
        self.memory = HostMemory()
        self._model = MemoryControl(self._calls, self._calls.hotline_device_memory(self._handle), self.memory)

    @property
    def cycles(self) -> int:
        """Clock cycles since the device was opened."""
        with self._turn():
            return self._calls.hotline_device_cycles(self._handle)

    @property
    def core_cycles(self) -> int:
        """Those of them in which the stream core's clock ran."""
        with self._turn():
            return self._calls.hotline_device_core_cycles(self._handle)

    def memory_statistics(self) -> MemoryStatistics:
        """The memory's statistics since the device was opened, or since `clear_memory_statistics`."""
        with self._turn():
            return self._model.statistics()

    def clear_memory_statistics(self) -> None:
        with self._turn():
            self._model.clear_statistics()

    def answer(self, address: int, size: int, response: int) -> None:
        """Makes the memory answer bursts that touch `size` bytes at `address` with 2 (SLVERR) or 3 (DECERR)."""
        with self._turn():
            self._model.answer(address, size, response)

    def clear_answers(self) -> None:
        """Undoes all calls of `answer`."""
        with self._turn():
            self._model.clear_answers()

    def read(self, offset: int) -> int:
        check_register("read", offset, address_bits=DEVICE_ADDRESS_BITS)
        value, response = ctypes.c_uint32(), ctypes.c_int()
        with self._turn():
            status = self._calls.hotline_device_read(self._handle, offset, value, response)
            self._model.check()
        self._check_access("read", offset, status, response.value)
        return value.value

    def write(self, offset: int, value: int) -> None:
        check_register("write", offset, value, address_bits=DEVICE_ADDRESS_BITS)
        response = ctypes.c_int()
        with self._turn():
            status = self._calls.hotline_device_write(self._handle, offset, value, response)
            self._model.check()
        self._check_access("write", offset, status, response.value)

    def wait_irq(self, timeout: float | None = None) -> bool:
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _SLICE if end is None else max(0.0, min(_SLICE, end - time.monotonic()))
            with self._turn(slice_=True):
                status = self._calls.hotline_device_run(self._handle, True, left)
                self._model.check()
            if status == DeviceStatus.DONE:
                return True
            if status == DeviceStatus.TIMEOUT:
                raise DeviceTimeout(f"waiting for irq: no transfer of the AXI manager for {self.quiet_limit} cycles")
            if end is not None and time.monotonic() >= end:
                return False

    def reset(self) -> None:
        with self._turn():
            self._calls.hotline_device_reset(self._handle)

    def close(self) -> None:
        with self._turns.call():
            self._finalizer()
        self.memory.close()

    @contextmanager
    def _turn(self, *, slice_: bool = False) -> Iterator[None]:
        """Exclusive use of the device for one call, after telling it of new regions."""
        with self._turns.slice() if slice_ else self._turns.call():
            if not self._finalizer.alive:
                raise DeviceError("the device was closed; open another one")
            self._model.connect()
            yield

    def _check_access(self, access: str, offset: int, status: int, response: int) -> None:
        if status == DeviceStatus.TIMEOUT:
            raise DeviceTimeout(f"{access} of offset {offset:#05x}: no answer in {self.quiet_limit} clock cycles")
        if response:
            raise bus_error(access, offset)


_default_limit = quiet_limit  # the constructor has an argument of that name
