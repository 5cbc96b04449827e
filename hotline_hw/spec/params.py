"""The accelerator's parameters. This is the one place that computes widths.

Plain data, importable without Amaranth. The hardware, the golden model, the C++ harness and the host driver
all take their geometry from `Geometry`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from .words import ROW_FIELD, SAMPLE_FIELD, SLOT_FIELD, TABLE_FIELD, WEIGHT_BITS

__all__ = ["BUS_ATTRIBUTES", "PRESETS", "Geometry", "GeometryError", "preset"]


BUS_ATTRIBUTES = ("axi_cache", "axi_prot", "axi_qos", "axi_id_bits")
"""Parameters that no capability register tells: software has no use for them."""


class GeometryError(ValueError):
    """The geometry cannot be built, or the preset does not exist. The message names the rule."""


def _log2(value: int) -> int:
    return value.bit_length() - 1


def _is_power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """What one accelerator is built with. Every value is a count, unless its name says bits.

    Attributes:
        lanes: lookups that one input beat carries. No more are accepted in a cycle.
        banks: independent tracker banks (power of two). Each serves one lookup a cycle.
        sets: sets in one bank (power of two).
        ways: entries in one set.
        entries_per_hot_row: entries for each row that may be hot. Each entry watches a key.
        counter_bits: width of a popularity counter.
        max_moves: most rows that one SELECT makes hot.
        table_bits, row_bits: width of the two parts of a key (table, row).
        max_lookups: most lookups in one sample (all tables, multi-hot included).
        max_samples: most samples in one mini-batch.
        bank_ports: most lookups of one beat that one bank accepts in the same cycle.
        queue_depth: lookups in flight in one bank (power of two, multiple of bank_ports).
        beat_depth: beats in flight between BankScatter and BankGather.
        front_rows: rows that the front table answers for every lane, so that no bank is asked (power of two).
        axi_bits: data width of the AXI4 manager. 0 builds the stream core alone, without the shell.
        working_rows: most unique cold rows of one mini-batch, all banks together. Each bank has its share. 0 without
            a shell.
        read_tags: most reads that may be outstanding (power of two). 0 without a shell.
        read_beats: most beats that these reads may bring (power of two). This is the size of the reorder buffer.
            0 without a shell.
        axi_cache, axi_prot, axi_qos: AxCACHE, AxPROT and AxQOS of every burst, as the system's interconnect wants them.
            Software cannot see these three, nor the next.
        axi_id_bits: width of AXI ids. 0: as wide as read_tags need. If it is less, several reads share an id.

    Raises:
        GeometryError: a parameter breaks a rule. The message names the parameter, its value and the rule.
    """

    name: str = "custom"
    lanes: int
    banks: int
    sets: int
    ways: int
    entries_per_hot_row: int = 2
    counter_bits: int = 8
    max_moves: int = 1024
    table_bits: int = 8
    row_bits: int = 32
    max_lookups: int = 256
    max_samples: int = 65536
    bank_ports: int = 4
    queue_depth: int = 32
    beat_depth: int = 64
    front_rows: int = 4
    axi_bits: int = 0
    working_rows: int = 0
    read_tags: int = 0
    read_beats: int = 0
    axi_cache: int = 0b0011  # normal memory, not cacheable, bufferable
    axi_prot: int = 0b000
    axi_qos: int = 0
    axi_id_bits: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "name" and (not isinstance(value, int) or isinstance(value, bool)):
                raise GeometryError(f"{field.name} must be an integer, not {value!r}")

        def rule(ok: bool, name: str, text: str) -> None:
            if not ok:
                raise GeometryError(f"{name}={getattr(self, name)} breaks the rule: {text}")

        rule(2 <= self.lanes <= 32, "lanes", "2 <= lanes <= 32")
        rule(_is_power_of_two(self.lanes), "lanes", "a power of two (an AXI4-Stream beat of 8*lanes bytes)")
        rule(_is_power_of_two(self.banks), "banks", "a power of two (the bank is a bit field of the mixed key)")
        rule(2 <= self.banks <= 256, "banks", "2 <= banks <= 256")
        rule(_is_power_of_two(self.sets), "sets", "a power of two (the set is a bit field of the mixed key)")
        rule(2 <= self.sets <= 65536, "sets", "2 <= sets <= 65536")
        rule(2 <= self.ways <= 64, "ways", "2 <= ways <= 64")
        rule(
            2 <= self.entries_per_hot_row <= 8,
            "entries_per_hot_row",
            "2 <= entries_per_hot_row <= 8 (with fewer entries a cold row is forgotten before it is looked up again)",
        )
        rule(2 <= self.counter_bits <= 12, "counter_bits", "2 <= counter_bits <= 12 (the field of an entry word)")
        rule(1 <= self.max_moves <= 65535, "max_moves", "1 <= max_moves <= 65535 (a capability of 16 bits)")
        rule(1 <= self.table_bits <= TABLE_FIELD.width, "table_bits", f"1 <= table_bits <= {TABLE_FIELD.width}")
        rule(1 <= self.row_bits <= ROW_FIELD.width, "row_bits", f"1 <= row_bits <= {ROW_FIELD.width}")
        rule(self.key_bits % 2 == 0, "row_bits", "table_bits + row_bits is even (the Feistel network halves the key)")
        rule(self.key_bits >= 6, "row_bits", "table_bits + row_bits >= 6 (narrower keys leave no rounds to mix)")
        rule(
            self.bank_bits + self.set_bits <= self.key_bits,
            "sets",
            f"log2(banks) + log2(sets) <= table_bits + row_bits = {self.key_bits}",
        )
        rule(
            self.slot_bits <= SLOT_FIELD.width,
            "sets",
            f"a slot fits the {SLOT_FIELD.width}-bit slot field of an event (and so every other field for slots)",
        )
        rule(
            self.lanes <= self.max_lookups <= 4096,
            "max_lookups",
            f"lanes = {self.lanes} <= max_lookups <= 4096 (at most one sample is cut in a beat)",
        )
        rule(
            1 <= self.max_samples <= 1 << SAMPLE_FIELD.width,
            "max_samples",
            f"1 <= max_samples <= {1 << SAMPLE_FIELD.width} (the sample field of a result word)",
        )
        rule(_is_power_of_two(self.bank_ports), "bank_ports", "a power of two")
        rule(self.bank_ports <= self.lanes, "bank_ports", f"bank_ports <= lanes = {self.lanes}")
        rule(_is_power_of_two(self.queue_depth), "queue_depth", "a power of two")
        rule(
            self.queue_depth >= 2 * self.bank_ports,
            "queue_depth",
            f"queue_depth >= 2*bank_ports = {2 * self.bank_ports}",
        )
        rule(self.queue_depth <= 32768, "queue_depth", "queue_depth <= 32768 (a capability of 16 bits)")
        rule(4 <= self.beat_depth <= 65535, "beat_depth", "4 <= beat_depth <= 65535 (a capability of 16 bits)")
        rule(_is_power_of_two(self.front_rows), "front_rows", "a power of two")
        rule(2 <= self.front_rows <= 64, "front_rows", "2 <= front_rows <= 64")
        for name, bits in (("axi_cache", 4), ("axi_prot", 3), ("axi_qos", 4)):
            rule(
                0 <= getattr(self, name) < 1 << bits, name, f"0 <= {name} <= {(1 << bits) - 1}, a signal of {bits} bits"
            )
        rule(
            self.axi_id_bits == 0 or 2 <= self.axi_id_bits <= 16,
            "axi_id_bits",
            "0 (as many as read_tags need), or 2 to 16 (three kinds of writes have ids of their own)",
        )
        if self.axi_bits:
            self._check_shell(rule)
        else:
            for name in ("working_rows", "read_tags", "read_beats"):
                rule(getattr(self, name) == 0, name, "0 without an AXI4 manager (axi_bits = 0)")

    def _check_shell(self, rule: Callable[[bool, str, str], None]) -> None:
        """The rules that the DMA shell adds."""
        rule(self.axi_bits in (128, 256, 512), "axi_bits", "128, 256 or 512, or 0 for the stream core alone")
        words = self.axi_bits // 64
        rule(words <= self.lanes, "axi_bits", f"a beat's 64-bit words fit the {self.lanes} lanes")
        rule(self.ways % words == 0, "ways", f"a set's words are whole beats of axi_bits: a multiple of {words}")
        rule(self.banks <= 128, "banks", "2 <= banks <= 128 with a shell (the bank field of a place)")
        local = self.working_rows // self.banks
        rule(
            _is_power_of_two(local) and 2 <= local < 1 << 22 and local * self.banks == self.working_rows,
            "working_rows",
            f"banks = {self.banks} times a power of two from 2",
        )
        rule(_is_power_of_two(self.read_tags), "read_tags", "a power of two")
        rule(2 <= self.read_tags <= 256, "read_tags", "2 <= read_tags <= 256")
        rule(_is_power_of_two(self.read_beats), "read_beats", "a power of two")
        rule(
            2 * self.burst_beats <= self.read_beats <= 4096,
            "read_beats",
            f"two bursts of {self.burst_beats} beats at least, 4096 at most",
        )

    @property
    def key_bits(self) -> int:
        """Width of a key, and of a mixed key."""
        return self.table_bits + self.row_bits

    @property
    def bank_bits(self) -> int:
        return _log2(self.banks)

    @property
    def set_bits(self) -> int:
        return _log2(self.sets)

    @property
    def tag_bits(self) -> int:
        """Width of a tag: the mixed key above the bank field. It does not depend on the sets in use."""
        return self.key_bits - self.bank_bits

    @property
    def way_bits(self) -> int:
        return max(1, (self.ways - 1).bit_length())

    @property
    def quota_bits(self) -> int:
        """Width of a number of ways, 0 to `ways`."""
        return self.ways.bit_length()

    @property
    def entries(self) -> int:
        """Entries in the whole tracker."""
        return self.banks * self.sets * self.ways

    @property
    def hot_capacity(self) -> int:
        """The most rows that can be hot."""
        return self.entries // self.entries_per_hot_row

    @property
    def hot_rows_bits(self) -> int:
        """Width of a number of hot rows, 0 to `hot_capacity`."""
        return self.hot_capacity.bit_length()

    @property
    def entries_bits(self) -> int:
        """Width of a number of entries, 0 to `entries`."""
        return self.entries.bit_length()

    @property
    def index_bits(self) -> int:
        """Width of a global set index (set above bank) with every set in use."""
        return self.bank_bits + self.set_bits

    @property
    def slot_bits(self) -> int:
        """Width of a slot, 0 to `hot_capacity` - 1."""
        return max(1, (self.hot_capacity - 1).bit_length())

    @property
    def state_rows_per_set(self) -> int:
        """Beats of a set in DUMP and RESTORE: one of entry words, one of slot words."""
        return 2

    @property
    def local_bits(self) -> int:
        """Width of a row's number in its bank's list of unique cold rows; 0 without a shell."""
        return _log2(self.working_rows // self.banks) if self.working_rows else 0

    @property
    def axi_bytes(self) -> int:
        """Bytes of a beat of the AXI4 manager."""
        return self.axi_bits // 8

    @property
    def granules(self) -> int:
        """16-byte granules of a beat of the AXI4 manager."""
        return self.axi_bits // 128

    @property
    def burst_beats(self) -> int:
        """Most beats of a burst."""
        return 16

    @property
    def id_bits(self) -> int:
        """Width of an AXI4 id."""
        return self.axi_id_bits or self.tag_id_bits

    @property
    def tag_id_bits(self) -> int:
        """Width of a tag, one for each read that may be outstanding."""
        return _log2(self.read_tags) if self.read_tags else 0

    def stream_core(self) -> Geometry:
        """The same geometry without the shell."""
        names = ("axi_bits", "working_rows", "read_tags", "read_beats", *BUS_ATTRIBUTES)
        defaults = {field.name: field.default for field in fields(self)}
        return replace(self, **{name: defaults[name] for name in names})  # type: ignore[arg-type]

    @property
    def front_bits(self) -> int:
        """Width of an index into the front table."""
        return _log2(self.front_rows)

    @property
    def weight_bits(self) -> int:
        """Width of what one update adds to a counter: a lookup's weight, or what a row of the front table gained."""
        return max(WEIGHT_BITS, self.counter_bits)

    @property
    def sample_bits(self) -> int:
        return max(1, (self.max_samples - 1).bit_length())

    @property
    def bank_port_bits(self) -> int:
        """Width of a lookup's rank among those of its beat that go to the same bank."""
        return max(1, (self.bank_ports - 1).bit_length())

    def index_bits_in_use(self, hot_rows: int) -> int:
        """log2 of the sets in use (all banks) for a budget of `hot_rows`.

        This is the smallest number of sets whose ways hold the entries of the budget. It is a power of two, and at
        least one set a bank. So every set keeps more than half its ways. A tracker needs this associativity.
        """
        index_bits = self.bank_bits
        while self.ways << index_bits < hot_rows * self.entries_per_hot_row:
            index_bits += 1
        return index_bits

    def as_dict(self) -> dict[str, int | str]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def override(self, settings: dict[str, int]) -> Geometry:
        """A copy with some parameters changed. Its name is `NAME-custom`, unless nothing changed.

        Raises:
            GeometryError: a parameter is unknown, or a value breaks a rule.
        """
        known = [field.name for field in fields(self) if field.name != "name"]
        for key in settings:
            if key not in known:
                raise GeometryError(f"unknown parameter {key!r}; the parameters are {', '.join(known)}")
        if not settings:
            return self
        values: dict[str, int | str] = {"name": f"{self.name}-custom", **settings}
        return replace(self, **values)  # type: ignore[arg-type]


