"""The same bits from every backend of the whole device, and nothing lost, duplicated or reordered: 10 million lookups.

Random programmes compare everything that can be seen with the golden model. The mini-batches after them are judged
without it, from the words that a device left in memory and from what went in.

    lookups     backend               geometry  seeds
    9,600,000   model                 kaggle    3
    1,200,000   verilated             tiny      2, under two memories
      400,000   verilated             kaggle    1
        3,000   cocotb                tiny      1
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from hotline_device.device import Device
from hotline_device.registry import open_device
from hotline_device.ring_entries import Descriptor
from hotline_hw.spec.descriptors import (
    COLD_BANK,
    COLD_HELD,
    COLD_LOCAL,
    HIT_BIT,
    LAST_BIT,
    MAX_BANKS,
    SUMMARY_BYTES,
    SUMMARY_LISTS,
    VALUE_FIELD,
    Flag,
    Opcode,
    Status,
)
from hotline_hw.spec.params import PRESETS, Geometry
from hotline_hw.spec.shell_registers import shell_register
from hotline_hw.spec.words import TABLE_FIELD
from hotline_sim.memory.timing import PRESETS as TIMINGS
from hotline_sim.memory.timing import Latency, MemoryTiming
from hotline_sim.model.device import ModelDevice
from tests.support.gathering_runs import ROOMY
from tests.support.tools import needs
from tests.system.device_programs import RING_LOG2, Bench, Seen, check_equal, random_programme

TINY = PRESETS["tiny"]
CANARY = 0xA5
IDEAL = TIMINGS["ideal"]
DISORDER = replace(
    IDEAL, read_latency=Latency(40, "exponential", 160), write_latency=Latency(40, "exponential", 80), interleave=0.5,
    early_data=0.3, ar_stall=0.2, aw_stall=0.3, w_stall=0.3, r_gap=0.2, b_gap=0.3,
)  # fmt: skip
MEMORIES: dict[str, MemoryTiming] = {
    "ideal": IDEAL, "pcie4-x16": TIMINGS["pcie4-x16"], "ddr4-local": TIMINGS["ddr4-local"], "disorder": DISORDER,
    "limited": replace(DISORDER, reads=1, writes=1),
}  # fmt: skip


@needs("verilator")
@pytest.mark.parametrize(("memory", "seed"), list(itertools.product(MEMORIES, (11, 12))))
def test_random_programmes_as_on_the_model(memory: str, seed: int) -> None:
    with ModelDevice(TINY) as model:
        bench = Bench(model, TINY, seed)
        random_programme(bench, 40)
        expected = bench.seen()
    with open_device("verilated", TINY, timing=MEMORIES[memory], seed=seed) as device:
        bench = Bench(device, TINY, seed)
        random_programme(bench, 40)
        check_equal(bench.seen(), expected)


@needs("verilator")
def test_two_geometries_in_one_process() -> None:
    """Their libraries have classes of the same names."""

    def seen(device: Device, geometry: Geometry) -> Seen:
        assert device.read(shell_register("CAP_WORKING").offset) == geometry.working_rows
        bench = Bench(device, geometry, 3)
        random_programme(bench, 4)
        return bench.seen()

    with open_device("verilated", TINY) as one, open_device("verilated", ROOMY) as other:
        with open_device("verilated", TINY) as third:
            for device, geometry in ((one, TINY), (other, ROOMY), (third, TINY)):
                with ModelDevice(geometry) as model:
                    check_equal(seen(device, geometry), seen(model, geometry))


@needs("verilator")
def test_indexes_wrap() -> None:
    """Runs more descriptors than a ring index can tell apart, 65,536."""
    with open_device("verilated", TINY, timing="ideal") as device, ModelDevice(TINY) as model:
        benches = [Bench(one, TINY, 1) for one in (device, model)]
        fences = [Descriptor(opcode=Opcode.FENCE)] * (1 << RING_LOG2)
        for bench in benches:
            for _ in range((1 << 16) // len(fences) + 2):
                bench.run(*fences)
            assert bench.read("RING_PRODUCER") == 2 * len(fences)
        check_equal(benches[0].seen(), benches[1].seen())


class Stream:
    """A device that classifies one mini-batch after another, of 32-bit rows of T tables.

    Every row of every table is the same 16 bytes of memory (a stride of 0), so only keys tell rows apart.
    """

    def __init__(self, device: Device, geometry: Geometry, samples: int, tables: int) -> None:
        self.bench = Bench(device, geometry, 1)
        self.geometry, self.tables, self.lookups, self.hits = geometry, tables, 0, 0
        count, places = samples * tables, geometry.working_rows
        self.stride = -(-4 * count // 64) * 64
        self.source = device.memory.allocate("stream", 4 * count)
        self.results = device.memory.allocate("split", 2 * self.stride + SUMMARY_BYTES + samples // 8 + 4096)
        self.listed = device.memory.allocate("listed", 2 * (16 + 8) * places + 4096)
        for index, region in ((4, self.listed), (6, self.source), (7, self.results)):
            self.bench.window(index, region)
        for table in range(tables):
            self.bench.set_table(table, self.bench.table.address, (1 << 32) - 1, 0)
        self.last_keys = np.empty(0, np.uint64)

    def learn(self, rows: np.ndarray) -> None:
        """Learns rows, uint32 [samples, tables], and selects the hot ones."""
        self.source.data[: rows.nbytes] = rows.reshape(-1).view(np.uint8)
        learn = Descriptor(opcode=Opcode.LEARN, source=self.source.address, count=rows.size, operand=self.tables)
        select = Descriptor(opcode=Opcode.SELECT, targets=(self.results.address, 0, 0))
        for done in self.bench.run(learn, select, select, select):
            assert done.status == Status.OK, f"it ended {Status(done.status).name}"

    def classify(self, rows: np.ndarray, *, relearn: bool = False) -> None:
        """Classifies rows, uint32 [samples, tables], and judges what is in memory afterwards."""
        self.source.data[: rows.nbytes] = rows.reshape(-1).view(np.uint8)
        for region in (self.results, self.listed):
            region.data[:] = CANARY
        targets = [self.results.address + self.stride * place for place in range(3)]
        done = self.bench.run(
            Descriptor(
                opcode=Opcode.CLASSIFY, flags=Flag.LEARN if relearn else 0, source=self.source.address,
                count=rows.size, operand=self.tables, targets=(targets[0], targets[1], targets[2]),
            ),
            self._gather(0), self._gather(1),
        )  # fmt: skip
        self.bench.completions.clear()
        assert [one.status for one in done] == [Status.OK] * 3, f"they ended {[one.status for one in done]}"
        assert [one.listed for one in done[1:]] == [done[0].listed, done[0].held]
        lengths = done[0].popular_words, done[0].nonpopular_words
        self._check_canaries(lengths, len(rows), (done[0].listed, done[0].held))
        counts = self._counts()
        assert [counts[:MAX_BANKS].sum(), counts[MAX_BANKS:].sum()] == [done[0].listed, done[0].held]
        keys = [self._keys(held)[:count] for held, count in enumerate((done[0].listed, done[0].held))]
        packets = [self.results.array(n, np.uint32, self.stride * place) for place, n in enumerate(lengths)]
        self.hits += judge(rows, packets, self._popular(len(rows)), np.concatenate(keys), counts)
        held = np.isin(keys[1], self.last_keys).all() and not np.isin(keys[0], self.last_keys).any()
        assert held, "held are the rows that were in the lists of the mini-batch before, and no others"
        self.last_keys = np.concatenate(keys)
        self.lookups += rows.size

    def _gather(self, held: int) -> Descriptor:
        places = self.geometry.working_rows
        at = self.listed.address + 24 * places * held
        flags = Flag.KEYS | (Flag.HELD if held else 0)
        return Descriptor(opcode=Opcode.GATHER, flags=flags, operand=16, targets=(at, at + 16 * places, 0))

    def _keys(self, held: int) -> np.ndarray:
        places = self.geometry.working_rows
        return self.listed.array(places, np.uint64, 24 * places * held + 16 * places)

    def _popular(self, samples: int) -> np.ndarray:
        bits = self.results.data[2 * self.stride + SUMMARY_BYTES :][: -(-samples // 8)]
        return np.unpackbits(bits, bitorder="little")[:samples].astype(bool)

    def _counts(self) -> np.ndarray:
        banks, counts = self.geometry.banks, np.zeros(SUMMARY_LISTS, np.int64)
        lists = self.results.array(SUMMARY_LISTS, np.uint32, 2 * self.stride)
        for held in (0, MAX_BANKS):
            counts[held : held + banks] = lists[held : held + banks]
        return counts

    def _check_canaries(self, lengths: tuple[int, int], samples: int, rows: tuple[int, int]) -> None:
        """Checks behind both packets, between and behind the counts of the lists, behind the bits, rows and keys."""
        lists, banks, places = 2 * self.stride, self.geometry.banks, self.geometry.working_rows
        ends = [(self.stride * place + 4 * length, self.stride * (place + 1)) for place, length in enumerate(lengths)]
        ends += [(lists + 4 * banks, lists + 4 * MAX_BANKS), (lists + 4 * (MAX_BANKS + banks), lists + SUMMARY_BYTES)]
        ends += [(lists + SUMMARY_BYTES + -(-samples // 32) * 4, self.results.size)]
        gathered = [(24 * places * held + 16 * count, places * (24 * held + 16)) for held, count in enumerate(rows)]
        gathered += [
            (places * (24 * held + 16) + 8 * count, 24 * places * (held + 1)) for held, count in enumerate(rows)
        ]
        for region, extents in ((self.results, ends), (self.listed, gathered)):
            for begin, end in extents:
                assert (region.data[begin:end] == CANARY).all(), f"{region.name} was written from byte {begin} on"


def judge(
    rows: np.ndarray, packets: list[np.ndarray], popular: np.ndarray, keys: np.ndarray, counts: np.ndarray
) -> int:
    """Checks that the words in memory are the lookups that went in: each once, in order, in its sample's packet by the
    verdict bits.

    A cold lookup is known by the key at its place. For hot lookups, slots and rows must correspond one to one.

    Args:
        rows: uint32 [samples, tables]. packets: the words of the popular and of the non-popular samples.
        popular: bool [samples]. keys: of all lists, one after the other. counts: rows in each list.

    Returns:
        How many lookups are hot.
    """
    tables = rows.shape[1]
    names = (np.arange(tables, dtype=np.uint64) << np.uint64(TABLE_FIELD.low)) | rows.astype(np.uint64)
    assert len(np.unique(keys)) == len(keys), "a row is listed twice"
    first = np.cumsum(counts) - counts
    slots, hot_names, cold_names = [], [], []
    for words, chosen in zip(packets, (popular, ~popular), strict=True):
        due = names[chosen].ravel()
        assert len(words) == len(due), f"{len(words)} words of {len(due)} lookups"
        last = words >> LAST_BIT.low & 1
        assert (last.reshape(-1, tables) == (np.arange(tables) == tables - 1)).all(), "samples end elsewhere"
        hit = words >> HIT_BIT.low & 1 == 1
        whole = hit.reshape(-1, tables).all(axis=1)
        assert whole.all() if chosen is popular else not whole.any(), "a sample is in the other packet"
        value = (words & VALUE_FIELD.mask).astype(np.int64)
        cold = value[~hit]
        held, bank = cold >> COLD_HELD.low & 1, cold >> COLD_BANK.low & COLD_BANK.mask
        number = cold & COLD_LOCAL.mask
        assert (number < counts[MAX_BANKS * held + bank]).all(), "a place beyond its list"
        assert (keys[first[MAX_BANKS * held + bank] + number] == due[~hit]).all(), "a place of another row"
        slots.append(value[hit]), hot_names.append(due[hit]), cold_names.append(due[~hit])
    hot, slot, listed = np.concatenate(hot_names), np.concatenate(slots), np.unique(np.concatenate(cold_names))
    assert (
        len(np.unique(np.stack([slot.astype(np.uint64), hot]), axis=1).T) == len(np.unique(slot)) == len(np.unique(hot))
    )
    assert np.array_equal(listed, np.sort(keys)), "the lists hold other rows than the cold ones"
    assert not np.isin(hot, listed).any(), "a row is hot and cold"
    _check_order(names, keys, counts)
    return len(hot)


def _check_order(names: np.ndarray, keys: np.ndarray, counts: np.ndarray) -> None:
    """A list is in the order in which its rows first appeared."""
    rows, first = np.unique(names.ravel(), return_index=True)
    appeared = first[np.searchsorted(rows, keys)]
    list_of = np.repeat(np.arange(len(counts)), counts)
    same = np.diff(list_of) == 0
    assert (np.diff(appeared)[same] > 0).all(), "a list is not in the order of first appearance"


def run_stream(backend: str, geometry: Geometry, seed: int, batches: int, shape: tuple[int, int], **options) -> int:
    """Runs mini-batches of random rows, some hot and some new. Returns how many lookups there were."""
    rng, (samples, tables) = np.random.default_rng(seed), shape
    small = geometry.working_rows < samples * tables
    if backend != "model":
        options["seed"] = seed
    with open_device(backend, geometry, **options) as device:
        stream = Stream(device, geometry, samples, tables)

        def rows() -> np.ndarray:
            if small:  # few different rows, so that they find places
                base = 1000 + int(rng.integers(1 << 20))
                pool = np.concatenate([np.arange(3), base + np.arange(2)])
                return rng.choice(pool, (samples, tables), p=[0.3, 0.3, 0.3, 0.05, 0.05]).astype(np.uint32)
            drawn = np.minimum(rng.zipf(1.3, (samples, tables)), 1 << 31).astype(np.uint32)
            drawn[: samples // 2] %= 50
            return drawn

        stream.learn(rows())
        for number in range(batches):
            stream.classify(rows(), relearn=number % 8 == 7)
        assert 0 < stream.hits < stream.lookups
        return stream.lookups


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_model(seed: int) -> None:
    assert run_stream("model", PRESETS["kaggle"], seed, 121, (1024, 26)) >= 3_200_000


@needs("verilator")
@pytest.mark.parametrize(("memory", "seed"), [("ideal", 4), ("disorder", 5)])
def test_verilated(memory: str, seed: int) -> None:
    timing = MEMORIES[memory]
    assert run_stream("verilated", TINY, seed, 262, (768, 3), timing=timing) >= 600_000


@needs("verilator")
@pytest.mark.slow
def test_verilated_with_fewer_ids_than_reads() -> None:
    geometry = replace(TINY, name="tiny-ids", read_tags=32, axi_id_bits=2)
    assert run_stream("verilated", geometry, 8, 60, (768, 3), timing=MEMORIES["disorder"]) >= 100_000


@needs("verilator")
@pytest.mark.slow
def test_verilated_at_full_size() -> None:
    assert run_stream("verilated", PRESETS["kaggle"], 6, 16, (1024, 26), timing="pcie4-x16") >= 400_000


@needs("verilator")
def test_cocotb() -> None:
    assert run_stream("cocotb", TINY, 7, 5, (256, 3), timing=DISORDER) >= 3_000
