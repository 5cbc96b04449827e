"""`ModelCore`: the golden model of the stream core, behind its registers and streams."""

from __future__ import annotations

import numpy as np

from hotline_device.device import BusError, DeviceError, DeviceTimeout
from hotline_hw.spec.capabilities import capability_values
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.policy import unpack_policy
from hotline_hw.spec.regmap import (
    COUNTERS,
    POLICY_REGISTERS,
    REGISTERS,
    Access,
    Command,
    Error,
    Irq,
    Phase,
    Register,
    counter_offset,
    register,
)
from hotline_sim.checks import check_batches, check_entries
from hotline_sim.model.compiled.core import CompiledCore
from hotline_sim.stream_core import Results, StreamCore

from .core import GoldenCore

__all__ = ["ModelCore"]

_BY_OFFSET = {register.offset: register for register in REGISTERS}


class ModelCore(StreamCore):
    """A stream core that answers immediately. Timing counters read zero.

    The core is busy only from a DUMP, RESTORE or SELECT command until its packet is transferred. The hardware follows
    these rules too:

    - While busy, a write to COMMAND or HOT_ROWS raises COMMAND_BUSY, whatever its value; only SNAPSHOT is allowed.
    - All 32 bits of a write to COMMAND are the code.
    - The registers of `Policy` may be written at any time; later mini-batches and commands use the new values.
    - Every occurrence of an error sets its bit in ERROR and IRQ_STATUS.error, even if it was set before. The two are
      cleared separately.
    - Bits outside a register's fields read as zero; writing them has no effect.

    Args:
        geometry: what the accelerator is built with.
        reference: use `GoldenCore`, which is slow, instead of `CompiledCore`.
    """

    def __init__(self, geometry: Geometry, *, reference: bool = False) -> None:
        self.geometry = geometry
        self._core: GoldenCore | None = (GoldenCore if reference else CompiledCore)(geometry)
        self._capabilities = {
            register(name).offset: value for name, value in capability_values(geometry, REGISTERS).items()
        }
        self._snapshot = {counter.name: 0 for counter in COUNTERS}
        self._policy = {name: register(name).reset or 0 for name in POLICY_REGISTERS}
        self._scratch = 0
        self._control = int(Phase.LEARN)
        self._phase = Phase.LEARN  # of the newest mini-batch
        self._command: Command | None = None  # the command whose packet has not been transferred yet
        self._events = np.empty((0, geometry.ways), np.uint64)  # of the last SELECT
        self._error = Error(0)
        self._irq_status = Irq(0)
        self._irq_enable = Irq(0)

    @property
    def core(self) -> GoldenCore:
        """The golden model behind the registers."""
        if self._core is None:
            raise DeviceError("the device was closed; open another one")
        return self._core

    @property
    def irq(self) -> bool:
        """Level of the interrupt line."""
        return bool(self._irq_status & self._irq_enable)

    # Registers

    def read(self, offset: int) -> int:
        register = self._register(offset, "read")
        if register.access == Access.WO:
            return 0
        if offset in self._capabilities:
            return self._capabilities[offset]
        if register.name in self._policy:
            return self._policy[register.name]
        match register.name:
            case "SCRATCH":
                return self._scratch
            case "CONTROL":
                return self._control
            case "STATUS":
                busy = self._command is not None
                return (
                    busy << register.field("busy").low
                    | busy << register.field("command").low
                    | self._phase << register.field("phase").low
                )
            case "HOT_ROWS":
                return self.core.hot_rows
            case "INDEX_BITS":
                return self.core.index_bits
            case "HOT_COUNT":
                return self.core.hot_count
            case "THRESHOLD":
                return self.core.threshold
            case "ERROR":
                return int(self._error)
            case "IRQ_STATUS":
                return int(self._irq_status)
            case "IRQ_ENABLE":
                return int(self._irq_enable)
        for counter in COUNTERS:
            low = counter_offset(counter.name)
            if low <= offset < low + 8:
                return self._snapshot[counter.name] >> 8 * (offset - low) & 0xFFFF_FFFF
        assert register.reset is not None, f"{register.name} has no rule"
        return register.reset

    def write(self, offset: int, value: int) -> None:
        register = self._register(offset, "write")
        if not 0 <= value < 1 << 32:
            raise ValueError(f"{value:#x} does not fit register {register.name}, which has 32 bits")
        if register.access == Access.RO:
            raise BusError(f"write of offset {offset:#05x} was answered with SLVERR: {register.name} is read-only")
        if register.name in self._policy:
            self._policy[register.name] = value & sum(field.mask for field in register.fields)
            self.core.policy.__dict__.update(vars(unpack_policy(self._policy)))
            return
        match register.name:
            case "SCRATCH":
                self._scratch = value
            case "CONTROL":
                self._control = register.field("phase").get(value)
            case "HOT_ROWS":
                self._write_hot_rows(value)
            case "COMMAND":
                self._write_command(value)
            case "ERROR":
                self._error &= ~Error(value & sum(Error))
            case "IRQ_STATUS":
                self._irq_status &= ~Irq(value & sum(Irq))
            case "IRQ_ENABLE":
                self._irq_enable = Irq(value & sum(Irq))

    def _register(self, offset: int, access: str) -> Register:
        self.core  # noqa: B018  a closed device answers nothing
        if offset not in _BY_OFFSET:
            raise BusError(f"{access} of offset {offset:#05x} was answered with SLVERR: there is no register")
        return _BY_OFFSET[offset]

    def _write_hot_rows(self, hot_rows: int) -> None:
        if self._command is not None:
            self._raise(Error.COMMAND_BUSY)
        elif self.core.set_hot_rows(hot_rows):
            self._irq_status |= Irq.COMMAND_DONE
        self._collect_errors()

    def _write_command(self, code: int) -> None:
        if self._command is not None and code != Command.SNAPSHOT:
            return self._raise(Error.COMMAND_BUSY)
        if code not in list(Command):
            return self._raise(Error.COMMAND_CODE)
        match Command(code):
            case Command.DUMP | Command.RESTORE | Command.SELECT:
                self._command = Command(code)  # ends with its packet
                if code == Command.SELECT:
                    self._events = self.core.select()
                return
            case Command.CLEAR:
                self.core.clear()
            case Command.SNAPSHOT:
                self._snapshot.update(self.core.counters)
            case Command.RESET_COUNTERS:
                self.core.reset_counters()
        self._irq_status |= Irq.COMMAND_DONE

    def _raise(self, error: Error) -> None:
        self._error |= error
        self._irq_status |= Irq.ERROR

    def _collect_errors(self) -> None:
        if self.core.errors:
            self._raise(self.core.errors)
            self.core.errors = Error(0)

    # Streams

    def stream(self, words: np.ndarray, ends: np.ndarray) -> Results:
        words, ends = check_batches(words, ends)
        starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
        self._await_no_command("s_axis_lookup")

        packets = []
        for start, end in zip(starts, ends, strict=True):
            packets.append(self.core.run_batch(words[start:end], self._control))
            self._phase = Phase(self._control)
            self._irq_status |= Irq.BATCH_DONE
        self._collect_errors()
        popular, popular_ends = _end_to_end([packet[0] for packet in packets])
        nonpopular, nonpopular_ends = _end_to_end([packet[1] for packet in packets])
        return Results(popular, popular_ends, nonpopular, nonpopular_ends)

    def receive_state(self, rows: int, ways: int) -> np.ndarray:
        self._await_command(Command.DUMP, "m_axis_state has no packet")
        entries = self.core.dump()
        if entries.shape != (rows, ways):
            raise DeviceError(
                f"m_axis_state holds {entries.shape[0]} rows of {entries.shape[1]} entries, not {rows} of {ways}"
            )
        self._end_command()
        return entries

    def receive_events(self, limit: int, ways: int) -> np.ndarray:
        self._await_command(Command.SELECT, "m_axis_state has no packet")
        if len(self._events) > limit or ways != self.geometry.ways:
            raise DeviceError(
                f"m_axis_state holds {len(self._events)} beats of {self.geometry.ways} words, "
                f"not at most {limit} of {ways}"
            )
        self._end_command()
        return self._events

    def send_state(self, entries: np.ndarray) -> None:
        entries = check_entries(entries, self.geometry.ways)
        self._await_command(Command.RESTORE, "s_axis_state is not ready")
        self.core.restore(entries)
        self._collect_errors()
        self._end_command()

    def wait_irq(self) -> None:
        if not self.irq:
            raise DeviceTimeout(
                f"irq stayed low: IRQ_STATUS is {self._irq_status!r}, IRQ_ENABLE is {self._irq_enable!r}, "
                "and the model has nothing under way that could raise it"
            )

    def close(self) -> None:
        self._core = None

    def _await_no_command(self, port: str) -> None:
        self.core  # noqa: B018  a closed device answers nothing
        if self._command is not None:
            raise DeviceTimeout(f"{port} is not ready: {self._command.name} awaits its packet")

    def _await_command(self, command: Command, trouble: str) -> None:
        self.core  # noqa: B018  a closed device answers nothing
        if self._command != command:
            raise DeviceTimeout(f"{trouble}: write {command.name} to COMMAND first")

    def _end_command(self) -> None:
        self._command = None
        self._irq_status |= Irq.COMMAND_DONE


def _end_to_end(packets: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Packets as one array, and where each ends: uint64 [n], int64 [P]."""
    ends = np.cumsum([len(packet) for packet in packets], dtype=np.int64)
    return np.concatenate(packets or [np.empty(0, np.uint64)]), ends
