"""Where a descriptor may write, however it ends."""

from __future__ import annotations

from hotline_device.ring_entries import Descriptor
from hotline_hw.spec.descriptors import BUFFER_ALIGN, EVENT_BYTES, SUMMARY_BYTES, Flag, Opcode
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import WORD_BYTES

from .memory import Extent

__all__ = ["outputs"]


def outputs(it: Descriptor, geometry: Geometry, state_rows: int) -> list[Extent]:
    """The descriptor's output buffers. `state_rows`: beats of a DUMP under the present budget."""
    one, two, three = it.targets
    match it.opcode:
        case Opcode.CLASSIFY:
            summary = SUMMARY_BYTES + -(-it.count // (8 * BUFFER_ALIGN)) * BUFFER_ALIGN
            return [Extent(one, 4 * it.count), Extent(two, 4 * it.count), Extent(three, summary)]
        case Opcode.GATHER:
            rows = it.count if it.flags & Flag.LIST else geometry.working_rows
            keys = [Extent(two, rows * WORD_BYTES)] if it.flags & Flag.KEYS else []
            return [Extent(one, rows * it.operand), *keys]
        case Opcode.DUMP:
            return [Extent(one, state_rows * geometry.ways * WORD_BYTES)]
        case Opcode.SELECT:
            return [Extent(one, (geometry.max_moves + 1) * EVENT_BYTES)]
    return []
