"""The driver and the tracker: budget, contents, which rows are hot, counters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hotline_device.device import DeviceTimeout
from hotline_host.driver.driver import Driver, DriverError, Policy
from hotline_host.tracking.aging import AgingControl
from hotline_hw.spec.regmap import REGISTERS
from hotline_hw.spec.shell_registers import SHELL_REGISTERS
from hotline_hw.spec.words import ENTRY_HOT
from hotline_sim.model.device import ModelDevice
from tests.support.driving import TINY, assert_equal, batch_of, expected_split, lookup, one_by_one, random_batch

# The tracker's state


def test_hot_rows_beyond_capacity(driver):
    for wrong in (33, -1):
        message = f"{wrong} hot rows are beyond .* 64 entries, 2 for each hot row, so choose 0 to 32"
        with pytest.raises(DriverError, match=message):
            driver.set_hot_rows(wrong)
    driver.set_hot_rows(32)
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
    with pytest.raises(DriverError, match=r"a dump of 5 hot rows is uint64 \[8, 4\], not uint64 \[32, 4\]"):
        driver.restore(dump)


def test_an_entry_where_it_cannot_be_is_noticed(driver, rng):
    driver.learn([random_batch(rng, rows=60) for _ in range(40)])
    dump = driver.dump()
    moved = dump.copy()
    moved[[0, 30]] = moved[[30, 0]]
    with pytest.raises(DriverError, match="cannot be in set 0, way 0 with 32 hot rows: its tag belongs to another"):
        driver.hot_set(moved)
    driver.set_hot_rows(31)  # 62 entries: 3 ways in sets 14 and 15
    beyond = np.zeros_like(dump)
    beyond[30, 3] = 3 << ENTRY_HOT.low | 7  # a tag whose low three bits are its set
    with pytest.raises(DriverError, match="in set 15, way 3 with 31 hot rows: .* the way is outside the budget"):
        driver.hot_set(beyond)
    driver.set_hot_rows(32)
    assert driver.hot_set(beyond)[2].tolist() == [0]


# Which rows are hot


def test_a_dump_with_slots_that_cannot_be_is_noticed(driver, rng):
    driver.learn([random_batch(rng, rows=60) for _ in range(40)])
    dump = driver.dump()
    slots = np.argwhere(dump[::2] >> np.uint64(62) == 3)
    one, two = (tuple(at * [2, 1] + [1, 0]) for at in slots[:2])
    for change in (dump[two], 99):
        wrong = dump.copy()
        wrong[one] = change
        with pytest.raises(DriverError, match=r"32 entries are hot, so their slots must be 0 to 31, each once"):
            driver.hot_set(wrong)


def test_moves_replayed_are_the_hot_set(driver, rng):
    driver.configure(Policy(age_period=1))
    rows: dict[int, tuple[int, int]] = {}
    evicted = 0
    for step in range(40):
        batch = random_batch(rng, rows=20)
        driver.classify(replace(batch, indices=batch.indices + step), relearn=True)
        moves = driver.select()
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
        assert moves.hot_count == len(rows) == driver.device.core.hot_count
        assert moves.threshold == driver.device.core.threshold
    tables, numbers, slots = (part.tolist() for part in driver.hot_set(driver.dump()))
    assert dict(zip(slots, zip(tables, numbers, strict=True), strict=True)) == rows
    assert evicted > 20


@pytest.mark.parametrize("select_every", [0, 1, 3, 7])
def test_learning_selects_in_between(driver, rng, select_every):
    batches = [random_batch(rng, rows=60) for _ in range(12)]
    selects = []
    plain, driver.select = driver.select, lambda: selects.append(plain()) or selects[-1]
    driver.learn(batches, select_every=select_every)
    learned = driver.dump()
    driver.clear()
    driver.select = plain
    moves = one_by_one(driver, batches, select_every)
    np.testing.assert_array_equal(driver.dump(), learned)
    assert [len(one) for one in selects] == [len(one) for one in moves]
    in_between = 11 // select_every if select_every else 0
    assert in_between < len(moves) <= in_between + 5


def test_every_set_comes_first_in_turn(driver):
    starts = set()
    for _ in range(8):
        starts.add(driver.device.core.policy.select_start)
        assert len(driver.select()) == 0
    assert starts == set(range(8))
    driver.set_hot_rows(4)  # 1 set a bank, so the start is 0
    driver.select()
    assert driver.device.core.policy.select_start == 0


def test_a_move_limit_is_for_one_select(driver, rng):
    driver.configure(Policy(move_limit=3))
    assert driver.move_limit == 3
    for batch in [random_batch(rng, rows=60) for _ in range(10)]:
        driver.classify(batch, relearn=True)
    assert [len(driver.select()) for _ in range(3)] == [3, 3, 3]
    driver.configure(Policy(move_limit=0))
    assert len(driver.select()) == 0
    driver.learn([random_batch(rng)])  # it ends
    driver.configure(Policy())
    assert driver.move_limit == TINY.max_moves


def test_configure_writes_a_policy(driver):
    policy = Policy(tuple(range(16, 0, -1)), 7, 2, 1000, 5)
    driver.configure(policy)
    assert driver.device.core.policy == policy


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
def test_a_policy_that_does_not_fit_is_refused(driver, policy, message):
    with pytest.raises(DriverError, match=message):
        driver.configure(policy)
    assert driver.device.core.policy == Policy(), "nothing was written"


def test_aging_is_told_what_each_select_found(driver, rng):
    told = []

    class Watching(AgingControl):
        def observe(self, **counts: int) -> int:
            told.append(counts)
            return 5 + len(told)

    learn = [random_batch(rng, rows=30) for _ in range(10)]
    driver.learn(learn)
    driver.configure(Policy(age_period=99), Watching(period=3))
    assert driver.device.core.policy.age_period == 3
    before = dict(driver.device.core.counters)
    for batch in learn:
        driver.classify(batch, relearn=True)
    moves = driver.select()
    after = driver.device.core.counters
    gained = {name: after[name] - before[name] for name in ("revivals", "returns")}
    assert told == [gained | {"idle": moves.idle, "recent": moves.recent, "hot": moves.hot_count, "budget": 32}]
    assert gained["returns"] > 0
    assert driver.device.core.policy.age_period == 6
    driver.reset_counters()
    driver.select()
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
    driver = Driver(ModelDevice(TINY.override({"row_bits": 30})))
    driver._learn([random_batch(rng, rows=60) for _ in range(10)], by_bag=False)
    core = driver.device.shell_core
    plain = core.command
    monkeypatch.setattr(core, "command", lambda command: change(plain(command)))
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
    monkeypatch.setattr(driver.device.shell_core, "_write_command", lambda code: None)
    driver.control.timeout = 0.1
    with pytest.raises(DeviceTimeout, match="CLEAR: no interrupt in 0.1 s"):
        driver.clear()


def test_counters_of_the_shell(driver):
    driver.reset_counters()
    driver.classify(lookup(1, 8))
    counters = driver.counters()
    assert counters["descriptors"] == 1 and counters["failed_descriptors"] == 0 and counters["dma_cycles"] is None


def test_every_register_is_described(driver):
    driver.set_hot_rows(9)
    states = {state.name: state for state in driver.describe()}
    assert len(states) == len(REGISTERS) + len(SHELL_REGISTERS)
    assert [state.offset for state in states.values()] == sorted(state.offset for state in states.values())
    assert states["HOT_ROWS"].value == 9 and states["COMMAND"].value is None
    assert states["CAP_DMA"].fields[0] == ("log2_axi_bytes", 4, "log2 of the bytes of a beat")
    assert states["DMA_COMMAND"].fields[0][:2] == ("code", None)
