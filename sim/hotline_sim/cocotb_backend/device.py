"""`CocotbDevice`: a cocotb simulator of the whole accelerator, with its memory, behind the device interface."""

from __future__ import annotations

import time
import weakref
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hotline_device.checks import bus_error, check_register, check_shell, quiet_limit
from hotline_device.device import Device, DeviceError, DeviceTimeout
from hotline_device.host_memory import HostMemory
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.shell_registers import DEVICE_ADDRESS_BITS
from hotline_sim.build.verilog import DEVICE_TOP
from hotline_sim.checks import waves_path
from hotline_sim.memory.library import memory_library
from hotline_sim.memory.model import ProtocolError
from hotline_sim.memory.statistics import DirectionStatistics, MemoryStatistics
from hotline_sim.memory.timing import MemoryTiming, memory_timing
from hotline_sim.turns import Turns

from .build import build_simulator, default_simulator
from .link import map_flag
from .session import Session

__all__ = ["CocotbDevice"]

_SLICE = 0.05  # seconds in the simulator between two checks for a signal (Ctrl-C) or for another thread's call


class CocotbDevice(Device):
    """The hardware in a separate simulator process, which takes two Python steps a clock cycle.

    Simulated time stands still between calls. `wait_irq` runs in slices; a register access from another thread ends the
    current slice and is made before the next one. With the same timing, seed and accesses it does the same as
    `VerilatedDevice` in every clock cycle.

    Args:
        geometry: what the accelerator is built with, including a shell. Its simulator is built on first use, and kept.
        simulator: `icarus`, `verilator` or any other that cocotb's runner knows; None: icarus if it is installed, else
            verilator.
        timing: timing of the memory behind the AXI manager, or the name of one of its PRESETS.
        seed: for the memory's randomness. The same seed, register accesses in the same clock cycles and the same bytes
            give the same cycles.
        waves: file to record waves to, .fst for Icarus, .vcd for Verilator; without it, WAVES=1 in the
            environment names one in the current folder.
        quiet_limit: `wait_irq` raises DeviceTimeout after so many clock cycles without a transfer on the AXI manager; a
            register access after so many without an answer.

    Attributes:
        cycles: clock cycles from the opening of the device to the last call.
        core_cycles: those of them in which the stream core's clock ran.

    Raises:
        DeviceError: the simulator cannot be built or started; the message says what to do.
    """

    def __init__(
        self,
        geometry: Geometry,
        simulator: str | None = None,
        *,
        timing: MemoryTiming | str = "pcie4-x16",
        seed: int = 0,
        waves: str | Path | None = None,
        quiet_limit: int | None = None,
    ) -> None:
        check_shell(geometry)
        self.geometry, self.timing = geometry, memory_timing(timing)
        self.simulator = simulator or default_simulator()
        self.quiet_limit = (
            _default_limit(geometry) + self.timing.longest_silence if quiet_limit is None else quiet_limit
        )
        self.waves = waves_path(waves, ".vcd" if self.simulator == "verilator" else ".fst")
        self.cycles = self.core_cycles = 0
        memory_library()  # which the simulator finds in the cache then
        build = build_simulator(geometry, self.simulator, waves=self.waves is not None, top=DEVICE_TOP)
        bus = {
            "axi_bits": geometry.axi_bits, "id_bits": geometry.id_bits, "max_beats": geometry.burst_beats,
            "timing": asdict(self.timing), "seed": seed,
        }  # fmt: skip
        settings = {"quiet_limit": self.quiet_limit, "memory": bus}
        self._session = Session(self.simulator, build, self.waves, settings)
        self._finalizer = weakref.finalize(self, self._session.stop)
        self._flag = map_flag(self._session.folder, create=True)
        self._turns = Turns(self._want)
        self.memory = HostMemory()
        self._connected = 0  # regions that the simulator knows
        try:
            self._take(self._session.start())
        except BaseException:
            self.close()
            raise

    def memory_statistics(self) -> MemoryStatistics:
        """The memory's statistics since the device was opened, or since `clear_memory_statistics`."""
        counted = self._memory_call("statistics")
        return MemoryStatistics(
            counted["cycles"], DirectionStatistics(**counted["read"]), DirectionStatistics(**counted["write"])
        )

    def clear_memory_statistics(self) -> None:
        self._memory_call("clear_statistics")

    def answer(self, address: int, size: int, response: int) -> None:
        """Makes the memory answer bursts that touch `size` bytes at `address` with 2 (SLVERR) or 3 (DECERR)."""
        if response not in (2, 3):
            raise ValueError(f"response={response}: an error is 2 (SLVERR) or 3 (DECERR)")
        self._memory_call("answer", int(address), int(size), int(response))

    def clear_answers(self) -> None:
        """Undoes all calls of `answer`."""
        self._memory_call("clear_answers")

    def read(self, offset: int) -> int:
        check_register("read", offset, address_bits=DEVICE_ADDRESS_BITS)
        reply = self._ask(self._turns.call(), op="read", offset=int(offset))
        self._check_access("read", offset, reply["error"])
        return reply["value"]

    def write(self, offset: int, value: int) -> None:
        check_register("write", offset, value, address_bits=DEVICE_ADDRESS_BITS)
        reply = self._ask(self._turns.call(), op="write", offset=int(offset), value=int(value))
        self._check_access("write", offset, reply["error"])

    def wait_irq(self, timeout: float | None = None) -> bool:
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _SLICE if end is None else max(0.0, min(_SLICE, end - time.monotonic()))
            reply = self._ask(self._turns.slice(), op="run", seconds=left)
            if reply["error"] == "timeout":
                raise DeviceTimeout(f"waiting for irq: no transfer of the AXI manager for {self.quiet_limit} cycles")
            if reply["irq"]:
                return True
            if end is not None and time.monotonic() >= end:
                return False

    def reset(self) -> None:
        self._ask(self._turns.call(), op="reset")

    def close(self) -> None:
        with self._turns.call():
            self._finalizer()
        self.memory.close()

    def _ask(self, turn: AbstractContextManager[None], **request: Any) -> dict[str, Any]:
        """Waits for this thread's turn and makes a request. Returns the reply."""
        with turn:
            if not self._finalizer.alive:
                raise DeviceError("the device was closed; open another one")
            known = len(self.memory.regions)
            request["regions"] = [
                {"name": region.name, "address": region.address, "size": region.size, "path": str(region.path)}
                for region in self.memory.regions[self._connected : known]
            ]
            reply = self._session.ask(request)
            self._connected = known
            return self._take(reply)

    def _take(self, reply: dict[str, Any]) -> dict[str, Any]:
        self.cycles, self.core_cycles = reply["cycles"], reply["core_cycles"]
        if reply["violation"]:
            raise ProtocolError(reply["violation"])
        return reply

    def _memory_call(self, call: str, *arguments: int) -> dict[str, Any]:
        return self._ask(self._turns.call(), op="memory", call=call, arguments=arguments)["result"]

    def _want(self, wanted: bool) -> None:
        self._flag[0] = wanted

    def _check_access(self, access: str, offset: int, error: str | None) -> None:
        if error == "timeout":
            raise DeviceTimeout(f"{access} of offset {offset:#05x}: no answer in {self.quiet_limit} clock cycles")
        if error == "slverr":
            raise bus_error(access, offset)


_default_limit = quiet_limit  # the constructor has an argument of that name
