"""The register map: the one place that holds offsets, bits and codes. Plain data, importable without Amaranth.

`CsrBank` builds the registers from it. The driver addresses them through it. `regdoc` writes the Markdown, the C
header and the SVD from it. All registers are 32 bits wide and little-endian, on AXI4-Lite.

Access:
    RO   read-only. A write answers SLVERR and changes nothing.
    RW   read and write.
    W1C  reads sticky bits. Writing a one clears that bit.
    WO   write-only (a command). It reads as zero.
An address without a register answers SLVERR. A write that does not strobe all four bytes does too.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag

from hotline_hw import __version__

from .words import AGE_FIELD, WEIGHT_BITS

__all__ = [
    "ADDRESS_BITS", "COUNTERS", "ID_VALUE", "INTERFACE", "POLICY_REGISTERS", "REGISTERS", "WEIGHTS", "WEIGHT_BITS",
    "Access", "BitField", "Command", "Counter", "Error", "Irq", "Phase", "Register", "counter_offset",
    "interface_value", "register", "version_value",
]  # fmt: skip

ADDRESS_BITS = 12
WEIGHTS = (16, 8, 5, 4, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1)
"""Update weights after reset, indexed by a sample's other misses. The last stands for that many or more. Each is
16 / (1 + misses), rounded."""
ID_VALUE = 0x484F544C  # "HOTL"
INTERFACE = (1, 0)
"""Version of the interface between accelerator and software: major, minor.

`tests/vectors/` holds what it stands for. Raise major, and set minor to 0, if software that was written for the version
before would misunderstand the accelerator: a register, bit, code, status, field or word changes its place or its
meaning, or the key hash changes. Raise minor if only something is added that such software does not see. The package's
version says nothing about it.
"""


def version_value() -> int:
    """The project's version as the VERSION register holds it: major, minor, patch, 8 bits each."""
    major, minor, patch = (int(part) for part in __version__.split("."))
    return major << 16 | minor << 8 | patch


def interface_value() -> int:
    """The version of the interface as the INTERFACE register holds it."""
    major, minor = INTERFACE
    return major << 16 | minor


class Access(IntEnum):
    RO = 0
    RW = 1
    W1C = 2
    WO = 3


class Phase(IntEnum):
    """What a mini-batch does to the tracker. The phase is sampled at its first beat."""

    LEARN = 0  # its lookups train the tracker; both result packets are empty
    CLASSIFY = 1  # the tracker is only read; every lookup comes back as a result word
    RELEARN = 2  # both: classified, and learned from
    FRONT = 3  # its lookups name the rows of the front table, in place of those before; both packets are empty


class Command(IntEnum):
    """Codes for COMMAND. All but SNAPSHOT need an idle core."""

    CLEAR = 1  # empties the tracker: one cycle for each set of a bank
    DUMP = 2  # sends every set in use on m_axis_state, one set a beat
    RESTORE = 3  # takes every set in use from s_axis_state, in DUMP's order
    SNAPSHOT = 4  # copies all counters, at one instant, to the COUNTER registers
    RESET_COUNTERS = 5  # zeroes all counters
    SELECT = 6  # chooses the hot rows anew, and sends what changed on m_axis_state


class Error(IntFlag):
    """Bits of ERROR. Each is sticky, and none stops the core."""

    INDEX_RANGE = 1 << 0  # a lookup word with a table, row or reserved bit out of range: a miss, not learned
    SAMPLE_TOO_LONG = 1 << 1  # a sample longer than max_lookups: ended there, the rest is the next sample
    SAMPLE_OPEN = 1 << 2  # a mini-batch ended inside a sample: the sample ends there
    BATCH_TOO_LONG = 1 << 3  # more than max_samples samples in a mini-batch: sample indices wrap
    COMMAND_BUSY = 1 << 4  # a command, or a write to HOT_ROWS, while STATUS.busy: ignored
    COMMAND_CODE = 1 << 5  # an unknown command code: ignored
    HOT_ROWS_RANGE = 1 << 6  # HOT_ROWS above the most rows that can be hot: ignored
    RESTORE_LENGTH = 1 << 7  # s_axis_state packet shorter or longer than DUMP's: the tracker was cleared
    RESTORE_ENTRY = 1 << 8  # a restored entry outside the budget: dropped; a slot outside it: the entry is not hot
    EMPTY_BATCH = 1 << 9  # a mini-batch without a single lookup: its packets are empty
    FRONT_LENGTH = 1 << 10  # more rows than the front table holds: those behind are left out


