"""The core's registers: the values that they show, what writes to them do, and the counters behind them.

Plain functions that add to the core's module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amaranth.hdl import Cat, Module, Mux, Signal, Value

from hotline_hw.core.input.front import FrontTable
from hotline_hw.core.input.unpacker import Unpacker
from hotline_hw.core.output.classifier import SampleClassifier
from hotline_hw.lib.counters import CounterBank
from hotline_hw.lib.csr import CsrBank
from hotline_hw.spec.capabilities import capability_values
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import (
    COUNTERS,
    ID_VALUE,
    REGISTERS,
    Access,
    Command,
    Error,
    interface_value,
    register,
    version_value,
)

from .control import TrackerControl
from .selector import HotSetSelector

if TYPE_CHECKING:
    from .core import HotlineCore

__all__ = ["connect_commands", "connect_values", "count", "error_bits"]


def count(m: Module, events: dict[str, Value], control: TrackerControl) -> CounterBank:
    """Places the counters. `events` are their increments in a cycle."""
    m.submodules.counters = counters = CounterBank({name: len(event) for name, event in events.items()})
    for name, event in events.items():
        m.d.comb += getattr(counters, name).eq(event)
    m.d.sync += [counters.snapshot.eq(control.snapshot), counters.clear.eq(control.clear_counters)]
    return counters


def error_bits(
    unpacker: Unpacker, front: FrontTable, classifier: SampleClassifier, control: TrackerControl
) -> dict[Error, Value]:
    """Pulses that set the bits of ERROR."""
    return {
        Error.INDEX_RANGE: unpacker.index_range,
        Error.SAMPLE_TOO_LONG: unpacker.sample_too_long,
        Error.SAMPLE_OPEN: unpacker.sample_open,
        Error.BATCH_TOO_LONG: classifier.batch_too_long,
        Error.COMMAND_BUSY: control.command_busy,
        Error.COMMAND_CODE: control.command_code,
        Error.HOT_ROWS_RANGE: control.hot_rows_range,
        Error.RESTORE_LENGTH: control.restore_length,
        Error.RESTORE_ENTRY: control.restore_entry,
        Error.EMPTY_BATCH: unpacker.empty_batch,
        Error.FRONT_LENGTH: front.too_many,
    }


def connect_values(
    m: Module, g: Geometry, csr: CsrBank, control: TrackerControl, selector: HotSetSelector, counters: CounterBank,
    status: Value,
) -> None:  # fmt: skip
    """Connects the registers that only show something."""
    values: dict[str, Value | int] = {
        "HOT_COUNT": selector.hot_count,
        "THRESHOLD": selector.threshold,
        "STATUS": status,
        "HOT_ROWS": control.hot_rows,
        "INDEX_BITS": control.index_bits,
        "ID": ID_VALUE,
        "VERSION": version_value(),
        "INTERFACE": interface_value(),
        **capability_values(g, REGISTERS),
    }
    for counter in COUNTERS:
        value = getattr(counters, f"{counter.name}_value")
        values[f"COUNTER_{counter.name.upper()}_LO"] = value[:32]
        values[f"COUNTER_{counter.name.upper()}_HI"] = value[32:]
    told = {each.name for each in REGISTERS if each.access is Access.RO or each.external}
    assert values.keys() == told, f"registers without a value, or values without one: {sorted(values.keys() ^ told)}"
    for name, value in values.items():
        m.d.comb += getattr(csr, name.lower()).eq(value)


def connect_commands(
    m: Module, core: HotlineCore, csr: CsrBank, unpacker: Unpacker, control: TrackerControl, errors: dict[Error, Value],
    busy: Value, finished: Value,
) -> None:  # fmt: skip
    """Connects the registers that start or report something. With a shell, its descriptors do the same.

    Args:
        errors: `error_bits`.
        busy: A mini-batch is in the core, or was a cycle ago. It may be low in the cycle of `unpacker.started`.
        finished: Pulse. Both packets of a mini-batch have left.
    """
    # Codes are compared before one of them is chosen.
    written = {code: csr.write_data == code for code in Command}
    command_is = Cat(written.values())
    if core.geometry.working_rows:
        # A command with a packet must be a descriptor: nobody would take the packet of a written one.
        with_packet = Signal()
        m.d.comb += with_packet.eq(
            csr.command_write & Cat(written[code] for code in (Command.DUMP, Command.RESTORE, Command.SELECT)).any()
        )
        errors[Error.COMMAND_CODE] = control.command_code | with_packet
    error_set = Cat(errors[flag] for flag in Error)
    phase = csr.control[: register("CONTROL").field("phase").width]
    command_write = csr.command_write
    if core.geometry.working_rows:
        phase = Signal.like(core.phase)
        m.d.sync += phase.eq(core.phase)
        command_write = (csr.command_write & ~with_packet) | core.command_write
        command_is = Mux(core.command_write, Cat(core.command == code for code in Command), command_is)
        m.d.sync += core.command_done.eq(control.done)
        m.d.comb += [
            core.busy.eq(busy | control.running | unpacker.started),
            core.finished.eq(finished),
            core.errors.eq(csr.error_set),
            core.index_bits.eq(control.index_bits),
        ]
    m.d.comb += [
        unpacker.phase.eq(phase),
        unpacker.hold.eq(control.hold),
        control.busy.eq(busy | unpacker.started),
        control.command_write.eq(command_write),
        control.hot_rows_write.eq(csr.hot_rows_write),
        control.command_is.eq(command_is),
        control.write_data.eq(csr.write_data),
    ]
    m.d.sync += [csr.error_set.eq(error_set), csr.irq_status_set.eq(Cat(finished, control.done, error_set.any()))]
