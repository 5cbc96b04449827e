"""Descriptors, completions and the result formats in host memory. Plain data: the one place that holds their layout.

Both rings have entries of ENTRY_BYTES, little-endian 32-bit words. Buffers begin at multiples of BUFFER_ALIGN.

    descriptor                                        completion
    0    opcode 7:0, flags 15:8, the rest zero        0      tag of the descriptor
    1    tag, comes back in the completion            1      31 generation, 15:8 status, 7:0 opcode
    2,3  source address                               2      samples
    4    count                                        3      popular samples
    5    tables, or bytes of a row                    4      words of the popular micro-batch
    6,7  target 0                                     5      words of the non-popular micro-batch
    8,9  target 1                                     6      unique cold rows that are not held; rows written (GATHER,
    10,11 target 2                                           DUMP), events (SELECT)
    12-15 zero                                        7      unique cold rows that are held
                                                      8      bits of the core's ERROR that were set meanwhile
                                                      9      clock cycles from decoding to this completion
                                                      10,11  address that could not be accessed, where known
                                                      12-15  zero
    The generation bit is 1 in the first round of the completion ring, 0 in the second, and so on: a host that polls
    memory that was zero at first sees by it what is new.

    opcode     source              count      word 5           target 0        target 1         target 2
    FENCE      -                   0          0                -               -                -
    LEARN      lookups             lookups    tables, or 0     -               -                -
    CLASSIFY   lookups             lookups    tables, or 0     popular words   non-popular      summary
    GATHER     - (LIST: lookups)   0 (LIST:   row bytes        rows            keys (KEYS)      -
                                   lookups)
    DUMP       -                   0          0                state           -                -
    RESTORE    state               rows       0                -               -                -
    SELECT     -                   0          0                events          -                -

Lookups, with word 5 zero: 64-bit lookup words of `words`. With word 5 = T (1 to 256): 32-bit rows; lookup i
is of table i modulo T, and every T of them are a sample.

Result words have 32 bits: 31 last of its sample; 30 hit; 29:0 slot where hit, else the row's place among the working
parameters: 29 held, 28:22 bank, 21:0 number in that bank's list, all ones if the lists had no room. A place p is row
`first[p >> 22] + (p & 0x3fffff)` of the working parameters, where `first` is the exclusive cumulative sum of the counts
below.

Summary: SUMMARY_LISTS 32-bit counts, the unique cold rows in list 128 * held + bank (those of banks that do not exist
are not written); then a bit a sample (bit s & 7 of byte s >> 3, whole 32-bit words), 1 where it is popular.

GATHER writes the rows of the mini-batch that was last classified, in order of lists: those not held, or with HELD
those held, the first of either at target 0. Keys: a 64-bit word a row, as a lookup word without `last`. With LIST, the
rows that the lookups in memory name instead. State: entry and slot words as on m_axis_state. Events:
EVENT_BYTES each, two words; the last is the closing beat.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from .words import Field

__all__ = [
    "BUFFER_ALIGN", "COLD_BANK", "COLD_HELD", "COLD_LOCAL", "ENTRY_BYTES", "EVENT_BYTES", "GRANULE_BYTES", "HIT_BIT",
    "LAST_BIT", "MAX_BANKS", "MAX_COUNT", "MAX_ROW_BYTES", "MAX_TABLES32",
    "NOT_LISTED", "SUMMARY_BYTES", "SUMMARY_LISTS", "VALUE_FIELD", "Flag", "Opcode", "Status",
]  # fmt: skip

ENTRY_BYTES = 64
BUFFER_ALIGN = 64
GRANULE_BYTES = 16
"""Rows, strides and table addresses are multiples of this: four float32, as FBGEMM asks too."""
EVENT_BYTES = 16
MAX_TABLES32 = 256
MAX_COUNT = 1 << 26
"""Most lookups of a descriptor."""
MAX_ROW_BYTES = 4096

LAST_BIT, HIT_BIT = Field(31, 1), Field(30, 1)
VALUE_FIELD = Field(0, 30)
COLD_HELD, COLD_BANK, COLD_LOCAL = Field(29, 1), Field(22, 7), Field(0, 22)
NOT_LISTED = (1 << 30) - 1
MAX_BANKS = 128
SUMMARY_LISTS = 2 * MAX_BANKS
SUMMARY_BYTES = 4 * SUMMARY_LISTS


class Opcode(IntEnum):
    FENCE = 1  # nothing but its completion: all before it is done
    LEARN = 2  # a mini-batch trains the tracker
    CLASSIFY = 3  # a mini-batch is split; with Flag.LEARN the tracker learns from it too
    GATHER = 4  # rows by DMA
    DUMP = 5  # the tracker's contents to memory
    RESTORE = 6  # and back
    SELECT = 7  # the hot rows are chosen anew


class Flag(IntFlag):
    INTERRUPT = 1 << 0  # no coalescing: interrupt with this completion
    LEARN = 1 << 1  # CLASSIFY: RELEARN
    HELD = 1 << 2  # GATHER: the rows that the mini-batch classified before had among its cold rows too
    KEYS = 1 << 3  # GATHER: the keys of the rows too
    LIST = 1 << 4  # GATHER: of a list in memory


class Status(IntEnum):
    """How a descriptor ended. All but OK leave its outputs undefined, except where they say otherwise."""

    OK = 0
    OPCODE = 1  # unknown opcode, flags that it does not have, or reserved bits
    ALIGNMENT = 2  # an address or a size is no multiple of what it must be
    LENGTH = 3  # a count or a size of zero, or beyond what can be
    WINDOW = 4  # a buffer, or a row, is not in any window with that right
    READ = 5  # a read was answered with SLVERR or DECERR
    WRITE = 6  # a write was
    TABLE = 7  # GATHER: a table that was not set up
    ROW = 8  # GATHER: a row beyond its table
    CORE = 9  # the core reports errors; other outputs are as good as these leave them
    WORKING = 10  # CLASSIFY: more unique cold rows than a bank's list holds; all but the lists is right
    ABORTED = 11  # DMA_CONTROL.enable was cleared