class Irq(IntFlag):
    """Bits of IRQ_STATUS and IRQ_ENABLE. `irq` is high while any enabled bit is set, but low for a few cycles after a
    write of IRQ_STATUS (`hotline_hw.lib.interrupts`)."""

    BATCH_DONE = 1 << 0  # both result packets of a mini-batch have left
    COMMAND_DONE = 1 << 1  # a command has ended
    ERROR = 1 << 2  # a bit of ERROR was set


@dataclass(frozen=True)
class BitField:
    name: str
    low: int
    width: int
    doc: str

    @property
    def mask(self) -> int:
        return ((1 << self.width) - 1) << self.low

    def get(self, value: int) -> int:
        return value >> self.low & ((1 << self.width) - 1)


@dataclass(frozen=True)
class Register:
    name: str
    offset: int
    access: Access
    doc: str
    fields: tuple[BitField, ...]
    reset: int | None = 0  # None: depends on the geometry
    external: bool = False  # an RW register whose value the core holds, since it may refuse a write

    def field(self, name: str) -> BitField:
        return next(field for field in self.fields if field.name == name)

    def unpack(self, value: int) -> dict[str, int]:
        """Every field's value in the register value `value`."""
        return {field.name: field.get(value) for field in self.fields}


@dataclass(frozen=True)
class Counter:
    """A 64-bit event counter. `doc` is the meaning of one increment.

    A *function of the input* counter is the same on every backend. A *timing* counter counts cycles.
    """

    name: str
    doc: str
    timing: bool = False


COUNTERS: tuple[Counter, ...] = (
    Counter("batches", "a mini-batch whose two result packets have left"),
    Counter("samples", "a sample"),
    Counter("popular_samples", "a sample all of whose lookups hit"),
    Counter("lookups", "a lookup"),
    Counter("lookup_hits", "a lookup that hit"),
    Counter("inserts", "a key that the tracker took in"),
    Counter("evictions", "an insert that drove a valid entry out"),
    Counter("revivals", "an update of a hot entry that was not referenced since its set's last aging"),
    Counter("returns", "an update of a cold entry that was referenced since its set's last aging"),
    Counter("promotions", "a row that SELECT made hot"),
    Counter("demotions", "a row that SELECT made cold"),
    Counter("index_errors", "a lookup word out of range"),
    Counter("cycles", "a clock cycle with a mini-batch in the core", timing=True),
    Counter("select_cycles", "a clock cycle of a SELECT command", timing=True),
    Counter("input_idle", "such a cycle in which s_axis_lookup had no beat for a core that was ready", timing=True),
    Counter("bank_stall", "such a cycle in which a full bank queue held back a beat", timing=True),
    Counter("split_beats", "such a cycle in which a beat was cut: one bank got more of its lookups than bank_ports",
            timing=True),
    Counter("output_stall", "such a cycle in which a result stream was valid and not ready", timing=True),
)  # fmt: skip

_COUNTER_BASE = 0x100


def counter_offset(name: str) -> int:
    """Byte offset of the low half of a counter's snapshot. The high half is 4 bytes above."""
    return _COUNTER_BASE + 8 * next(i for i, counter in enumerate(COUNTERS) if counter.name == name)


def _bits(flags: type[IntFlag], docs: dict[str, str]) -> tuple[BitField, ...]:
    return tuple(BitField(str(flag.name).lower(), flag.bit_length() - 1, 1, docs[str(flag.name)]) for flag in flags)


