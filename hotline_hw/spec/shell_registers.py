"""Registers of the DMA shell. Plain data, like `hotline_hw.spec.regmap`, and its rules hold here too.

They begin SHELL_BASE above the core's registers, on the same AXI4-Lite port. Offsets here are the whole device's.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from .regmap import Access, BitField, Counter, Register

__all__ = [
    "DEVICE_ADDRESS_BITS", "DMA_COUNTERS", "MAX_RING_LOG2", "SHELL_BASE", "SHELL_REGISTERS", "WINDOWS", "DmaCommand",
    "DmaError", "DmaIrq", "dma_counter_offset", "shell_register", "window_offset",
]  # fmt: skip

SHELL_BASE = 0x1000
DEVICE_ADDRESS_BITS = 13
WINDOWS = 8
MAX_RING_LOG2 = 12
_WINDOW_BASE, _COUNTER_BASE = 0x1080, 0x1100


class DmaCommand(IntEnum):
    """Codes for DMA_COMMAND."""

    SNAPSHOT = 1
    RESET_COUNTERS = 2
    RESET = 3


class DmaIrq(IntFlag):
    """Bits of DMA_IRQ_STATUS and DMA_IRQ_ENABLE."""

    COMPLETION = 1 << 0  # completions wait, as many or as long as DMA_COALESCE says
    ERROR = 1 << 1  # a bit of DMA_ERROR was set


class DmaError(IntFlag):
    """Bits of DMA_ERROR: errors that no completion can report. Each is sticky."""

    DOORBELL = 1 << 0  # a ring index was written beyond the ring, or a ring while enabled: ignored
    COMPLETIONS_FULL = 1 << 1  # the completion ring is full: descriptors wait until its consumer index moves
    DESCRIPTOR_READ = 1 << 2  # a descriptor could not be read: none is fetched until enable is cleared and set
    COMPLETION_WRITE = 1 << 3  # a completion could not be written: no descriptor is begun until then either


_ERROR_DOCS = {
    DmaError.DOORBELL: "a ring index was written beyond the ring, or a ring's place while enabled; ignored",
    DmaError.COMPLETIONS_FULL: "the completion ring was full; descriptors wait until CPL_CONSUMER moves",
    DmaError.DESCRIPTOR_READ: "a descriptor could not be read; none is fetched until enable is cleared and set",
    DmaError.COMPLETION_WRITE: "a completion could not be written; none begins until enable is cleared and set",
}
_IRQ_DOCS = {
    DmaIrq.COMPLETION: "completions wait, as many or as long as DMA_COALESCE says",
    DmaIrq.ERROR: "a bit of DMA_ERROR was set",
}


def _bits(docs: dict) -> tuple[BitField, ...]:
    return tuple(BitField(str(flag.name).lower(), flag.bit_length() - 1, 1, doc) for flag, doc in docs.items())


# Each clock cycle with a descriptor under way is exactly one of these, so they sum up to dma_cycles.
DMA_COUNTERS: tuple[Counter, ...] = (
    Counter("descriptors", "a descriptor that was completed"),
    Counter("failed_descriptors", "a descriptor that was completed with a status other than OK"),
    Counter("rows_gathered", "a row that GATHER brought"),
    Counter("bytes_read", "a byte that m_axi brought, in whole beats", timing=True),
    Counter("bytes_written", "a byte that m_axi took, in whole beats", timing=True),
    Counter("dma_cycles", "a clock cycle with a descriptor under way or waiting in the ring", timing=True),
    Counter("dma_useful", "such a cycle in which a beat of lookups, rows, a list or state moved",
            timing=True),
    Counter("dma_core", "such a cycle in which the core held a beat back, or was at work alone", timing=True),
    Counter("dma_read", "such a cycle in which data, or a descriptor, was due from memory", timing=True),
    Counter("dma_write", "such a cycle in which memory held writes back, or their responses were due", timing=True),
    Counter("dma_overhead", "any other such cycle: decoding descriptors, completing them", timing=True),
)  # fmt: skip


def dma_counter_offset(name: str) -> int:
    """Byte offset of the low half of a counter's snapshot. The high half is 4 bytes above."""
    return _COUNTER_BASE + 8 * next(i for i, counter in enumerate(DMA_COUNTERS) if counter.name == name)


def window_offset(index: int) -> int:
    """Byte offset of WINDOW_<index>_LO. _HI, _PAGES and _CONTROL follow, 4 bytes each."""
    return _WINDOW_BASE + 16 * index


def _window(index: int) -> tuple[Register, ...]:
    at, doc = window_offset(index), f"Window {index}: memory that the accelerator may touch."
    return (
        Register(f"WINDOW_{index}_LO", at, Access.RW, doc, (BitField("address", 12, 20, "address, bits 31:12"),)),
        Register(f"WINDOW_{index}_HI", at + 4, Access.RW, doc, (BitField("address", 0, 32, "address, bits 63:32"),)),
        Register(f"WINDOW_{index}_PAGES", at + 8, Access.RW, doc, (BitField("pages", 0, 32, "size in 4 KiB"),)),
        Register(f"WINDOW_{index}_CONTROL", at + 12, Access.RW, doc,
                 (BitField("read", 0, 1, "the accelerator may read there"),
                  BitField("write", 1, 1, "and write"))),
    )  # fmt: skip


_HALVES = (("LO", "31:0"), ("HI", "63:32"))
_INDEX = "free-running, 16 bits; the entry is the index modulo the ring's size"


def _counter(counter: Counter) -> tuple[Register, ...]:
    low = dma_counter_offset(counter.name)
    kind = "timing" if counter.timing else "function of the input"
    doc = f"Counter ({kind}), snapshot: {counter.doc}."
    return tuple(
        Register(f"COUNTER_{counter.name.upper()}_{half}", low + 4 * at, Access.RO, doc,
                 (BitField("count", 0, 32, f"bits {bits}"),))
        for at, (half, bits) in enumerate(_HALVES)
    )  # fmt: skip


