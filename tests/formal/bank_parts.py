"""Parts of a bank that can be looked into: what they are made of is in `inside`, and memories are of registers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Cat, Shape, Value
from amaranth.lib.wiring import In

from hotline_hw.core.bank.bank import PopularityBank
from hotline_hw.core.bank.intake import BankIntake
from hotline_hw.core.bank.sample_aware import row_ports
from hotline_hw.lib.queues import MultiPopQueue, MultiPushQueue
from hotline_hw.spec.params import Geometry
from tests.formal.dma_parts import with_parts
from tests.formal.inside import elaborated, keep_signals
from tests.formal.stores import Store

__all__ = ["intake", "pop_queue", "queued", "row_bits", "rows_of"]


def _queue(block: type, how: dict) -> Any:
    queue = with_parts(block, memory=SimpleNamespace(Memory=Store))(**how)
    queue.inside = elaborated(queue, keep_signals(queue, "elaborate", of=block))
    return queue


def _push_queue(**how: Any) -> MultiPushQueue:
    return _queue(MultiPushQueue, how)


def pop_queue(**how: Any) -> MultiPopQueue:
    return _queue(MultiPopQueue, how)


def intake(*how: Any) -> BankIntake:
    part = with_parts(BankIntake, MultiPushQueue=_push_queue)(*how)
    part.inside = elaborated(part, keep_signals(part, "elaborate", of=BankIntake))
    return part


def queued(queue: Any) -> list:
    """The queue's places, in the order in which pointers count."""
    lanes = [queue.inside.m.submodules[f"lane{number}"].rows for number in range(queue.ports)]
    return [lanes[index % queue.ports][index // queue.ports] for index in range(queue.depth)]


def _row_inputs(geometry: Geometry) -> dict[str, int]:
    """Widths of the bank's inputs that are registered on their way to the tracker's rows.

    Something must drive them: Yosys refuses a register behind an input that nothing does.
    """
    ports = {name: port for name, port in row_ports(geometry).items() if port.flow == In and port.is_port}
    return {name: Shape.cast(port.shape).width for name, port in ports.items()}


def row_bits(geometry: Geometry) -> int:
    """Width of all of them."""
    return sum(_row_inputs(geometry).values())


def rows_of(bank: PopularityBank, geometry: Geometry) -> Value:
    """All of them, of this bank."""
    return Cat(Value.cast(getattr(bank, name)) for name in _row_inputs(geometry))
