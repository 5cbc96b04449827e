"""WorkingList in Amaranth's simulator, against the golden model: one bank, with lookups answered as by a tracker."""

from __future__ import annotations

import random
import warnings
from dataclasses import dataclass
from unittest import mock

import numpy as np
import pytest
from amaranth.sim import Simulator

from hotline_hw.core.bank import working
from hotline_hw.core.bank.working import LIST_DOMAIN, WorkingList, place_layout
from hotline_hw.spec.descriptors import COLD_HELD, COLD_LOCAL, MAX_BANKS, NOT_LISTED
from hotline_hw.spec.feistel import mix, unmix
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import TABLE_FIELD
from hotline_sim.bench.stimulus import key_words
from hotline_sim.model.working import WorkingLists
from tests.formal.mutants import mutated
from tests.support.working_mutants import MUTANTS, PROVEN

TINY_EPOCH_BITS = 2  # each table is walked every third mini-batch
ANSWER_LATENCY = 3  # of a tracker
LATENCY = ANSWER_LATENCY + 7  # of the first answer


def geometry(places: int, *, key_bits: int = 14, queue_depth: int = 8) -> Geometry:
    """Two banks with `places` in each one's lists."""
    return Geometry(
        lanes=2, banks=2, sets=2, ways=2, table_bits=2, row_bits=key_bits - 2, bank_ports=1, queue_depth=queue_depth,
        axi_bits=128, working_rows=2 * places, read_tags=2, read_beats=32,
    )  # fmt: skip


@dataclass
class Batch:
    """A mini-batch of one bank: for each lookup a tag, and its slot if it hits, None if it misses."""

    tags: list[int]
    slots: list[int | None]
    enable: bool = True


@dataclass
class Seen:
    """What the unit answered to a mini-batch: for each lookup the slot, or the place (number, held), or None."""

    answers: list[tuple[str, int, bool] | None]
    lists: list[list[int]]
    full: bool
    cycles: int


def run(dut: WorkingList, batches: list[Batch], *, seed: int = 1, calm: bool = False) -> list[Seen]:
    """Runs mini-batches. Lookups are offered at random, or when `calm` as fast as credits allow."""
    g = dut.geometry
    draw = random.Random(seed)
    seen = []

    async def one(ctx, batch: Batch) -> Seen:
        while not ctx.get(dut.ready):
            await ctx.tick()
        ctx.set(dut.start, 1)
        ctx.set(dut.enable, batch.enable)
        await ctx.tick()
        ctx.set(dut.start, 0)
        while not ctx.get(dut.ready):
            await ctx.tick()
        answers: list = []
        on_way: list[int | None] = [None] * ANSWER_LATENCY  # indexes of lookups that the tracker has not answered yet
        sent = cycles = 0
        while len(answers) < len(batch.tags):
            offer = sent < len(batch.tags) and sent - len(answers) < g.queue_depth and (calm or draw.random() < 0.6)
            ctx.set(dut.tag_valid, offer)
            if offer:
                ctx.set(dut.tag, batch.tags[sent])
            on_way.append(sent if offer else None)
            sent += offer
            answered = on_way.pop(0)
            ctx.set(dut.answer_valid, answered is not None)
            if answered is not None:
                slot = batch.slots[answered]
                ctx.set(dut.hit, slot is not None)
                ctx.set(dut.slot, draw.getrandbits(g.slot_bits) if slot is None else slot)
            if ctx.get(dut.output_valid):
                output = ctx.get(dut.output)
                place = place_layout(g).from_bits(output & (1 << place_layout(g).size) - 1)
                if ctx.get(dut.output_hit):
                    answers.append(("hit", output, False))
                else:
                    answers.append(("listed", place.number, bool(place.held)) if place.listed else None)
            cycles += 1
            assert cycles < 100 * (len(batch.tags) + 2), "answers come"
            await ctx.tick()
        ctx.set(dut.answer_valid, 0)
        for _ in range(LATENCY):
            assert not ctx.get(dut.output_valid), "no answer too many"
            await ctx.tick()
        lists = []
        for held, count in enumerate((ctx.get(dut.count), ctx.get(dut.held_count))):
            lists.append([])
            ctx.set(dut.list_held, held)
            for number in range(count):
                ctx.set(dut.list_number, number)
                await ctx.tick(LIST_DOMAIN)
                lists[-1].append(ctx.get(dut.list_tag))
        return Seen(answers, lists, bool(ctx.get(dut.full)), cycles)

    async def bench(ctx):
        for batch in batches:
            seen.append(await one(ctx, batch))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_clock(1e-8, domain=LIST_DOMAIN)
    simulator.add_testbench(bench)
    simulator.run()
    return seen