SHELL_REGISTERS: tuple[Register, ...] = (
    Register("CAP_DMA", 0x1000, Access.RO, "Capability: the AXI4 manager.",
             (BitField("log2_axi_bytes", 0, 8, "log2 of the bytes of a beat"),
              BitField("windows", 8, 8, "memory windows"),
              BitField("log2_read_tags", 16, 8, "log2 of the reads that may be outstanding"),
              BitField("log2_read_beats", 24, 8, "log2 of the beats that may be")), None),
    Register("CAP_WORKING", 0x1004, Access.RO, "Capability: working parameters.",
             (BitField("working_rows", 0, 32, "most unique cold rows of a mini-batch, all banks together"),), None),
    Register("DMA_CONTROL", 0x1008, Access.RW, "Control of the rings.",
             (BitField("enable", 0, 1, "descriptors are fetched; cleared: the one under way is ABORTED; once no longer "
                                       "running, all four ring indexes are 0"),)),
    Register("DMA_STATUS", 0x100C, Access.RO, "Status of the rings.",
             (BitField("running", 0, 1, "a descriptor is under way, or being fetched"),
              BitField("reading", 1, 1, "reads are outstanding"),
              BitField("writing", 2, 1, "writes are outstanding"),
              BitField("full", 3, 1, "descriptors wait for room in the completion ring"),
              BitField("quiescing", 4, 1, "bursts from before a reset are awaited; new ones wait for them"))),
    Register("RING_LO", 0x1010, Access.RW, "Descriptor ring.",
             (BitField("address", 6, 26, "bits 31:6"),), external=True),
    Register("RING_HI", 0x1014, Access.RW, "Descriptor ring.",
             (BitField("address", 0, 32, "bits 63:32"),), external=True),
    Register("CPL_LO", 0x1018, Access.RW, "Completion ring.",
             (BitField("address", 6, 26, "bits 31:6"),), external=True),
    Register("CPL_HI", 0x101C, Access.RW, "Completion ring.",
             (BitField("address", 0, 32, "bits 63:32"),), external=True),
    Register("RING_SIZE", 0x1020, Access.RW, "Entries of either ring.",
             (BitField("log2_size", 0, 4, f"log2 of the entries, 0 to {MAX_RING_LOG2}"),), external=True),
    Register("RING_PRODUCER", 0x1024, Access.RW, "Doorbell: descriptors up to here, excluded, are ready.",
             (BitField("index", 0, 16, _INDEX),), external=True),
    Register("RING_CONSUMER", 0x1028, Access.RO, "Descriptors up to here, excluded, were fetched.",
             (BitField("index", 0, 16, _INDEX),)),
    Register("CPL_PRODUCER", 0x102C, Access.RO, "Completions up to here, excluded, were written.",
             (BitField("index", 0, 16, _INDEX),)),
    Register("CPL_CONSUMER", 0x1030, Access.RW, "Completions up to here, excluded, were read by the host.",
             (BitField("index", 0, 16, _INDEX),), external=True),
    Register("DMA_IRQ_STATUS", 0x1034, Access.W1C, "Interrupt causes of the rings. A write lets irq go low for a few "
             "cycles, so that causes that are left give another edge.", _bits(_IRQ_DOCS)),
    Register("DMA_IRQ_ENABLE", 0x1038, Access.RW, "Causes that drive irq.", _bits(_IRQ_DOCS)),
    Register("DMA_COALESCE", 0x103C, Access.RW, "When completions interrupt. A write of CPL_CONSUMER begins anew.",
             (BitField("count", 0, 16, "when so many wait (0: at the first)"),)),
    Register("DMA_DELAY", 0x1040, Access.RW, "When completions interrupt.",
             (BitField("cycles", 0, 32, "or so many clock cycles after the first that waits (0: not by time)"),)),
    Register("DMA_ERROR", 0x1044, Access.W1C, "Errors of the rings.", _bits(_ERROR_DOCS)),
    Register("TABLE_INDEX", 0x1048, Access.RW, "Embedding table that the next TABLE_STRIDE sets up.",
             (BitField("table", 0, 8, "table"),)),
    Register("TABLE_LO", 0x104C, Access.RW, "Address of its row 0.", (BitField("address", 4, 28, "bits 31:4"),)),
    Register("TABLE_HI", 0x1050, Access.RW, "Address of its row 0.", (BitField("address", 0, 32, "bits 63:32"),)),
    Register("TABLE_ROWS", 0x1054, Access.RW, "Its rows; 0 takes it away.", (BitField("rows", 0, 32, "rows"),)),
    Register("TABLE_STRIDE", 0x1058, Access.WO, "Sets the table up.",
             (BitField("granules", 0, 16, "16-byte granules from a row to the next"),)),
    Register("DMA_COMMAND", 0x105C, Access.WO, "Counters of the shell, and reset.",
             (BitField("code", 0, 8, "1 SNAPSHOT: copies them, at one instant, to the COUNTER registers; "
                                     "2 RESET_COUNTERS: zeroes them; "
                                     "3 RESET: resets the device as rst does; accesses wait until it is done"),)),
    *(register for index in range(WINDOWS) for register in _window(index)),
    *(register for counter in DMA_COUNTERS for register in _counter(counter)),
)  # fmt: skip


def shell_register(name: str) -> Register:
    """The shell's register called `name`.

    Raises:
        KeyError: there is none.
    """
    for candidate in SHELL_REGISTERS:
        if candidate.name == name:
            return candidate
    raise KeyError(f"no register {name!r} in the shell")
