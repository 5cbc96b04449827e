"""Layout of the words on the three AXI4-Stream interfaces. Plain data: the one place that holds bit positions.

Every word has 64 bits and its fields stand where they stand whatever the geometry. Word i of a beat is
`tdata[64*i +: 64]`; unused high bits of a field are zero.

    lookup word (s_axis_lookup)          result word (m_axis_popular, m_axis_nonpopular)
    63     last lookup of its sample     63     last lookup of its sample
    62:40  reserved, zero                62     hit
    39:32  table                         61:40  sample, its index in the mini-batch
    31:0   row                           39:32  table
                                         31:0   slot where hit, row where not
    entry word (s_axis_state, m_axis_state)
    63     valid
    62:52  reserved, zero
    51:48  re-reference prediction value
    47:40  reserved, zero
    39:0   tag
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "ENTRY_RRPV", "ENTRY_TAG", "ENTRY_VALID", "HIT_FIELD", "LAST_FIELD", "PAYLOAD_FIELD", "ROW_FIELD", "RESERVED_FIELD",
    "SAMPLE_FIELD", "TABLE_FIELD", "WORD_BITS", "WORD_BYTES", "Field",
]  # fmt: skip

WORD_BITS = 64
WORD_BYTES = 8


class Field(NamedTuple):
    """A bit field: lowest bit and width in bits. Works on integers and on uint64 arrays alike."""

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
ENTRY_RRPV = Field(48, 4)
ENTRY_VALID = Field(63, 1)