PRESETS: dict[str, Geometry] = {
    geometry.name: geometry
    for geometry in (
        # For proofs and quick benches. It has every mechanism and little state (64 entries, 32 hot rows).
        Geometry(
            name="tiny", lanes=2, banks=2, sets=8, ways=4, entries_per_hot_row=2, max_moves=8,
            max_lookups=64, max_samples=4096, bank_ports=2, queue_depth=32, beat_depth=32, front_rows=4,
            axi_bits=128, working_rows=32, read_tags=4, read_beats=32,
        ),
        # For parts of the class of a Lattice ECP5-45: 8 k entries, 4 k hot rows.
        Geometry(
            name="small", lanes=2, banks=2, sets=1024, ways=4, entries_per_hot_row=2, max_moves=256,
            row_bits=28, max_lookups=64, max_samples=4096, bank_ports=2, queue_depth=32, beat_depth=32, front_rows=8,
            axi_bits=128, working_rows=2048, read_tags=16, read_beats=128,
        ),
        # For a Lattice ECP5-85: 16 k entries, 8 k hot rows. Tags of 33 bits fit the 36 bits of its block RAMs. Lists of
        # twice as many cold rows would take 56 block RAMs more than the 208 that it has.
        Geometry(
            name="edge", lanes=4, banks=8, sets=512, ways=4, entries_per_hot_row=2, max_moves=512,
            row_bits=28, max_lookups=64, max_samples=4096, bank_ports=2, queue_depth=32, beat_depth=64, front_rows=8,
            axi_bits=128, working_rows=4096, read_tags=32, read_beats=256,
        ),
        # For a data-centre card (UltraScale+ with UltraRAM): 1 M entries, 512 k hot rows.
        Geometry(
            name="kaggle", lanes=16, banks=32, sets=2048, ways=16, entries_per_hot_row=2, max_moves=4096,
            max_lookups=256, max_samples=65536, bank_ports=4, queue_depth=64, beat_depth=64, front_rows=16,
            axi_bits=512, working_rows=32768, read_tags=256, read_beats=512,
        ),
    )
}  # fmt: skip


def preset(name: str) -> Geometry:
    """The preset called `name`.

    Raises:
        GeometryError: there is no such preset. The message names the presets.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise GeometryError(f"unknown preset {name!r}; the presets are {', '.join(PRESETS)}") from None