def expected(g: Geometry, batches: list[Batch], bank: int = 1) -> list[Seen]:
    """What the golden model says of one bank's share of mini-batches. No other bank has any. It has no cycles.

    A mini-batch that is not enabled also begins new lists, which stay empty.
    """
    model = WorkingLists(g)
    seen = []
    for batch in batches:
        missed = [index for index, slot in enumerate(batch.slots) if slot is None]
        tags = np.array([batch.tags[index] for index in missed if batch.enable], np.uint64)
        words = key_words(g, unmix(tags << g.bank_bits | np.uint64(bank), g.key_bits), last=False)
        places = iter(model.list_batch(words).tolist())
        answers: list = [None if slot is None else ("hit", slot, False) for slot in batch.slots]
        for index in missed if batch.enable else []:
            place = next(places)
            if place != NOT_LISTED:
                answers[index] = ("listed", place & COLD_LOCAL.mask, bool(place >> COLD_HELD.low))
        lists = []
        for held in (False, True):
            names = model.keys(held)
            keys = names >> TABLE_FIELD.low << np.uint64(g.row_bits) | names & np.uint64((1 << g.row_bits) - 1)
            lists.append((mix(keys, g.key_bits) >> g.bank_bits).tolist())
            assert len(names) == model.counts[MAX_BANKS * held + bank]
        seen.append(Seen(answers, lists, model.full, 0))
    return seen


def compare(dut: WorkingList, batches: list[Batch], **how) -> list[Seen]:
    """Runs mini-batches, and compares everything but time. Returns what was seen, for further checks."""
    seen = run(dut, batches, **how)
    for index, (found, due) in enumerate(zip(seen, expected(dut.geometry, batches), strict=True)):
        for lookup, (got, want) in enumerate(zip(found.answers, due.answers, strict=True)):
            assert got == want, f"mini-batch {index}, lookup {lookup}: {got}, not {want}"
        assert found.lists == due.lists, f"mini-batch {index}"
        assert found.full == due.full, f"mini-batch {index}"
    return seen


def random_batches(g: Geometry, draw: random.Random, pool: list[int], count: int, longest: int) -> list[Batch]:
    """Mini-batches of tags from `pool`. Some are all misses, some are not listed."""
    batches = []
    for _ in range(count):
        tags = draw.choices(pool, k=draw.randint(0, longest))
        hits = draw.choice([0.0, 0.3, 0.9])
        slots = [draw.getrandbits(g.slot_bits) if draw.random() < hits else None for _ in tags]
        batches.append(Batch(tags, slots, enable=draw.random() < 0.9))
    return batches


@pytest.fixture
def short_epochs():
    with mock.patch.object(working, "_EPOCH_BITS", TINY_EPOCH_BITS):
        yield


def same_home(g: Geometry, count: int) -> list[int]:
    """Tags whose searches all begin at the last entry but one, so that they wrap around."""
    home = (2 << g.local_bits) - 2
    return [high << g.local_bits + 1 | home for high in range(count)]


@pytest.mark.parametrize("calm", [False, True], ids=["stalls", "calm"])
@pytest.mark.parametrize("places", [2, 4, pytest.param(16, marks=pytest.mark.long)])
def test_random_mini_batches(places, calm, short_epochs):
    """Mini-batches with too few rows to fill the lists, and with too many."""
    g = geometry(places)
    for seed, rows in enumerate((places, 2 * places, 4 * places)):
        draw = random.Random(seed)
        pool = [draw.getrandbits(g.tag_bits) for _ in range(rows)]
        batches = random_batches(g, draw, pool, 60, 6 * places)
        due = expected(g, batches)
        assert any(seen.lists[1] for seen in due) and any(not batch.enable for batch in batches)
        assert any(seen.full for seen in due) == (rows > places)
        compare(WorkingList(g), batches, seed=seed, calm=calm)


