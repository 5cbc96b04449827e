"""The golden model of descriptors: results against plain Python, and every status."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hotline_device.host_memory import PAGE_BYTES
from hotline_device.ring_entries import Descriptor
from hotline_hw.spec.descriptors import COLD_LOCAL, MAX_COUNT, NOT_LISTED, SUMMARY_BYTES, Flag, Opcode, Status
from hotline_hw.spec.feistel import mix
from hotline_hw.spec.params import PRESETS
from hotline_hw.spec.regmap import Command, Error, Phase
from hotline_hw.spec.shell_registers import DmaCommand
from hotline_sim.bench.stimulus import random_batches
from hotline_sim.model.core import GoldenCore
from hotline_sim.model.device import ModelDevice
from tests.support.registers import RawRings

TINY = PRESETS["tiny"]
LAST = np.uint64(1 << 63)
KEY = (1 << 40) - 1
FENCE = Descriptor(opcode=Opcode.FENCE)


@pytest.fixture(params=[False, True], ids=["fast", "reference"])
def rings(request):
    with ModelDevice(TINY, reference=request.param) as device:
        yield RawRings(device)


@pytest.fixture
def raw():
    with ModelDevice(TINY) as device:
        yield RawRings(device)


# Descriptors


def put_words(rings: RawRings, words: np.ndarray, window: int = 1):
    region = rings.buffer(window, -(-max(8, words.nbytes) // PAGE_BYTES))
    region.array(len(words), words.dtype)[:] = words
    return region


def classify(rings: RawRings, words: np.ndarray, flags: int = 0, tables: int = 0):
    """The completion, and the words and the summary in memory."""
    source, out = put_words(rings, words), rings.buffer(2, 3 * (1 + words.nbytes // PAGE_BYTES))
    third = out.size // 3
    done = rings.run(
        Descriptor(
            opcode=Opcode.CLASSIFY,
            flags=flags,
            tag=77,
            source=source.address,
            count=len(words),
            operand=tables,
            targets=(out.address, out.address + third, out.address + 2 * third),
        )
    )
    results = [out.array(third // 4, np.uint32, place * third) for place in range(3)]
    assert (
        done.tag == 77 and not results[0][done.popular_words :].any() and not results[1][done.nonpopular_words :].any()
    )
    return done, results[0][: done.popular_words], results[1][: done.nonpopular_words], results[2]


def expected_lists(batches: list[np.ndarray]) -> tuple[list[int], list[list[int]]]:
    """For the last mini-batch, by dictionaries: each cold lookup's list and number in a word, and the lists.

    `batches` hold the keys of cold lookups, table << 32 | row.
    """
    before: set[int] = set()
    for keys in batches:
        lists: list[list[int]] = [[] for _ in range(256)]
        places: dict[int, int] = {}
        for key in keys:
            if key not in places:
                bank = mix((key >> 32) << TINY.row_bits | key & 0xFFFF_FFFF, TINY.key_bits) % TINY.banks
                held = key in before
                full = len(lists[bank]) + len(lists[128 + bank]) == TINY.working_rows // TINY.banks
                places[key] = NOT_LISTED
                if not full:
                    mine = lists[128 * held + bank]
                    places[key] = (128 * held + bank) << COLD_LOCAL.width | len(mine)
                    mine.append(key)
        before = {key for key, place in places.items() if place != NOT_LISTED}
        words = [places[key] for key in keys]
    return words, lists


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("errors", [False, True])
def test_classify_is_the_cores_split_in_other_words(rings, seed, errors):
    rng = np.random.default_rng(seed)
    rates = {"index_errors": 0.03, "long_errors": 0.05, "open_errors": 0.2} if errors else {}
    stream = random_batches(rng, TINY, 12, lookups=4, hot_keys=8, hot_share=0.9, **rates)
    core, cold, statuses = GoldenCore(TINY), [], set()
    for number, words in enumerate(stream):
        core.errors = Error(0)
        if number % 3 == 0:
            region = put_words(rings, words)
            done = rings.run(Descriptor(opcode=Opcode.LEARN, source=region.address, count=len(words)))
            core.run_batch(words, Phase.LEARN)
            assert (done.samples, done.listed, done.popular_words) == (0, 0, 0)
            events = rings.buffer(3)
            assert rings.run(Descriptor(opcode=Opcode.SELECT, targets=(events.address, 0, 0))).listed == len(
                core.select()
            )
        else:
            learn = number % 3 == 1
            done, popular, nonpopular, summary = classify(rings, words, Flag.LEARN if learn else 0)
            packets = core.run_batch(words, Phase.RELEARN if learn else Phase.CLASSIFY)
            known = [core.place(word) is not None for word in words.tolist()]
            misses = [not word >> 62 & 1 for word in core.answers.tolist()]
            cold.append([w & KEY for w, k, miss in zip(words.tolist(), known, misses, strict=True) if k and miss])
            places, lists = expected_lists(cold)
            listed = iter(places)
            expected: tuple[list[int], list[int]] = [], []  # in stream order
            verdicts = [False] * (int(core.answers[-1] >> np.uint64(40)) % (1 << 22) + 1)
            for sample in packets[0].tolist():
                verdicts[sample >> 40 & 0x3FFFFF] = True
            for word, k in zip(core.answers.tolist(), known, strict=True):
                hit, last = word >> 62 & 1, word >> 63
                value = word & 0xFFFF_FFFF if hit else next(listed) if k else NOT_LISTED
                expected[not verdicts[word >> 40 & 0x3FFFFF]].append(last << 31 | hit << 30 | value)
            assert (popular.tolist(), nonpopular.tolist()) == expected
            bits = np.unpackbits(summary.view(np.uint8)[SUMMARY_BYTES:], bitorder="little")
            assert bits[: len(verdicts)].tolist() == verdicts and not bits[len(verdicts) :].any()
            assert (done.samples, done.popular_samples) == (len(verdicts), sum(verdicts))
            counts = summary[:256].tolist()
            assert counts == [len(one) for one in lists]
            assert (done.listed, done.held) == (sum(counts[:128]), sum(counts[128:]))
            if not core.errors:
                assert done.status == (Status.WORKING if NOT_LISTED in places else Status.OK)
        assert done.errors == core.errors and (done.status == Status.CORE) == bool(core.errors)
        statuses.add(done.status)
        assert rings.csr.errors() == core.errors
    assert (Status.CORE in statuses) == errors


def test_held_rows_and_a_gather_of_each_kind(raw):
    words = np.array([5, 9, 5, 7], np.uint64) | LAST
    classify(raw, words)
    done, _, nonpopular, _ = classify(raw, np.array([9, 11, 5, 9], np.uint64) | LAST)
    assert (done.listed, done.held) == (1, 2)
    assert nonpopular[0] == nonpopular[3] and nonpopular[0] >> 29 & 1 and not nonpopular[1] >> 29 & 1
    tables, out = raw.buffer(3), raw.buffer(4, 2)
    values = tables.array((64, 4), np.uint32)
    values[:] = np.arange(256).reshape(64, 4)
    raw.set_table(0, tables.address, 64, 16)
    for flags, rows in ((0, {11}), (Flag.HELD, {9, 5})):
        gather = Descriptor(
            opcode=Opcode.GATHER,
            flags=flags | Flag.KEYS,
            operand=16,
            targets=(out.address, out.address + PAGE_BYTES, 0),
        )
        assert raw.run(gather).listed == len(rows)
        keys = out.array(len(rows), np.uint64, PAGE_BYTES)
        assert set(keys.tolist()) == rows
        np.testing.assert_array_equal(out.array((len(rows), 4), np.uint32), values[keys.astype(int)])


def test_rows_of_32_bits(raw):
    rows = np.array([4, 7, 2, 4, 9, 2], np.uint32)
    region = put_words(raw, rows)
    assert raw.run(Descriptor(opcode=Opcode.LEARN, source=region.address, count=6, operand=3)).status == Status.OK
    state = raw.device.core.dump()
    twin = GoldenCore(TINY)
    words = np.array([4, 1 << 32 | 7, 2 << 32 | 2, 4, 1 << 32 | 9, 2 << 32 | 2], np.uint64)
    words[[2, 5]] |= LAST
    twin.run_batch(words, Phase.LEARN)
    np.testing.assert_array_equal(state, twin.dump())
    done, _, nonpopular, _ = classify(raw, rows, tables=3)
    assert done.samples == 2 and (nonpopular >> 31).tolist() == [0, 0, 1, 0, 0, 1]


def test_dump_select_and_restore(rings):
    words = np.concatenate(random_batches(np.random.default_rng(3), TINY, 4))
    source = put_words(rings, words)
    rings.run(Descriptor(opcode=Opcode.LEARN, source=source.address, count=len(words)))
    state, events = rings.buffer(2), rings.buffer(3)
    done = rings.run(Descriptor(opcode=Opcode.SELECT, targets=(events.address, 0, 0)))
    moves = events.array((done.listed, 2), np.uint64)
    assert done.listed == 9 and (moves[:-1, 0] >> np.uint64(63)).all() and moves[-1, 0] == 8
    done = rings.run(Descriptor(opcode=Opcode.DUMP, targets=(state.address, 0, 0)))
    assert done.listed == 32
    core = rings.device.core
    kept = state.array((32, 4), np.uint64)
    np.testing.assert_array_equal(kept, core.dump())
    rings.csr["COMMAND"] = Command.CLEAR
    assert not core.dump().any()
    assert rings.run(Descriptor(opcode=Opcode.RESTORE, source=state.address, count=32)).status == Status.OK
    np.testing.assert_array_equal(core.dump(), kept)


def test_a_list_names_rows_whatever_its_last_bits(raw):
    words, tables, out = put_words(raw, np.array([1, 2 | 1 << 63, 3, 4], np.uint64)), raw.buffer(2), raw.buffer(3)
    values = tables.array((8, 4), np.float32)
    values[:] = np.arange(32).reshape(8, 4)
    raw.set_table(0, tables.address, 8, 16)
    listed = Descriptor(
        opcode=Opcode.GATHER, flags=Flag.LIST, source=words.address, count=4, operand=16, targets=(out.address, 0, 0)
    )
    assert raw.run(listed).listed == 4
    np.testing.assert_array_equal(out.array((4, 4), np.float32), values[1:5])
    raw.csr["DMA_COMMAND"] = DmaCommand.SNAPSHOT
    assert raw.dma_counter("rows_gathered") == 4


# Status


@pytest.fixture
def all_right(raw):
    """A right descriptor of each kind, by name. All buffers are in one region and in window 1 of WINDOW."""
    region = raw.buffer(1, 16)
    region.array(64, np.uint64)[:] = LAST | np.uint64(3)
    raw.set_table(0, region.address, 8, 64)
    raw.set_table(1, region.address, 8, 64)
    at = [region.address + 4 * PAGE_BYTES * place for place in range(4)]
    kinds = {
        "fence": FENCE,
        "learn": Descriptor(opcode=Opcode.LEARN, source=at[0], count=64),
        "classify": Descriptor(opcode=Opcode.CLASSIFY, source=at[0], count=64, targets=(at[1], at[2], at[3])),
        "narrow": Descriptor(
            opcode=Opcode.CLASSIFY, source=at[0] + 512, count=64, operand=2, targets=(at[1], at[2], at[3])
        ),
        "gather": Descriptor(opcode=Opcode.GATHER, flags=Flag.KEYS, operand=64, targets=(at[1], at[2], 0)),
        "list": Descriptor(
            opcode=Opcode.GATHER, flags=Flag.LIST, source=at[0], count=64, operand=64, targets=(at[1], 0, 0)
        ),
        "dump": Descriptor(opcode=Opcode.DUMP, targets=(at[1], 0, 0)),
        "restore": Descriptor(opcode=Opcode.RESTORE, source=at[2], count=32),
        "select": Descriptor(opcode=Opcode.SELECT, targets=(at[1], 0, 0)),
        "front": Descriptor(opcode=Opcode.FRONT, source=at[0], count=64),
    }  # fmt: skip
    assert {name: raw.run(it).status for name, it in kinds.items()} == dict.fromkeys(kinds, Status.OK)
    return kinds, region


def targets(place: int, address: int):
    return lambda it: replace(it, targets=tuple(address if i == place else t for i, t in enumerate(it.targets)))


def change(**fields):
    return lambda it: replace(it, **fields)


REFUSED = [
    *((name, change(reserved=1 << bit), Status.OPCODE) for name, bit in (("fence", 0), ("learn", 15), ("dump", 143))),
    ("fence", change(opcode=0), Status.OPCODE),
    ("fence", change(opcode=9), Status.OPCODE),
    ("fence", change(flags=Flag.LEARN), Status.OPCODE),
    ("learn", change(flags=Flag.LEARN), Status.OPCODE),
    ("classify", change(flags=Flag.HELD), Status.OPCODE),
    ("gather", change(flags=Flag.LEARN), Status.OPCODE),
    ("gather", change(flags=1 << 5), Status.OPCODE),
    ("gather", change(flags=1 << 7), Status.OPCODE),
    ("list", change(flags=Flag.LIST | Flag.HELD), Status.OPCODE),
    ("list", change(flags=Flag.LIST | Flag.KEYS), Status.OPCODE),
    ("list", change(flags=Flag.LIST | 1 << 6), Status.OPCODE),
    ("list", change(flags=Flag.LIST | 1 << 7, operand=0), Status.OPCODE),
    ("learn", change(source=32, count=0), Status.ALIGNMENT),
    ("classify", targets(0, 8), Status.ALIGNMENT),
    ("classify", targets(1, 16), Status.ALIGNMENT),
    ("classify", targets(2, 32), Status.ALIGNMENT),
    ("gather", change(operand=24), Status.ALIGNMENT),
    ("gather", targets(1, 32), Status.ALIGNMENT),
    ("gather", targets(2, 32), Status.OK),
    ("list", change(source=16), Status.ALIGNMENT),
    ("dump", targets(0, 16), Status.ALIGNMENT),
    ("restore", change(source=48), Status.ALIGNMENT),
    ("select", targets(0, 16), Status.ALIGNMENT),
    ("learn", change(count=0), Status.LENGTH),
    ("learn", change(count=MAX_COUNT + 1, source=0), Status.LENGTH),
    ("learn", change(count=MAX_COUNT), Status.WINDOW),
    ("narrow", change(operand=257, count=257), Status.LENGTH),
    ("narrow", change(operand=5), Status.LENGTH),
    ("list", change(count=0), Status.LENGTH),
    ("gather", change(operand=0), Status.LENGTH),
    ("gather", change(operand=4112), Status.LENGTH),
    ("list", change(operand=4112), Status.LENGTH),
    ("restore", change(count=31), Status.LENGTH),
    ("learn", change(source=0), Status.WINDOW),
    ("learn", change(source=(1 << 64) - 64), Status.WINDOW),
    ("gather", targets(0, 0), Status.WINDOW),
    ("gather", targets(1, 0), Status.WINDOW),
    ("classify", targets(2, (1 << 64) - 64), Status.WINDOW),
    ("fence", change(source=7, count=9, operand=3, targets=(1, 2, 3)), Status.OK),
    ("gather", change(source=7, count=9), Status.OK),
    ("select", change(count=9, operand=3), Status.OK),
]


@pytest.mark.parametrize(("name", "wrong", "status"), REFUSED)
def test_what_is_refused(raw, all_right, name, wrong, status):
    kinds, _ = all_right
    before = dict(raw.device.core.counters)
    done = raw.run(wrong(kinds[name]))
    assert done.status == status and done.address == 0
    if status != Status.OK:
        assert raw.device.core.counters == before


@pytest.mark.parametrize(
    ("rights", "status"),
    [
        ({"write": False}, {"learn": 0, "dump": 4, "restore": 0}),
        ({"read": False}, {"learn": 4, "dump": 0, "restore": 4}),
    ],
)
def test_rights(raw, all_right, rights, status):
    kinds, region = all_right
    raw.set_window(1, region, **rights)
    assert {name: raw.run(kinds[name]).status for name in status} == status


def test_a_hole_between_windows_is_found_as_it_is_touched(raw):
    """First and last page of a buffer are in windows, and the one between them is not."""
    source, out = put_words(raw, np.arange(2048, dtype=np.uint64) | LAST), raw.buffer(2, 12)
    it = Descriptor(
        opcode=Opcode.CLASSIFY, source=source.address, count=2048,
        targets=(out.address, out.address + 4 * PAGE_BYTES, out.address + 8 * PAGE_BYTES),
    )  # fmt: skip
    assert raw.run(it).status == Status.WORKING
    for index, page in ((1, 0), (3, 3)):
        raw.set_window(index, replace(source, address=source.address + page * PAGE_BYTES), pages=1)
    raw.device.core.reset_counters()
    done = raw.run(it)
    assert (done.status, done.address) == (Status.WINDOW, source.address + PAGE_BYTES)
    assert raw.device.core.counters["lookups"] == 1024, "what cannot be read is left out"


def test_memory_that_is_not_there(raw, all_right):
    """A window without memory. A bus answers DECERR there."""
    kinds, region = all_right
    beyond = region.address + region.size
    raw.set_window(2, replace(region, address=beyond), pages=64)
    done = raw.run(replace(kinds["learn"], source=beyond))
    assert (done.status, done.address, done.errors) == (Status.READ, beyond, Error.EMPTY_BATCH)
    done = raw.run(targets(1, beyond + 64)(kinds["classify"]))
    assert (done.status, done.address) == (Status.WRITE, beyond + 64)
    raw.set_table(0, beyond, 8, 64)
    assert raw.run(kinds["list"]).status == Status.READ
    raw.set_table(0, region.address, 8, 64)
    assert raw.run(targets(0, beyond)(kinds["list"])).status == Status.WRITE
    assert raw.run(replace(kinds["restore"], source=beyond)).status == Status.READ
    assert raw.run(targets(0, beyond)(kinds["dump"])).status == Status.WRITE


def test_rows_are_checked_one_by_one(raw, all_right):
    kinds, region = all_right
    names = region.array(64, np.uint64)
    out = region.array(64 * 64, np.uint8, 4 * PAGE_BYTES)
    last = region.address + region.size - 64
    raw.set_table(1, last - 64, 4, 64)  # its rows 2 and 3 are beyond the window
    for bad, status, address in (
        (2 << 32, Status.TABLE, 0),
        (8, Status.ROW, 0),
        (1 << 32 | 2, Status.WINDOW, last + 64),
        (1 << 32 | 1, Status.OK, 0),
    ):
        names[:] = 3
        names[40] = bad
        names[41:] = 5 << 32  # a table that is not set up: it is found only if names[40] is right
        out[:] = 7
        done = raw.run(kinds["list"])
        if status == Status.OK:
            assert (done.status, done.listed) == (Status.TABLE, 41)
        else:
            assert (done.status, done.address, done.listed) == (status, address, 40)
        assert (out[done.listed * 64 :] == 7).all()
