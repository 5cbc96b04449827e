"""Descriptors for a `DeviceTB`: well-formed ones of every opcode, and malformed ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hotline_device.ring_entries import Descriptor
from hotline_hw.spec.descriptors import BUFFER_ALIGN, SUMMARY_BYTES, Flag, Opcode, Status
from hotline_hw.spec.words import LAST_FIELD, RESERVED_FIELD, TABLE_FIELD

from .registers import TABLE_ROWS
from .tb import DeviceTB

__all__ = ["Maker", "goes_on", "words_of"]

_TABLES = 3  # of lookup words and of lists


def words_of(rng: np.random.Generator, rows: np.ndarray, *, last: float = 0.4, tables: int = _TABLES) -> np.ndarray:
    """64-bit lookup words of these rows, in random tables. The last one ends its sample, others do so at random."""
    words = rows.astype(np.uint64) | rng.integers(0, tables, len(rows), dtype=np.uint64) << np.uint64(TABLE_FIELD.low)
    ends = rng.random(len(rows)) < last
    ends[-1:] = True
    return words | ends.astype(np.uint64) << np.uint64(LAST_FIELD.low)


class Maker:
    """Makes descriptors. The buffers of descriptors in one group do not overlap.

    Attributes:
        universe, base: lookups of mini-batches are of `universe` rows a table, from row `base` on. The first of these
            rows are the most frequent.
    """

    def __init__(self, tb: DeviceTB, *, batch: int = 48, universe: int = 40, base: int = 0) -> None:
        self.tb, self.rng, self.batch, self.universe, self.base = tb, tb.rng, batch, universe, base
        self.dumped = 0  # rows of the state that memory holds
        self.begin_group()

    def begin_group(self) -> None:
        """Frees the buffers of all descriptors made so far. All of them must be done."""
        tb = self.tb
        self._next = {region.name: region.address for region in (tb.source, tb.results, tb.rows)}

    def room(self, name: str, size: int) -> int:
        """The address of a new buffer in a region, sometimes after a gap."""
        address = self._next[name] + BUFFER_ALIGN * int(self.rng.integers(0, 3))
        self._next[name] = -(-(address + size) // BUFFER_ALIGN) * BUFFER_ALIGN
        region = getattr(self.tb, name)
        assert address + size <= region.address + region.size, f"the group is too large for region {name}"
        return address

    def put(self, data: np.ndarray) -> int:
        """Writes lookups to memory. Returns their address."""
        address = self.room("source", data.nbytes)
        self.tb.memory.put(address, data)
        return address

    # Mini-batches

    def rows_of(self, count: int) -> np.ndarray:
        """Random rows, skewed towards few."""
        return (self.base + self.universe * self.rng.random(count) ** 2.5).astype(np.uint64)

    def lookups(self, count: int | None = None, tables: int | None = None) -> tuple[int, int, int]:
        """Writes a mini-batch to memory. Returns source, count and operand."""
        if tables is None:
            tables = int(self.rng.integers(0, 5))
        count = int(self.rng.integers(1, self.batch + 1)) if count is None else count
        if not tables:
            words = words_of(self.rng, self.rows_of(count))
            return self.put(words), count, 0
        count = max(1, count // tables) * tables
        return self.put(self.rows_of(count).astype(np.uint32)), count, tables

    def learn(self, count: int | None = None, tables: int | None = None) -> Descriptor:
        source, count, operand = self.lookups(count, tables)
        return Descriptor(opcode=Opcode.LEARN, source=source, count=count, operand=operand)

    def front(self, count: int | None = None, tables: int | None = None) -> Descriptor:
        """A FRONT. Without `count` it has at most as many words as there are places in the table."""
        most = self.tb.geometry.front_rows
        count = int(self.rng.integers(1, most + 1)) if count is None else count
        tables = min(int(self.rng.integers(0, 3)), count) if tables is None else tables
        source, count, operand = self.lookups(count, tables)
        return Descriptor(opcode=Opcode.FRONT, source=source, count=count, operand=operand)

    def classify(self, count: int | None = None, tables: int | None = None, flags: int = 0) -> Descriptor:
        source, count, operand = self.lookups(count, tables)
        return self.classify_at(source, count, operand, flags)

    def classify_at(self, source: int, count: int, operand: int = 0, flags: int = 0) -> Descriptor:
        targets = (self.room("results", 4 * count), self.room("results", 4 * count),
                   self.room("results", SUMMARY_BYTES + -(-count // 512) * 64))  # fmt: skip
        return Descriptor(
            opcode=Opcode.CLASSIFY, flags=flags, source=source, count=count, operand=operand, targets=targets
        )

    # Rows

    def gather(self, row_bytes: int = 64, flags: int = 0) -> Descriptor:
        """A GATHER of the lists on chip."""
        places = self.tb.geometry.working_rows
        targets = (self.room("rows", places * row_bytes), self.room("rows", 8 * places), 0)
        return Descriptor(opcode=Opcode.GATHER, flags=flags, operand=row_bytes, targets=targets)

    def gather_list(self, words: np.ndarray, row_bytes: int = 64) -> Descriptor:
        """A GATHER of a list in memory."""
        return Descriptor(
            opcode=Opcode.GATHER, flags=Flag.LIST, source=self.put(words), count=len(words), operand=row_bytes,
            targets=(self.room("rows", len(words) * row_bytes), 0, 0),
        )  # fmt: skip

    def random_list(self, count: int | None = None, row_bytes: int = 64) -> Descriptor:
        count = int(self.rng.integers(1, self.batch + 1)) if count is None else count
        it = self.gather_list(words_of(self.rng, self.rng.integers(0, TABLE_ROWS, count)), row_bytes)
        self.tb.watch_rows(it)
        return it

    # The tracker

    def dump(self) -> Descriptor:
        self.dumped = self.tb.state_rows
        return Descriptor(opcode=Opcode.DUMP, targets=(self.tb.state.address, 0, 0))

    def restore(self) -> Descriptor:
        """A RESTORE of what was dumped before."""
        return Descriptor(opcode=Opcode.RESTORE, source=self.tb.state.address, count=self.tb.state_rows)

    def select(self) -> Descriptor:
        events = 16 * (self.tb.geometry.max_moves + 1)
        return Descriptor(opcode=Opcode.SELECT, targets=(self.room("results", events), 0, 0))

    # At random

    def group(self, most: int = 5, spoiled: float = 0.15) -> list[Descriptor]:
        """Descriptors that may be submitted together. Some of them are malformed."""
        self.begin_group()
        makers: list[Callable[[], list[Descriptor]]] = [
            self._learn, self._classified, self._classified, self._classified, self._listed, self._listed, self._state,
            self._select, self._fence, self._front,
        ]  # fmt: skip
        made: list[Descriptor] = []
        while len(made) < self.rng.integers(1, most + 1):
            for it in makers[self.rng.integers(len(makers))]():
                made.append(self.spoil(it) if self.rng.random() < spoiled else it)
        return made[: self.tb.ring_size]

    def _learn(self) -> list[Descriptor]:
        return [self.learn()]

    def _front(self) -> list[Descriptor]:
        return [self.front()]

    def _fence(self) -> list[Descriptor]:
        return [Descriptor(opcode=Opcode.FENCE)]

    def _select(self) -> list[Descriptor]:
        return [self.select()]

    def _classified(self) -> list[Descriptor]:
        row_bytes = int(self.rng.choice([16, 32, 48, 64, 80]))
        relearn = Flag.LEARN if self.rng.random() < 0.3 else 0
        gathers = [self.gather(row_bytes, flags) for flags in (Flag.KEYS, Flag.HELD | Flag.KEYS)]
        return [self.classify(flags=relearn), *gathers[: int(self.rng.integers(0, 3))]]

    def _listed(self) -> list[Descriptor]:
        return [self.random_list(row_bytes=int(self.rng.choice([16, 32, 64, 80])))]

    def _state(self) -> list[Descriptor]:
        return [self.dump(), self.restore()][: int(self.rng.integers(1, 3))]

    def errors(self, words: np.ndarray, share: float = 0.2) -> np.ndarray:
        """Lookup words, some of them out of range."""
        bad = self.rng.random(len(words)) < share
        bad[0] = True
        bits = self.rng.integers(RESERVED_FIELD.low, RESERVED_FIELD.high + 1, len(words), dtype=np.uint64)
        return words | bad.astype(np.uint64) << bits

    def spoil(self, it: Descriptor) -> Descriptor:
        """Makes a descriptor malformed, by an error that every opcode has or in a field that its opcode uses."""
        wrong: list[Callable[[], Descriptor]] = [
            lambda: replace(it, reserved=1 << int(self.rng.integers(0, 16 + 128))),
            lambda: replace(it, opcode=int(self.rng.integers(9, 256))),
            lambda: replace(it, flags=it.flags | Flag.LEARN | 1 << int(self.rng.integers(5, 8))),
        ]
        if it.source:
            wrong.append(lambda: replace(it, source=it.source + 1 + int(self.rng.integers(63))))
            wrong.append(lambda: replace(it, source=self.tb.secret.address))
            wrong.append(lambda: replace(it, count=0))
        if it.targets[0]:
            wrong.append(lambda: replace(it, targets=(it.targets[0] + 16, *it.targets[1:])))
            wrong.append(lambda: replace(it, targets=(self.tb.secret.address, *it.targets[1:])))
        return wrong[self.rng.integers(len(wrong))]()


async def goes_on(tb: DeviceTB) -> None:
    """Checks that the device still carries out descriptors."""
    maker = Maker(tb, universe=3)  # few rows, so that the lists have room for them
    done = await tb.run(
        maker.learn(24), maker.classify(24), maker.gather(flags=Flag.KEYS), maker.gather(flags=Flag.HELD),
        maker.random_list(7), maker.select(),
    )  # fmt: skip
    ends = [Status(one.status).name for one in done]
    assert set(ends) == {"OK"}, f"descriptors after an error ended {', '.join(ends)}"
