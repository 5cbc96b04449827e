"""The accelerator's registers: capabilities, commands that move no data, counters, and a description of them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hotline_device.checks import quiet_limit
from hotline_device.device import BusError, Device, DeviceTimeout
from hotline_host.errors import DriverError
from hotline_hw import __version__
from hotline_hw.spec.capabilities import CAPABILITIES, parameters
from hotline_hw.spec.params import Geometry, GeometryError
from hotline_hw.spec.regmap import (
    COUNTERS,
    ID_VALUE,
    INTERFACE,
    REGISTERS,
    Access,
    Command,
    Irq,
    Register,
    counter_offset,
    register,
)
from hotline_hw.spec.shell_registers import DMA_COUNTERS, SHELL_REGISTERS, DmaCommand, dma_counter_offset

from .rings import core_errors

__all__ = ["Control", "RegisterState", "discover"]

_ALL_IRQ = int(sum(Irq))


@dataclass(frozen=True)
class RegisterState:
    """A register and its value, None if it cannot be read. `fields` are (name, value, meaning), lowest bit first."""

    name: str
    offset: int
    access: Access
    doc: str
    value: int | None
    fields: list[tuple[str, int | None, str]]


class Control:
    """The registers of one accelerator. No descriptor may be under way when a command is run.

    The constructor waits for the clearing walk after reset, and drops errors of an earlier owner.

    Attributes:
        geometry: read from the capability registers.

    Raises:
        DriverError: the device is not a Hotline core, or has another interface.
    """

    def __init__(self, device: Device, timeout: float) -> None:
        self.device, self.timeout = device, timeout
        self.geometry = discover(device)
        self._await_idle("its reset")
        self.write("IRQ_ENABLE", 0)
        self.write("ERROR", self.read("ERROR"))
        self.write("IRQ_STATUS", _ALL_IRQ)

    def command(self, command: Command) -> None:
        """Runs a command that moves no data."""
        self.operate(command.name, lambda: self.write("COMMAND", int(command)))

    def operate(self, work: str, act: Callable[[], None]) -> None:
        """Calls `act`, and returns when the operation that it starts has ended and the core is idle.

        Raises:
            DriverError: the core reports an error.
            DeviceTimeout: the operation does not end.
        """
        self.write("IRQ_STATUS", _ALL_IRQ)
        self.write("IRQ_ENABLE", int(Irq.COMMAND_DONE | Irq.ERROR))
        try:
            act()
            if not self.device.wait_irq(self.timeout):
                raise DeviceTimeout(f"{work}: no interrupt in {self.timeout:g} s")
            self._await_idle(work)
        finally:
            self.write("IRQ_ENABLE", 0)  # descriptors set these bits too, but have interrupts of their own
        causes = self.read("IRQ_STATUS")
        self.write("IRQ_STATUS", causes)
        if errors := self.read("ERROR"):
            self.write("ERROR", errors)
            raise DriverError(f"{work}: the accelerator reports {core_errors(errors)}")
        if not causes & Irq.COMMAND_DONE:
            raise DriverError(f"{work}: the core is idle and raised {Irq(causes)!r}, but not COMMAND_DONE")

    # Counters

    def counters(self) -> dict[str, int | None]:
        """Every counter of core and shell by name. Those of the core are of one instant, and so are the shell's.

        Timing counters are None on a backend without a clock: there mini-batches take no cycles.
        """
        self.command(Command.SNAPSHOT)
        self.write("DMA_COMMAND", int(DmaCommand.SNAPSHOT))
        values: dict[str, int | None] = {counter.name: self.counter(counter.name) for counter in COUNTERS}
        values |= {counter.name: self._wide(dma_counter_offset(counter.name)) for counter in DMA_COUNTERS}
        if values["batches"] and not values["cycles"]:
            values |= {counter.name: None for counter in (*COUNTERS, *DMA_COUNTERS) if counter.timing}
        return values

    def counter(self, name: str) -> int:
        """A counter of the core, at the last snapshot."""
        return self._wide(counter_offset(name))

    def reset_counters(self) -> None:
        self.command(Command.RESET_COUNTERS)
        self.write("DMA_COMMAND", int(DmaCommand.RESET_COUNTERS))

    def _wide(self, low: int) -> int:
        return self.device.read(low) | self.device.read(low + 4) << 32

    # Registers

    def read(self, name: str) -> int:
        return self.device.read(_find(name).offset)

    def write(self, name: str, value: int) -> None:
        self.device.write(_find(name).offset, value)

    def describe(self) -> list[RegisterState]:
        """Every register in ascending order of offsets, with the values of its fields."""
        states = []
        for each in sorted((*REGISTERS, *SHELL_REGISTERS), key=lambda register: register.offset):
            value = None if each.access == Access.WO else self.device.read(each.offset)
            fields = [
                (field.name, None if value is None else field.get(value), field.doc)
                for field in sorted(each.fields, key=lambda field: field.low)
            ]
            states.append(RegisterState(each.name, each.offset, each.access, each.doc, value, fields))
        return states

    def _await_idle(self, work: str) -> None:
        limit = quiet_limit(self.geometry)  # a read takes a cycle or more
        busy = register("STATUS").field("busy")
        for _ in range(limit):
            if not busy.get(self.read("STATUS")):
                return
        raise DeviceTimeout(f"the core was still busy with {work} after {limit} reads of STATUS")


def discover(device: Device) -> Geometry:
    """The geometry, read from the capability registers.

    Raises:
        DriverError: not a Hotline core, an interface that this driver does not know, or impossible capabilities.
    """

    def read(name: str) -> int:
        return device.read(_find(name).offset)

    if (found := read("ID")) != ID_VALUE:
        raise DriverError(f"there is no Hotline core here: ID reads {found:#010x}, and not {ID_VALUE:#010x}")
    interface, wanted = _interface(device), "{}.{}".format(*INTERFACE)
    if interface["major"] != INTERFACE[0] or interface["minor"] < INTERFACE[1]:
        version = "{major}.{minor}.{patch}".format(**register("VERSION").unpack(read("VERSION")))
        raise DriverError(
            "the accelerator (version {}) has interface {major}.{minor}, this driver (version {}) needs {}; major must "
            "be the same, and minor no less: use an accelerator and a driver of one release".format(
                version, __version__, wanted, **interface
            )
        )
    values = parameters({register.name: read(register.name) for register in CAPABILITIES})
    try:
        return Geometry(name="discovered", **values)
    except GeometryError as error:
        raise DriverError(f"the capability registers describe no accelerator: {error}") from None


def _interface(device: Device) -> dict[str, int]:
    """The INTERFACE register; 0.0 of an accelerator from before there was one."""
    it = _find("INTERFACE")
    try:
        return it.unpack(device.read(it.offset))
    except BusError:
        return it.unpack(0)


def _find(name: str) -> Register:
    return _BY_NAME[name]


_BY_NAME = {each.name: each for each in (*REGISTERS, *SHELL_REGISTERS)}