@pytest.mark.parametrize("places", [2, 4, 8])
def test_tags_that_all_collide(places, short_epochs):
    g = geometry(places)
    draw = random.Random(places)
    batches = random_batches(g, draw, same_home(g, places + 3), 80, 4 * places)
    compare(WorkingList(g), batches, calm=True)


def test_every_tag_of_a_table_that_is_larger_than_tags():
    """Tags of five bits, tables of 64 entries. No two tags collide, and an index is wider than a tag."""
    g = geometry(32, key_bits=6)
    tags = list(range(1 << g.tag_bits))
    batches = [Batch(tags + tags[::-1], [None] * 2 * len(tags)), Batch(tags[::-2], [None] * (len(tags) // 2))]
    seen = compare(WorkingList(g), batches)
    assert seen[0].lists == [tags, []] and seen[1].lists == [[], tags[::-2]]


@pytest.mark.long
def test_epochs_come_round():
    """More mini-batches than a table has epochs. Entries of the last round are not taken for entries of this one."""
    g = geometry(2)
    draw = random.Random(3)
    pool = [draw.getrandbits(g.tag_bits) for _ in range(5)]
    batches = random_batches(g, draw, pool, 1100, 3)
    assert len(batches) > 2 * 2 * 255
    compare(WorkingList(g), batches)


def test_a_row_is_held_for_one_mini_batch_only():
    g = geometry(4)
    row, other = [5], [6]
    miss = [None]
    seen = compare(WorkingList(g), [Batch(row, miss), Batch(row, miss), Batch(other, miss), Batch(row, miss)])
    assert [found.lists for found in seen] == [[[5], []], [[], [5]], [[6], []], [[5], []]]


def test_an_answer_a_cycle():
    """Hits, and misses that end at their first entry, new or known."""
    g = geometry(64, queue_depth=32)
    entries = 2 << g.local_bits
    new = list(range(0, entries, 2))
    for tags, slots in ((new * 4, [None] * 256), (new * 4, [1] * 256), (new * 2, [None, 2] * 64)):
        seen = compare(WorkingList(g), [Batch(tags, slots), Batch(tags, slots)], calm=True)
        for found in seen:
            assert found.cycles <= len(tags) + LATENCY


def test_what_a_further_probe_takes():
    g = geometry(16, queue_depth=32)
    tags = same_home(g, 16)
    further = sum(range(16))
    for seen in compare(WorkingList(g), [Batch(tags, [None] * 16), Batch(tags, [None] * 16)], calm=True):
        assert seen.cycles <= len(tags) + WorkingList.PROBE * further + LATENCY


def test_the_same_row_again_takes_no_longer():
    """Rows that come again while they are being written, with one, two, and up to six others between."""
    g = geometry(64, queue_depth=32)
    for between in range(1, 8):
        tags = [tag for first in range(0, 64, between) for tag in 2 * list(range(2 * first, 2 * (first + between), 2))]
        tags = tags[: 2 * 56 // between * between]
        [seen] = compare(WorkingList(g), [Batch(tags, [None] * len(tags))], calm=True)
        assert seen.cycles <= len(tags) + LATENCY


@pytest.mark.parametrize("mutant", [name for name in MUTANTS if name not in PROVEN])
def test_a_broken_list_is_caught(mutant):
    """Those that `PROVEN` lists are for the proof."""
    broken = mutated(WorkingList, *MUTANTS[mutant])
    broken.elaborate.__globals__["_EPOCH_BITS"] = TINY_EPOCH_BITS

    def simulate() -> None:
        for places in (2, 4):
            g = geometry(places)
            draw = random.Random(places)
            pool = same_home(g, places + 3) + [draw.getrandbits(g.tag_bits) for _ in range(places)]
            compare(broken(g), random_batches(g, draw, pool, 60, 6 * places), calm=True)

    with pytest.raises(AssertionError, match="mini-batch|answer"):
        simulate()
