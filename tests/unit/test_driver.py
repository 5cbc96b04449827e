"""The driver against the model backend, and against devices that answer wrongly."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotline_host.aging import AgingControl
from hotline_host.data.log import Batch
from hotline_host.driver import Driver, DriverError, Moves, Policy, Split
from hotline_host.packets import pack
from hotline_hw.params import PRESETS, Geometry
from hotline_hw.regmap import Command, Error, Phase, register
from hotline_hw.words import ENTRY_VALID, HIT_FIELD, ROW_FIELD, SAMPLE_FIELD
from hotline_sim.device import DeviceTimeout
from hotline_sim.model_core import ModelCore
from hotline_sim.stream_core import Results
from tests.unit.strategies import geometries, seeds

TINY = PRESETS["tiny"]
SRRIP = TINY.override({"entries_per_hot_row": 1})


def batch_of(lengths: np.ndarray, indices: np.ndarray) -> Batch:
    dense, label = np.empty((len(lengths), 0), np.float32), np.zeros(len(lengths), np.float32)
    return Batch(indices.astype(np.int64), lengths.astype(np.int64), dense, label)


def random_batch(rng: np.random.Generator, geometry: Geometry = TINY, tables: int = 3, rows: int = 12) -> Batch:
    """Multi-hot, with empty bags and empty samples, within the limits of any small geometry."""
    samples = int(rng.integers(0, geometry.max_samples + 1)) if geometry.max_samples < 9 else int(rng.integers(0, 9))
    lengths = rng.integers(0, 3, (samples, min(tables, 1 << geometry.table_bits)))
    lengths[rng.random(samples) < 0.3] = 0
    while (lengths.sum(1) > geometry.max_lookups).any():
        lengths[lengths.sum(1) > geometry.max_lookups] //= 2
    return batch_of(lengths, rng.integers(0, min(rows, 1 << geometry.row_bits), lengths.sum()))


@pytest.fixture(params=[TINY, SRRIP], ids=["sample_aware", "srrip"])
def driver(request):
    with ModelCore(request.param) as device:
        yield Driver(device)


@pytest.fixture
def tiny():
    with ModelCore(TINY) as device:
        yield Driver(device)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def expected_split(driver: Driver, batch: Batch) -> Split:
    """By a dictionary of the hot set, sample by sample."""
    slot_of = {(t, r): s for t, r, s in zip(*(part.tolist() for part in driver.hot_set(driver.dump())), strict=True)}
    slots = [slot_of.get(key, -1) for key in zip(batch.tables.tolist(), batch.indices.tolist(), strict=True)]
    offsets = batch.sample_offsets
    popular = [all(s >= 0 for s in slots[a:b]) for a, b in pairwise(offsets)]
    return Split(np.array(popular, bool), np.array(slots, np.int64))


def assert_equal(split: Split, expected: Split) -> None:
    assert split.popular.dtype == bool and split.slots.dtype == np.int64
    np.testing.assert_array_equal(split.popular, expected.popular)
    np.testing.assert_array_equal(split.slots, expected.slots)


# Discovery


@pytest.mark.parametrize("geometry", [*PRESETS.values(), SRRIP], ids=[*PRESETS, "srrip"])
def test_geometry_is_discovered(geometry):
    driver = Driver(ModelCore(geometry))
    for field in fields(Geometry):
        if field.name != "name":
            assert getattr(driver.geometry, field.name) == getattr(geometry, field.name)
    assert driver.hot_rows == geometry.hot_capacity


class Overridden(ModelCore):
    """A device, some of whose registers read as told; a list is read item by item, its last for ever."""

    def __init__(self, **values: int | list[int]) -> None:
        super().__init__(TINY)
        self.values = {register(name).offset: value for name, value in values.items()}

    def read(self, offset: int) -> int:
        value = self.values.get(offset, super().read(offset))
        if isinstance(value, list):
            return value.pop(0) if len(value) > 1 else value[0]
        return value


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ID": 0xDEADBEEF}, r"no Hotline core here: ID reads 0xdeadbeef, and not 0x484f544c"),
        ({"VERSION": 0x090807}, r"the core has version 9.8.7, this driver \d"),
        ({"CAP_POLICY": 0}, r"describe no accelerator: entries_per_hot_row=0 breaks the rule"),
        ({"CAP_KEY": 0}, r"describe no accelerator: table_bits=0 breaks the rule"),
    ],
)
def test_another_device_is_refused(values, message):
    with pytest.raises(DriverError, match=message):
        Driver(Overridden(**values))


def test_the_walk_after_reset_is_waited_out():
    status = [1] * 50 + [0]
    Driver(Overridden(STATUS=status))
    assert status == [0]
    with pytest.raises(DeviceTimeout, match="still busy with its reset after"):
        Driver(Overridden(STATUS=1))


# Mini-batches


@settings(max_examples=60, deadline=None)
@given(geometry=geometries(), seed=seeds, data=st.data())
def test_split_of_multi_hot_batches(geometry, seed, data):
    """Every lookup gets the slot of its row, every sample its packet, on any geometry, budget and grouping."""
    rng = np.random.default_rng(seed)
    driver = Driver(ModelCore(geometry))
    driver.set_hot_rows(data.draw(st.integers(0, geometry.hot_capacity), label="hot_rows"))
    driver.learn([random_batch(rng, geometry) for _ in range(6)])
    batches = [random_batch(rng, geometry) for _ in range(4)]
    expected = [expected_split(driver, batch) for batch in batches]
    for batch, split, right in zip(batches, driver.classify_all(batches), expected, strict=True):
        assert_equal(split, right)
        assert_equal(driver.classify(batch), right)


def one_by_one(driver: Driver, batches: list[Batch], select_every: int = 1) -> list[Moves]:
    """`learn`, but mini-batch by mini-batch. The moves."""
    moves: list[Moves] = []
    driver.device.write(register("SELECT_START").offset, 0)
    for number, batch in enumerate(batches, 1):
        driver._stream(pack([batch]), Phase.LEARN)
        if driver.geometry.sample_aware and select_every and number % select_every == 0 and number < len(batches):
            moves.append(driver.select())
    while driver.geometry.sample_aware:
        moves.append(driver.select())
        if len(moves[-1]) < driver.geometry.max_moves:
            break
    return moves


def test_many_groups_equal_single_batches(driver, rng, monkeypatch):
    monkeypatch.setattr("hotline_host.packets._STREAM_WORDS", 20)
    batches = [random_batch(rng) for _ in range(30)]
    done: list[int] = []
    driver.device.write(register("SELECT_START").offset, 0)
    driver.learn(batches, done.append)
    assert done[-1] == 30 and len(done) > 3
    grouped = driver.dump()
    driver.clear()
    assert not driver.dump().any()
    one_by_one(driver, batches)
    np.testing.assert_array_equal(driver.dump(), grouped)
    for batch, split in zip(batches, driver.classify_all(batches), strict=True):
        assert_equal(split, expected_split(driver, batch))


def test_samples_without_lookups_are_popular_and_not_sent(driver):
    empty = batch_of(np.zeros((5, 2), int), np.empty(0))
    nothing = batch_of(np.zeros((0, 2), int), np.empty(0))
    one = batch_of(np.array([[0, 0], [1, 0], [0, 0]]), np.array([4]))
    driver.learn([empty, nothing])
    splits = list(driver.classify_all([empty, one, nothing, empty]))
    assert [split.popular.tolist() for split in splits] == [[True] * 5, [True, False, True], [], [True] * 5]
    assert [split.slots.tolist() for split in splits] == [[], [-1], [], []]
    assert driver.classify(empty).popular.all()
    assert driver.counters()["samples"] == 1
    assert list(driver.classify_all([])) == []


def test_classifying_does_not_learn(driver, rng):
    driver.learn([random_batch(rng) for _ in range(5)])
    before = driver.dump()
    driver.classify(random_batch(rng, rows=4000))
    np.testing.assert_array_equal(driver.dump(), before)


def lookup(table: int, row: int) -> Batch:
    """One sample with one lookup."""
    return batch_of(np.eye(table + 1, dtype=int)[table:], np.array([row]))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (lookup(2, 1 << 14), r"mini-batch 1, sample 0 looks up row 16384 of table 2; .* row 16383 \(14 bits\)"),
        (lookup(4, 9), r"sample 0 looks up row 9 of table 4; .* table 3 \(2 bits\)"),
        (lookup(1, -1), r"sample 0 looks up row -1 of table 1"),
        (batch_of(np.array([[64], [65]]), np.zeros(129)), r"sample 1 has 65 lookups; .* at most max_lookups = 64"),
        (
            batch_of(np.array([[0]] + [[1]] * 4097), np.zeros(4097)),
            r"has 4097 samples with lookups, sample 4097 being the first beyond .* max_samples = 4096",
        ),
    ],
    ids=["row", "table", "negative", "long sample", "many samples"],
)  # fmt: skip
def test_what_the_accelerator_cannot_take_is_refused_before_anything_is_sent(batch, message):
    driver = Driver(ModelCore(replace(TINY, table_bits=2, row_bits=14)))
    good = lookup(0, 3)
    for operation in (driver.learn, lambda batches: list(driver.classify_all(batches))):
        with pytest.raises(DriverError, match=message):
            operation([good, batch])
    with pytest.raises(DriverError, match="mini-batch 0"):
        driver.classify(batch)
    assert driver.counters()["lookups"] == 0


def test_limits_are_inclusive():
    driver = Driver(ModelCore(SRRIP))
    driver.learn([batch_of(np.array([[64]] * 2), np.zeros(128)), batch_of(np.ones((4096, 1)), np.zeros(4096))])
    driver.learn([lookup(255, (1 << 32) - 1)])
    assert driver.counters()["samples"] == 4099
    tables, rows, _ = driver.hot_set(driver.dump())
    assert sorted(zip(tables.tolist(), rows.tolist(), strict=True)) == [(0, 0), (255, (1 << 32) - 1)]


# Answers that are wrong


class Tampered(ModelCore):
    """A device whose results are changed on their way."""

    change = None

    def stream(self, words, ends):
        results = super().stream(words, ends)
        return self.change(results) if self.change else results


def _swap(results: Results) -> Results:
    words = results.nonpopular.copy()
    words[[0, -1]] = words[[-1, 0]]
    return replace(results, nonpopular=words)


def _flip(bit: int):
    def change(results: Results) -> Results:
        words = results.nonpopular.copy()
        words[0] ^= np.uint64(1 << bit)
        return replace(results, nonpopular=words)

    return change


def _all_popular(results: Results) -> Results:
    return Results(results.nonpopular, results.nonpopular_ends, results.popular, results.popular_ends)


def _lose(results: Results) -> Results:
    return replace(results, nonpopular=results.nonpopular[:-1], nonpopular_ends=results.nonpopular_ends - 1)


def _another_packet(results: Results) -> Results:
    return replace(results, nonpopular_ends=np.append(results.nonpopular_ends, 3))


def _twice(results: Results) -> Results:
    words = results.nonpopular.copy()
    words[-1] = words[0]
    return replace(results, nonpopular=words)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_swap, "came back exactly once: nonpopular result word 0 is of sample 2, but sample 0 was due"),
        (_lose, "nonpopular result word 2 is of nothing, but sample 2 was due"),
        (_twice, "nonpopular result word 2 is of sample 0, but sample 2 was due"),
        (_flip(SAMPLE_FIELD.low + 9), "sample 512 came back, but its mini-batch had only 3"),
        (_flip(ROW_FIELD.low), "came back as .*: another one"),
        (_flip(HIT_FIELD.low), "sample 0 came back in the wrong packet"),
        (_all_popular, "sample 0 came back in the wrong packet"),
        (_another_packet, "1 mini-batches were sent, and 2 packets came back"),
    ],
    ids=["order", "lost", "twice", "sample", "row", "hit", "packet", "framing"],
)  # fmt: skip
def test_a_wrong_answer_is_noticed(change, message):
    device = Tampered(TINY)
    driver = Driver(device)
    batch = batch_of(np.ones((3, 1)), np.array([5, 6, 7]))
    assert not driver.classify(batch).popular.any()
    device.change = change
    with pytest.raises(DriverError, match=message):
        driver.classify(batch)


def test_errors_are_named_and_cleared(driver):
    driver.device.write(register("COMMAND").offset, 77)  # behind the driver's back
    with pytest.raises(DriverError, match=r"CLEAR: the accelerator reports COMMAND_CODE \(an unknown code was written"):
        driver.clear()
    assert driver.device.read(register("ERROR").offset) == 0
    driver.clear()


def test_errors_of_an_earlier_owner_are_dropped():
    device = ModelCore(TINY)
    device.write(register("COMMAND").offset, 77)
    assert device.read(register("ERROR").offset) == Error.COMMAND_CODE
    Driver(device).clear()


# The tracker's state


@pytest.mark.parametrize(
    ("geometry", "most", "entries"), [(SRRIP, 64, "64 entries"), (TINY, 32, "64 entries, 2 for each hot row")]
)
def test_hot_rows_beyond_capacity(geometry, most, entries):
    driver = Driver(ModelCore(geometry))
    for wrong in (most + 1, -1):
        with pytest.raises(DriverError, match=f"{wrong} hot rows are beyond .* {entries}, so choose 0 to {most}"):
            driver.set_hot_rows(wrong)
    driver.set_hot_rows(most)
    driver.set_hot_rows(0)
    driver.learn([lookup(0, 1)])
    assert driver.classify(lookup(0, 1)).slots.tolist() == [-1]
    assert [len(part) for part in driver.hot_set(driver.dump())] == [0, 0, 0]


@pytest.mark.parametrize("hot_rows", [1, 7, 17, 32])
def test_dump_restore_and_hot_set(driver, rng, hot_rows):
    driver.set_hot_rows(hot_rows)
    batches = [random_batch(rng, rows=60) for _ in range(40)]
    driver.learn(batches)
    dump = driver.dump()
    tables, rows, slots = driver.hot_set(dump)
    assert len(slots) > hot_rows // 2
    assert (np.diff(slots) > 0).all() and slots[0] >= 0 and slots[-1] < hot_rows
    assert len(set(zip(tables.tolist(), rows.tolist(), strict=True))) == len(slots)
    for table, row, slot in zip(tables, rows, slots, strict=True):
        assert driver.classify(lookup(int(table), int(row))).slots.tolist() == [slot]
    if driver.geometry.sample_aware:
        assert slots.tolist() == list(range(len(slots)))
    driver.clear()
    assert not driver.classify(lookup(int(tables[0]), int(rows[0]))).popular.any()
    driver.restore(dump)
    np.testing.assert_array_equal(driver.dump(), dump)
    for batch in batches:
        assert_equal(driver.classify(batch), expected_split(driver, batch))


def test_a_dump_of_another_budget_is_refused(driver):
    dump = driver.dump()
    driver.set_hot_rows(5)
    shape = r"\[8, 4\], not uint64 \[32, 4\]" if driver.geometry.sample_aware else r"\[2, 4\], not uint64 \[16, 4\]"
    with pytest.raises(DriverError, match="a dump of 5 hot rows is uint64 " + shape):
        driver.restore(dump)


def test_a_tag_in_a_foreign_set_is_noticed(rng):
    driver = Driver(ModelCore(SRRIP))
    driver.learn([random_batch(rng, rows=60) for _ in range(40)])
    dump = driver.dump()
    moved = dump.copy()
    moved[[0, 15]] = moved[[15, 0]]
    with pytest.raises(
        DriverError, match=r"cannot be in set 0, way 0 with 64 hot rows: its tag belongs to another set"
    ):
        driver.hot_set(moved)
    driver.set_hot_rows(63)
    beyond = np.zeros_like(dump)
    beyond[15, 3] = 1 << ENTRY_VALID.low | 7  # a tag whose low three bits are its set
    with pytest.raises(DriverError, match=r"in set 15, way 3 with 63 hot rows: .* the way is outside the budget"):
        driver.hot_set(beyond)
    driver.set_hot_rows(64)
    assert driver.hot_set(beyond)[2].tolist() == [63]


# The sample-aware tracker


def test_a_dump_with_slots_that_cannot_be_is_noticed(tiny, rng):
    tiny.learn([random_batch(rng, rows=60) for _ in range(40)])
    dump = tiny.dump()
    slots = np.argwhere(dump[::2] >> np.uint64(62) == 3)
    one, two = (tuple(at * [2, 1] + [1, 0]) for at in slots[:2])
    for change in (dump[two], 99):
        wrong = dump.copy()
        wrong[one] = change
        with pytest.raises(DriverError, match=r"32 entries are hot, so their slots must be 0 to 31, each once"):
            tiny.hot_set(wrong)
    moved = dump.copy()
    moved[[0, 30]] = moved[[30, 0]]
    with pytest.raises(DriverError, match="cannot be in set 0, way 0 with 32 hot rows: its tag belongs to another"):
        tiny.hot_set(moved)


def test_moves_replayed_are_the_hot_set(tiny, rng):
    tiny.configure(Policy(age_period=1))
    rows: dict[int, tuple[int, int]] = {}
    evicted = 0
    for step in range(40):
        batch = random_batch(rng, rows=20)
        tiny.classify(replace(batch, indices=batch.indices + step), relearn=True)
        moves = tiny.select()
        assert 0 <= len(moves) <= TINY.max_moves
        for slot, row, old in zip(
            moves.slots.tolist(),
            zip(moves.tables.tolist(), moves.rows.tolist(), strict=True),
            zip(moves.evicted_tables.tolist(), moves.evicted_rows.tolist(), strict=True),
            strict=True,
        ):
            assert rows.get(slot, (-1, -1)) == old
            evicted += slot in rows
            rows[slot] = row
        assert moves.hot_count == len(rows) == tiny.device.core.hot_count
        assert moves.threshold == tiny.device.core.threshold
    tables, numbers, slots = (part.tolist() for part in tiny.hot_set(tiny.dump()))
    assert dict(zip(slots, zip(tables, numbers, strict=True), strict=True)) == rows
    assert evicted > 20


@pytest.mark.parametrize("select_every", [0, 1, 3, 7])
def test_learning_selects_in_between(tiny, rng, select_every):
    batches = [random_batch(rng, rows=60) for _ in range(12)]
    selects = []
    plain, tiny.select = tiny.select, lambda: selects.append(plain()) or selects[-1]
    tiny.learn(batches, select_every=select_every)
    learned = tiny.dump()
    tiny.clear()
    tiny.select = plain
    moves = one_by_one(tiny, batches, select_every)
    np.testing.assert_array_equal(tiny.dump(), learned)
    assert [len(one) for one in selects] == [len(one) for one in moves]
    in_between = 11 // select_every if select_every else 0
    assert in_between < len(moves) <= in_between + 5


def test_every_set_comes_first_in_turn(tiny):
    starts = set()
    for _ in range(8):
        starts.add(tiny.device.core.policy.select_start)
        assert len(tiny.select()) == 0
    assert starts == set(range(8))
    tiny.set_hot_rows(4)  # 1 set a bank, and its start is 0
    tiny.select()
    assert tiny.device.core.policy.select_start == 0


def test_a_move_limit_is_for_one_select(tiny, rng):
    tiny.configure(Policy(move_limit=3))
    assert tiny.move_limit == 3
    for batch in [random_batch(rng, rows=60) for _ in range(10)]:
        tiny.classify(batch, relearn=True)
    assert [len(tiny.select()) for _ in range(3)] == [3, 3, 3]
    tiny.configure(Policy(move_limit=0))
    assert len(tiny.select()) == 0
    tiny.learn([random_batch(rng)])  # ends
    tiny.configure(Policy())
    assert tiny.move_limit == TINY.max_moves


def test_configure_writes_a_policy(tiny):
    policy = Policy(list(range(16, 0, -1)), 7, 2, 1000, 5)
    tiny.configure(policy)
    assert tiny.device.core.policy == policy


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (Policy(age_period=256), "256 does not fit .* of AGE_PERIOD; choose 0 to 255"),
        (Policy(hysteresis=16), "16 does not fit shift of HYSTERESIS; choose 0 to 15"),
        (Policy(move_limit=-1), "-1 does not fit rows of MOVE_LIMIT; choose 0 to 4294967295"),
        (Policy(weights=[1] * 15), "there must be 16 weights, for 0 to 15 other misses, and not 15"),
        (Policy(weights=[1] * 15 + [32]), "32 does not fit weight_15 of WEIGHTS_3; choose 0 to 31"),
    ],
)
def test_a_policy_that_does_not_fit_is_refused(tiny, policy, message):
    with pytest.raises(DriverError, match=message):
        tiny.configure(policy)
    assert tiny.device.core.policy == Policy(), "nothing was written"


def test_srrip_has_no_policy(rng):
    driver = Driver(ModelCore(SRRIP))
    for call in (
        lambda: driver.configure(Policy()),
        driver.select,
        lambda: driver.classify(random_batch(rng), relearn=True),
    ):
        with pytest.raises(DriverError, match="is for a sample-aware tracker, and this accelerator's is SRRIP"):
            call()


def test_aging_is_told_what_each_select_found(tiny, rng):
    told = []

    class Watching(AgingControl):
        def observe(self, **counts: int) -> int:
            told.append(counts)
            return 5 + len(told)

    learn = [random_batch(rng, rows=30) for _ in range(10)]
    tiny.learn(learn)
    tiny.configure(Policy(age_period=99), Watching(period=3))
    assert tiny.device.core.policy.age_period == 3
    before = dict(tiny.device.core.counters)
    for batch in learn:
        tiny.classify(batch, relearn=True)
    moves = tiny.select()
    after = tiny.device.core.counters
    gained = {name: after[name] - before[name] for name in ("revivals", "returns")}
    assert told == [gained | {"idle": moves.idle, "recent": moves.recent, "hot": moves.hot_count, "budget": 32}]
    assert gained["returns"] > 0
    assert tiny.device.core.policy.age_period == 6
    tiny.reset_counters()
    tiny.select()
    assert told[1]["revivals"] == told[1]["returns"] == 0


def _stray(beat: int, word: int, bits: int):
    def change(events: np.ndarray) -> np.ndarray:
        events[beat, word] ^= np.uint64(bits)
        return events

    return change


@pytest.mark.parametrize(
    ("change", "beat"),
    [(_stray(0, 0, 1 << 63), 0), (_stray(1, 0, 1 << 50), 1), (_stray(2, 0, 1 << 39), 2), (_stray(8, 0, 64), 8)],
    ids=["mark", "slot", "key", "hot_count"],
)
def test_an_answer_to_select_that_cannot_be_is_noticed(rng, monkeypatch, change, beat):
    driver = Driver(ModelCore(TINY.override({"row_bits": 30})))
    driver._stream(pack([random_batch(rng, rows=60) for _ in range(10)]), Phase.LEARN)
    plain = driver.device.receive_events
    monkeypatch.setattr(driver.device, "receive_events", lambda limit, ways: change(plain(limit, ways)))
    with pytest.raises(DriverError, match=f"beat {beat} of SELECT's answer, 0x.* cannot be"):
        driver.select()


# Counters


def test_counters(driver):
    batch = batch_of(np.array([[2], [1]]), np.array([3, 4, 3]))
    driver.learn([batch])
    driver.reset_counters()
    driver.classify(batch)
    driver.classify(lookup(1, 8))
    counters = driver.counters()
    assert {name: counters[name] for name in ("batches", "samples", "popular_samples", "lookups", "lookup_hits")} == {
        "batches": 2, "samples": 3, "popular_samples": 2, "lookups": 4, "lookup_hits": 3,
    }  # fmt: skip
    assert counters["cycles"] is None and counters["bank_stall"] is None, "the model has no clock"
    assert driver.cycles() == 0


def test_a_snapshot_is_64_bits_wide(driver):
    driver.device.core.counters["lookups"] = 5 << 32 | 6
    assert driver.counters()["lookups"] == 5 << 32 | 6


def test_a_command_that_does_not_end_is_noticed(driver, monkeypatch):
    monkeypatch.setattr(driver.device, "_write_command", lambda code: None)
    with pytest.raises(DeviceTimeout, match="irq stayed low"):
        driver._command(Command.CLEAR)
