"""Random descriptor programmes for a whole device, and everything that can be seen of it afterwards.

Every device is driven alike: it gets the same regions in the same order, so at the same addresses, the same registers
and the same descriptors. Only time differs between backends.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from hotline_device.device import Device
from hotline_device.host_memory import Region
from hotline_device.ring_entries import Completion, Descriptor
from hotline_hw.spec.descriptors import ENTRY_BYTES, EVENT_BYTES, SUMMARY_BYTES, Flag, Opcode
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import register
from hotline_hw.spec.shell_registers import DMA_COUNTERS, DmaCommand, dma_counter_offset, shell_register, window_offset
from hotline_hw.spec.words import LAST_FIELD, TABLE_FIELD, WORD_BYTES

__all__ = ["Bench", "Seen", "check_equal", "random_programme"]

RING_LOG2 = 4
_CANARY = 0xA5


@dataclass
class Seen:
    """What a device left behind: equal on every backend."""

    memory: dict[str, bytes]
    completions: list[Completion]
    registers: dict[str, int]
    counters: dict[str, int]


@dataclass
class Bench:
    """One device with rings, tables of rows, and room for everything that a programme reads and writes."""

    device: Device
    geometry: Geometry
    seed: int
    batch: int = 48  # the most lookups of a mini-batch
    row_bytes: int = 64
    tables: int = 3
    completions: list[Completion] = field(default_factory=list)

    def __post_init__(self) -> None:
        memory, rng = self.device.memory, np.random.default_rng(self.seed)
        size = 1 << RING_LOG2
        self.rings = memory.allocate("rings", 2 * size * ENTRY_BYTES)
        self.source = memory.allocate("source", 1 << 16)
        self.state = memory.allocate("state", 1 << 16)
        self.results = memory.allocate("results", 1 << 16)
        self.rows = memory.allocate("rows", 1 << 16)
        self.table = memory.allocate("table", 1 << 17)
        for region in (self.source, self.state, self.results, self.rows):
            region.data[:] = _CANARY
        # Finite float32 values, because sums and rows are compared bit by bit.
        self.table.array(self.table.size // 4, np.float32)[:] = rng.standard_normal(self.table.size // 4)
        for name, value in (
            ("RING_LO", self.rings.address), ("RING_HI", self.rings.address >> 32),
            ("CPL_LO", self._completion_ring), ("CPL_HI", self._completion_ring >> 32), ("RING_SIZE", RING_LOG2),
            ("DMA_IRQ_ENABLE", 3),
        ):  # fmt: skip
            self.write(name, value & 0xFFFF_FFFF)
        for index, region in enumerate((self.rings, self.source, self.state, self.results, self.rows, self.table)):
            self.window(index, region, write=region is not self.table)
        self.stride = 80
        for table in range(self.tables):
            self.set_table(table, self.table.address + 32 * 1024 * table, 256, self.stride)
        self.write("DMA_CONTROL", 1)
        self._produced = 0

    @property
    def _completion_ring(self) -> int:
        return self.rings.address + (ENTRY_BYTES << RING_LOG2)

    def read(self, name: str) -> int:
        return self.device.read(_offset(name))

    def write(self, name: str, value: int) -> None:
        self.device.write(_offset(name), value)

    def window(self, index: int, region: Region, *, read: bool = True, write: bool = True) -> None:
        at = window_offset(index)
        pages = region.size // 4096
        for place, value in enumerate((region.address & 0xFFFF_FFFF, region.address >> 32, pages, read | write << 1)):
            self.device.write(at + 4 * place, value)

    def set_table(self, table: int, address: int, rows: int, stride: int) -> None:
        for name, value in (
            ("TABLE_INDEX", table), ("TABLE_LO", address & 0xFFFF_FFFF), ("TABLE_HI", address >> 32),
            ("TABLE_ROWS", rows), ("TABLE_STRIDE", stride // 16),
        ):  # fmt: skip
            self.write(name, value)

    def run(self, *descriptors: Descriptor) -> list[Completion]:
        """Submits descriptors together, and takes all their completions."""
        size = 1 << RING_LOG2
        assert len(descriptors) <= size
        entries = self.rings.array((2 * size, ENTRY_BYTES // 4), np.uint32)
        self.write("DMA_COALESCE", len(descriptors))
        for place, descriptor in enumerate(descriptors):
            entries[(self._produced + place) % size] = replace(descriptor, tag=self._produced + place).pack()
        first, self._produced = self._produced, self._produced + len(descriptors)
        self.write("RING_PRODUCER", self._produced & 0xFFFF)
        for _ in range(10_000):
            if self.read("CPL_PRODUCER") == self._produced & 0xFFFF:
                break
            self.device.wait_irq(60)
            self.write("DMA_IRQ_STATUS", 3)
        assert self.read("CPL_PRODUCER") == self._produced & 0xFFFF, "completions do not come"
        done = []
        for index in range(first, self._produced):
            completion = Completion.unpack(entries[size + index % size])
            assert completion.tag == index and completion.generation == 1 - (index >> RING_LOG2 & 1)
            done.append(replace(completion, cycles=0))
        self.write("CPL_CONSUMER", self._produced & 0xFFFF)
        self.write("DMA_IRQ_STATUS", 3)
        self.completions += done
        return done

    def put(self, words: np.ndarray, offset: int = 0) -> int:
        """Writes lookups to the source region. Returns their address."""
        data = words.view(np.uint8)
        self.source.data[offset : offset + len(data)] = data
        return self.source.address + offset

    def classify(self, source: int, count: int, tables: int = 0, flags: int = 0, offset: int = 0) -> Descriptor:
        results = self.results.address + offset
        stride = -(-4 * self.batch // 64) * 64
        return Descriptor(
            opcode=Opcode.CLASSIFY, flags=flags, source=source, count=count, operand=tables,
            targets=(results, results + stride, results + 2 * stride),
        )  # fmt: skip

    def seen(self) -> Seen:
        """Returns everything that can be seen."""
        self.write("DMA_COMMAND", DmaCommand.SNAPSHOT)
        counters = {
            counter.name: self.device.read(dma_counter_offset(counter.name))
            for counter in DMA_COUNTERS
            if not counter.timing
        }
        names = ("HOT_COUNT", "THRESHOLD", "ERROR", "DMA_ERROR", "RING_CONSUMER", "CPL_PRODUCER")
        regions = [region for region in self.device.memory.regions if region is not self.rings]
        memory = {region.name: region.data.tobytes() for region in regions}
        return Seen(memory, self.completions, {name: self.read(name) for name in names}, counters)


def _offset(name: str) -> int:
    try:
        return register(name).offset
    except KeyError:
        return shell_register(name).offset


def random_lookups(bench: Bench, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """A mini-batch as it is in memory, and its number of tables there: 0 if it consists of lookup words."""
    rows = min(rng.integers(2, 256), 256)
    if rng.random() < 0.5:
        tables = int(rng.integers(1, bench.tables + 1))
        samples = int(rng.integers(1, bench.batch // tables + 1))
        return rng.integers(0, rows, samples * tables).astype(np.uint32), tables
    count = int(rng.integers(1, bench.batch + 1))
    words = rng.integers(0, rows, count).astype(np.uint64)
    words |= rng.integers(0, bench.tables, count).astype(np.uint64) << np.uint64(TABLE_FIELD.low)
    words[rng.random(count) < 0.3] |= np.uint64(1 << LAST_FIELD.low)
    words[-1] |= np.uint64(1 << LAST_FIELD.low)
    return words, 0


def random_programme(bench: Bench, steps: int) -> None:
    """Runs `steps` groups of random descriptors. All of them are well-formed."""
    rng = np.random.default_rng(bench.seed)
    state = 0
    for _ in range(steps):
        group: list[Descriptor] = []
        at = 0
        for _ in range(int(rng.integers(1, 5))):
            kinds = ["learn", "learn", "front", "classify", "classify", "classify", "fence", "select", "list", "dump"]
            kind = rng.choice([*kinds, "restore"])
            row_bytes = int(rng.choice([16, 32, 48, 64, 80]))
            if kind in ("learn", "classify", "front"):
                words, tables = random_lookups(bench, rng)
                if kind == "front":
                    words = words[: max(1, tables) * int(rng.integers(1, bench.geometry.front_rows + 1))]
                source = bench.put(words, at)
                at += -(-words.nbytes // 64) * 64
                if kind in ("learn", "front"):
                    opcode = Opcode.LEARN if kind == "learn" else Opcode.FRONT
                    group.append(Descriptor(opcode=opcode, source=source, count=len(words), operand=tables))
                    continue
                relearn = Flag.LEARN if rng.random() < 0.3 else 0
                group.append(bench.classify(source, len(words), tables, relearn, 4096 * int(rng.integers(0, 8))))
                for flags in (Flag.KEYS, Flag.HELD | Flag.KEYS) if rng.random() < 0.7 else ():
                    target = bench.rows.address + 8192 * int(rng.integers(0, 4))
                    group.append(
                        Descriptor(
                            opcode=Opcode.GATHER, flags=flags, operand=row_bytes, targets=(target, target + 4096, 0)
                        )
                    )
            elif kind == "list":
                count = int(rng.integers(1, bench.batch + 1))
                words = rng.integers(0, 256, count).astype(np.uint64)
                words |= rng.integers(0, bench.tables, count).astype(np.uint64) << np.uint64(TABLE_FIELD.low)
                words[rng.random(count) < 0.4] |= np.uint64(1 << LAST_FIELD.low)
                group.append(
                    Descriptor(
                        opcode=Opcode.GATHER, flags=Flag.LIST, source=bench.put(words, at), count=count,
                        operand=row_bytes, targets=(bench.rows.address + 32768 + 8192 * int(rng.integers(0, 4)), 0, 0),
                    )
                )  # fmt: skip
                at += -(-words.nbytes // 64) * 64
            elif kind == "fence":
                group.append(Descriptor(opcode=Opcode.FENCE))
            elif kind == "select":
                events = bench.results.address + 32768
                assert (bench.geometry.max_moves + 1) * EVENT_BYTES <= 32768
                group.append(Descriptor(opcode=Opcode.SELECT, targets=(events, 0, 0)))
            elif kind == "dump":
                state = _state_rows(bench)
                assert state * bench.geometry.ways * WORD_BYTES <= bench.state.size
                group.append(Descriptor(opcode=Opcode.DUMP, targets=(bench.state.address, 0, 0)))
            elif state:
                group.append(Descriptor(opcode=Opcode.RESTORE, source=bench.state.address, count=state))
        assert at <= bench.source.size and SUMMARY_BYTES + 2 * 4 * bench.batch + 64 <= 4096
        bench.run(*group[: 1 << RING_LOG2])


def _state_rows(bench: Bench) -> int:
    return bench.geometry.state_rows_per_set << bench.device.read(register("INDEX_BITS").offset)


def check_equal(found: Seen, expected: Seen) -> None:
    """Compares what two devices left behind."""
    for got, due in zip(found.completions, expected.completions, strict=True):
        assert got == due
    for name, data in expected.memory.items():
        differs = np.frombuffer(found.memory[name], np.uint8) != np.frombuffer(data, np.uint8)
        assert not differs.any(), f"region {name} differs first at byte {int(differs.argmax())}"
    assert found.registers == expected.registers
    assert found.counters == expected.counters