_ERROR_DOCS = {
    "INDEX_RANGE": "a lookup word had a table, row or reserved bit out of range; it missed and was not learned",
    "SAMPLE_TOO_LONG": "a sample had more than max_lookups lookups; it was ended there",
    "SAMPLE_OPEN": "a mini-batch ended (tlast) inside a sample; the sample was ended there",
    "BATCH_TOO_LONG": "a mini-batch had more than max_samples samples; sample indices wrapped",
    "COMMAND_BUSY": "COMMAND or HOT_ROWS was written while STATUS.busy; ignored",
    "COMMAND_CODE": "an unknown code was written to COMMAND; ignored",
    "HOT_ROWS_RANGE": "HOT_ROWS was written above the most rows that can be hot; ignored",
    "RESTORE_LENGTH": "the s_axis_state packet was not as long as DUMP's; the tracker was cleared",
    "RESTORE_ENTRY": "a restored entry was valid in a way outside the budget and was dropped, or had a slot outside it "
    "and is not hot",
    "EMPTY_BATCH": "a mini-batch had no lookup at all",
    "FRONT_LENGTH": "a mini-batch in phase FRONT named more rows than the front table holds; the others were left out",
}
_IRQ_DOCS = {
    "BATCH_DONE": "both result packets of a mini-batch have left",
    "COMMAND_DONE": "a command has ended",
    "ERROR": "a bit of ERROR was set",
}

