"""Layout of the words on the three AXI4-Stream interfaces. Plain data: the one place that holds bit positions.

Every word has 64 bits. The geometry does not move its fields. Word i of a beat is `tdata[64*i +: 64]`. Unused
high bits of a field are zero.

    lookup word (s_axis_lookup)          result word (m_axis_popular, m_axis_nonpopular)
    63     last lookup of its sample     63     last lookup of its sample
    62:40  reserved, zero                62     hit
    39:32  table                         61:40  sample, its index in the mini-batch
    31:0   row                           39:32  table
                                         31:0   slot where hit, row where not
    entry word (s_axis_state, m_axis_state), a beat of them a set
    63     valid
    62     hot
    61     referenced since the set's last aging
    60     reserved, zero
    59:48  counter
    47:40  reserved, zero
    39:0   tag

    slot word: a second beat a set       event: a beat of SELECT's answer (m_axis_state)
    63:56  the set's age (word 0 alone)  word 0   63     1
    55:32  reserved, zero                         62:40  slot
    31:0   slot, zero where not hot               39:0   mixed key of the row that becomes hot
                                         word 1   63     a row leaves the slot
                                                  39:0   its mixed key
    The answer ends with a beat that tells what SELECT found:
    word 0: 62:32 hot entries not referenced since their sets' last aging, 31:0 rows that are hot now
    word 1: 62:32 cold entries that were, 31:0 the threshold
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "AGE_FIELD", "CLOSE_HIGH", "CLOSE_LOW", "COUNTER_FIELD", "ENTRY_HOT", "ENTRY_REFERENCED",
    "ENTRY_TAG", "ENTRY_VALID", "EVENT_KEY", "EVENT_VALID", "HIT_FIELD", "LAST_FIELD", "PAYLOAD_FIELD",
    "ROW_FIELD", "RESERVED_FIELD",
    "SAMPLE_FIELD", "SLOT_FIELD", "SLOT_WORD_SLOT", "TABLE_FIELD", "WEIGHT_BITS", "WORD_BITS", "WORD_BYTES", "Field",
]  # fmt: skip

WORD_BITS = 64
WORD_BYTES = 8


class Field(NamedTuple):
    """A bit field: lowest bit and width in bits. It works on integers and on uint64 arrays alike."""

    low: int
    width: int

    @property
    def high(self) -> int:
        return self.low + self.width - 1

    @property
    def mask(self) -> int:
        """The field's ones, right-aligned."""
        return (1 << self.width) - 1


ROW_FIELD = Field(0, 32)
TABLE_FIELD = Field(32, 8)
PAYLOAD_FIELD = Field(0, 40)
RESERVED_FIELD = Field(40, 23)
SAMPLE_FIELD = Field(40, 22)
HIT_FIELD = Field(62, 1)
LAST_FIELD = Field(63, 1)

ENTRY_TAG = Field(0, 40)
ENTRY_VALID = Field(63, 1)
ENTRY_HOT = Field(62, 1)
ENTRY_REFERENCED = Field(61, 1)
COUNTER_FIELD = Field(48, 12)

SLOT_WORD_SLOT = Field(0, 32)
AGE_FIELD = Field(56, 8)

WEIGHT_BITS = 5
"""Width of an update weight: what a lookup adds to its row's counter."""

EVENT_KEY = Field(0, 40)
SLOT_FIELD = Field(40, 23)
EVENT_VALID = Field(63, 1)
CLOSE_LOW, CLOSE_HIGH = Field(0, 32), Field(32, 31)