_FIXED: tuple[Register, ...] = (
    Register("ID", 0x000, Access.RO, "Identifies the core.",
             (BitField("id", 0, 32, "0x484F544C, \"HOTL\""),), ID_VALUE),
    Register("VERSION", 0x004, Access.RO, "Version of the core.",
             (BitField("patch", 0, 8, "patch"), BitField("minor", 8, 8, "minor"), BitField("major", 16, 8, "major")),
             version_value()),
    Register("CAP_STREAM", 0x008, Access.RO, "Capability: stream geometry.",
             (BitField("lanes", 0, 8, "lookups in one beat"),
              BitField("bank_ports", 8, 8, "lookups of one beat that one bank accepts in a cycle"),
              BitField("queue_depth", 16, 16, "lookups in flight in one bank")), None),
    Register("CAP_TRACKER", 0x00C, Access.RO, "Capability: tracker geometry.",
             (BitField("log2_banks", 0, 8, "log2 of the banks"),
              BitField("log2_sets", 8, 8, "log2 of the sets in one bank"),
              BitField("ways", 16, 8, "entries in one set"),
              BitField("front_rows", 24, 8, "rows that the front table holds")), None),
    Register("CAP_KEY", 0x010, Access.RO, "Capability: key geometry.",
             (BitField("table_bits", 0, 8, "width of a table index"),
              BitField("row_bits", 8, 8, "width of a row index"),
              BitField("max_lookups", 16, 16, "most lookups in one sample")), None),
    Register("CAP_SAMPLES", 0x014, Access.RO, "Capability: most samples in one mini-batch.",
             (BitField("max_samples", 0, 32, "most samples in one mini-batch"),), None),
    Register("CAP_BEATS", 0x018, Access.RO, "Capability: beats in flight.",
             (BitField("beat_depth", 0, 16, "beats in flight between BankScatter and BankGather"),), None),
    Register("CAP_POLICY", 0x01C, Access.RO, "Capability: how popularity is tracked.",
             (BitField("entries_per_hot_row", 0, 8, "entries of the tracker for each row that may be hot"),
              BitField("counter_bits", 8, 8, "width of a popularity counter"),
              BitField("max_moves", 16, 16, "most rows that one SELECT makes hot")), None),
    Register("INTERFACE", 0x020, Access.RO, "Version of the interface: registers, descriptors, words, key hash.",
             (BitField("minor", 0, 16, "additions that older software does not see"),
              BitField("major", 16, 16, "must be the one that the software was written for")), interface_value()),
    Register("SCRATCH", 0x024, Access.RW, "Holds what was written: to try reads and writes with. Nothing uses it.",
             (BitField("value", 0, 32, "any value"),)),
    Register("CONTROL", 0x040, Access.RW, "Control.",
             (BitField("phase", 0, 2,
                       "phase of the mini-batches that start from now on: 0 LEARN, 1 CLASSIFY, 2 RELEARN, 3 FRONT"),)),
    Register("STATUS", 0x044, Access.RO, "Status.",
             (BitField("busy", 0, 1, "a mini-batch or a command is in the core, or the clearing walk after reset"),
              BitField("command", 1, 1, "a command is running"),
              BitField("phase", 2, 2, "phase of the newest mini-batch")), None),
    Register("HOT_ROWS", 0x048, Access.RW,
             "Budget: the most rows that may be hot, 0 to entries / entries_per_hot_row. A write clears the tracker.",
             (BitField("hot_rows", 0, 32, "number of rows; resets to the most"),), None, external=True),
    Register("INDEX_BITS", 0x04C, Access.RO,
             "log2 of the sets in use, all banks together. After a write of HOT_ROWS, read it once STATUS.busy is 0.",
             (BitField("index_bits", 0, 8, "DUMP sends so many sets, ordered by set << log2_banks | bank"),), None),
    Register("COMMAND", 0x050, Access.WO, "Starts a command.",
             (BitField("code", 0, 8, "1 CLEAR, 2 DUMP, 3 RESTORE, 4 SNAPSHOT, 5 RESET_COUNTERS, 6 SELECT"),)),
    Register("ERROR", 0x054, Access.W1C, "Errors since the bits were last cleared.", _bits(Error, _ERROR_DOCS)),
    Register("IRQ_STATUS", 0x058, Access.W1C, "Interrupt causes. A write lets irq go low for a few cycles, so that "
             "causes that are left give another edge.", _bits(Irq, _IRQ_DOCS)),
    Register("IRQ_ENABLE", 0x05C, Access.RW, "Interrupt causes that drive irq.", _bits(Irq, _IRQ_DOCS)),
    Register("AGE_PERIOD", 0x060, Access.RW, "Aging: after so many lookups of keys without an entry a set's counters "
             "shrink.",
             (BitField("lookups", 0, AGE_FIELD.width, "lookups; 0: never"),), 32),
    Register("HYSTERESIS", 0x064, Access.RW, "How far a hot row may fall behind before it can be made cold.",
             (BitField("shift", 0, 4, "a hot row stays from threshold - (threshold >> shift) up"),),
             3),
    Register("MOVE_LIMIT", 0x068, Access.RW, "Bound on the rows that one SELECT makes hot; max_moves bounds them too.",
             (BitField("rows", 0, 32, "number of rows"),), 0xFFFF_FFFF),
    Register("SELECT_START", 0x06C, Access.RW, "Where in every bank SELECT begins to look for rows to move.",
             (BitField("set", 0, 32, "a set, modulo the sets in use"),)),
    *(Register(f"WEIGHTS_{index}", 0x070 + 4 * index, Access.RW,
               "Update weights: what a lookup adds to its row's counter, by its sample's other misses.",
               tuple(BitField(f"weight_{4 * index + place}", 8 * place, WEIGHT_BITS,
                              f"{4 * index + place}{' or more' if 4 * index + place == 15 else ''} other misses")
                     for place in range(4)),
               sum(WEIGHTS[4 * index + place] << 8 * place for place in range(4)))
      for index in range(4)),
    Register("HOT_COUNT", 0x080, Access.RO, "Rows that are hot.", (BitField("rows", 0, 32, "number of rows"),)),
    Register("THRESHOLD", 0x084, Access.RO, "Counter from which SELECT last thought a row popular.",
             (BitField("threshold", 0, 32, "1 to 2^counter_bits; 0 since the tracker was cleared"),)),
)  # fmt: skip


def _counter_registers() -> tuple[Register, ...]:
    out = []
    for counter in COUNTERS:
        low = counter_offset(counter.name)
        kind = "timing" if counter.timing else "function of the input"
        doc = f"Counter ({kind}), snapshot: {counter.doc}."
        for half, offset in (("LO", low), ("HI", low + 4)):
            field = BitField("count", 0, 32, f"bits {'31:0' if half == 'LO' else '63:32'}")
            out.append(Register(f"COUNTER_{counter.name.upper()}_{half}", offset, Access.RO, doc, (field,)))
    return tuple(out)


REGISTERS: tuple[Register, ...] = _FIXED + _counter_registers()

POLICY_REGISTERS = (
    "AGE_PERIOD",
    "HYSTERESIS",
    "MOVE_LIMIT",
    "SELECT_START",
    *(f"WEIGHTS_{group}" for group in range(4)),
)
"""Names of the registers that hold a `Policy`."""


def register(name: str) -> Register:
    """The register called `name`.

    Raises:
        KeyError: there is no such register. The message names the registers.
    """
    for candidate in REGISTERS:
        if candidate.name == name:
            return candidate
    raise KeyError(f"no register {name!r}; the registers are {', '.join(r.name for r in REGISTERS)}")
