"""The driver against the model backend, and against devices that answer wrongly: discovery and mini-batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotline_device.device import BusError, DeviceTimeout
from hotline_host.driver.driver import Driver
from hotline_host.driver.packets import groups
from hotline_host.errors import DriverError
from hotline_hw.spec.descriptors import COLD_LOCAL, HIT_BIT, LAST_BIT, SUMMARY_BYTES
from hotline_hw.spec.params import PRESETS, Geometry
from hotline_hw.spec.regmap import Error, register
from hotline_hw.spec.shell_registers import shell_register
from hotline_sim.model.device import ModelDevice
from tests.support.driving import TINY, assert_equal, batch_of, expected_split, lookup, one_by_one, random_batch
from tests.support.strategies import geometries, seeds


def with_shell(geometry: Geometry) -> Geometry:
    """A geometry with hardly any room for cold rows."""
    return replace(
        geometry, ways=geometry.ways + geometry.ways % 2, axi_bits=128, working_rows=8 * geometry.banks, read_tags=2,
        read_beats=32,
    )  # fmt: skip


# Discovery


@pytest.mark.parametrize("geometry", PRESETS.values(), ids=PRESETS)
def test_geometry_is_discovered(geometry):
    driver = Driver(ModelDevice(geometry))
    for field in fields(Geometry):
        if field.name != "name":
            assert getattr(driver.geometry, field.name) == getattr(geometry, field.name)
    assert driver.hot_rows == geometry.hot_capacity


class Overridden(ModelDevice):
    """A device with some registers overridden. A list is read item by item, and its last item forever."""

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
        (
            {"INTERFACE": 2 << 16, "VERSION": 0x090807},
            r"\(version 9.8.7\) has interface 2.0, .* needs 1.0; ",
        ),
        ({"INTERFACE": 0xFFFF}, r"has interface 0.65535, .* needs 1.0; major must be the same"),
        ({"CAP_POLICY": 0}, r"describe no accelerator: entries_per_hot_row=0 breaks the rule"),
        ({"CAP_KEY": 0}, r"describe no accelerator: table_bits=0 breaks the rule"),
    ],
)
def test_another_device_is_refused(values, message):
    with pytest.raises(DriverError, match=message):
        Driver(Overridden(**values))


def test_an_accelerator_without_the_register_is_refused():
    class Older(ModelDevice):
        def read(self, offset):
            if offset == register("INTERFACE").offset:
                raise BusError("SLVERR")
            return super().read(offset)

    with pytest.raises(DriverError, match=r"has interface 0.0, .* use an accelerator and a driver of one release"):
        Driver(Older(TINY))


def test_additions_are_not_looked_at():
    assert Driver(Overridden(INTERFACE=1 << 16 | 7, VERSION=0x090807)).geometry


def test_the_walk_after_reset_is_waited_out():
    status = [1] * 50 + [0]
    Driver(Overridden(STATUS=status))
    assert status == [0]
    with pytest.raises(DeviceTimeout, match="still busy with its reset after"):
        Driver(Overridden(STATUS=1))


# Mini-batches


@settings(max_examples=40, deadline=None)
@given(geometry=geometries().map(with_shell), seed=seeds, data=st.data())
def test_split_of_multi_hot_batches(geometry, seed, data):
    """Every lookup gets the slot of its row and every sample gets its packet, on any geometry and budget."""
    rng = np.random.default_rng(seed)
    driver = Driver(ModelDevice(geometry))
    driver.set_hot_rows(data.draw(st.integers(0, geometry.hot_capacity), label="hot_rows"))
    driver.learn([random_batch(rng, geometry) for _ in range(6)])
    batches = [random_batch(rng, geometry) for _ in range(4)]
    expected = [expected_split(driver, batch) for batch in batches]
    for batch, right in zip(batches, expected, strict=True):
        assert_equal(driver.classify(batch), right)


def test_many_groups_equal_single_batches(driver, rng, monkeypatch):
    monkeypatch.setitem(groups.__globals__, "_GROUP_LOOKUPS", 20)
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
    for batch in batches:
        assert_equal(driver.classify(batch), expected_split(driver, batch))


def test_samples_without_lookups_are_popular_and_not_sent(driver):
    empty = batch_of(np.zeros((5, 2), int), np.empty(0))
    nothing = batch_of(np.zeros((0, 2), int), np.empty(0))
    one = batch_of(np.array([[0, 0], [1, 0], [0, 0]]), np.array([4]))
    driver.learn([empty, nothing])
    splits = [driver.classify(batch) for batch in (empty, one, nothing, empty)]
    assert [split.popular.tolist() for split in splits] == [[True] * 5, [True, False, True], [], [True] * 5]
    assert [split.slots.tolist() for split in splits] == [[], [-1], [], []]
    assert driver.classify(empty).popular.all()
    assert driver.counters()["samples"] == 1


def test_classifying_does_not_learn(driver, rng):
    driver.learn([random_batch(rng) for _ in range(5)])
    before = driver.dump()
    driver.classify(random_batch(rng, rows=4000))
    np.testing.assert_array_equal(driver.dump(), before)


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
    driver = Driver(ModelDevice(replace(TINY, table_bits=2, row_bits=14)))
    good = lookup(0, 3)
    with pytest.raises(DriverError, match=message):
        driver.learn([good, batch])
    with pytest.raises(DriverError, match="mini-batch 0"):
        driver.classify(batch)
    assert driver.counters()["lookups"] == 0


def test_limits_are_inclusive():
    driver = Driver(ModelDevice(TINY))
    driver.learn([batch_of(np.array([[64]] * 2), np.zeros(128)), batch_of(np.ones((4096, 1)), np.zeros(4096))])
    driver.learn([lookup(255, (1 << 32) - 1)])
    assert driver.counters()["samples"] == 4099
    tables, rows, _ = driver.hot_set(driver.dump())
    assert sorted(zip(tables.tolist(), rows.tolist(), strict=True)) == [(0, 0), (255, (1 << 32) - 1)]


# Answers that are wrong


class Tampered(ModelDevice):
    """A device whose answers are changed on their way. `change` gets the words of each packet, and the summary's."""

    change: Callable[[np.ndarray, np.ndarray, np.ndarray], None] | None = None

    def write(self, offset, value):
        super().write(offset, value)
        if self.change and offset == shell_register("RING_PRODUCER").offset:
            region = self.memory.regions[-1]
            assert region.name == "targets"
            # Three one-hot samples of one table: popular words, non-popular words, summary.
            self.change(region.array(3, np.uint32), region.array(3, np.uint32, 64), region.data[128:])


def _swap(popular, nonpopular, summary):
    nonpopular[[0, 1]] = nonpopular[[1, 0]]


def _flip(bit: int):
    def change(popular, nonpopular, summary):
        nonpopular[1] ^= np.uint32(1 << bit)

    return change


def _verdict(popular, nonpopular, summary):
    summary[SUMMARY_BYTES] ^= 1


def _count(popular, nonpopular, summary):
    summary.view(np.uint32)[1] += 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_flip(LAST_BIT.low), "not every sample came back whole: at nonpopular result word 1 a sample does not end, "
                              "but sample 1 ends there"),
        (_flip(HIT_BIT.low), "sample 1 came back in the wrong packet for its hits"),
        (_verdict, "0 samples are popular, but 1 are marked so"),
        (_swap, "lookup . came back with the place of another row|not each is a row of its own"),
        (_flip(COLD_LOCAL.low + 9), "lookup 1 came back with place 0x.*, where no row was listed"),
        (_count, "0 cold rows and 2 that are held are told of for 3 lookups, but the lists count 2 and 2"),
    ],
    ids=["framing", "hit", "verdict", "order", "place", "count"],
)  # fmt: skip
def test_a_wrong_answer_is_noticed(change, message):
    device = Tampered(TINY)
    driver = Driver(device)
    batch = batch_of(np.ones((3, 1)), np.array([5, 6, 5]))
    assert not driver.classify(batch).popular.any()
    device.change = change
    with pytest.raises(DriverError, match=message):
        driver.classify(batch)


class Completions(ModelDevice):
    """A device that changes words of its completions."""

    def __init__(self, words: dict[int, int]) -> None:
        super().__init__(TINY)
        self.words = words

    def write(self, offset, value):
        super().write(offset, value)
        if offset == shell_register("RING_PRODUCER").offset:
            ring = next(region for region in self.memory.regions if region.name == "completions")
            for word, change in self.words.items():
                ring.array((64, 16), np.uint32)[(value - 1) % 64, word] ^= np.uint32(change)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({0: 8}, "a completion came of opcode 3, tag 8, but CLASSIFY.*tag 0.* was due"),
        ({1: 5}, "a completion came of opcode 6, tag 0, but CLASSIFY"),
        ({2: 1}, "3 samples were sent, and 2 came back"),
        ({5: 1}, "not every sample came back exactly once: 2 nonpopular words came, 3 were due"),
        ({4: 2}, "not every sample came back exactly once: 2 popular words came, 0 were due"),
        ({6: 1}, "3 cold rows and 0 that are held are told of for 3 lookups, but the lists count 2 and 0"),
        ({1: 0x3100}, "status 49, which does not exist"),
    ],
)
def test_a_wrong_completion_is_noticed(words, message):
    device = Completions(words)
    with pytest.raises(DriverError, match=message):
        Driver(device).classify(batch_of(np.ones((3, 1)), np.array([5, 6, 5])))
    device.words = {}
    assert not Driver(device).classify(batch_of(np.ones((3, 1)), np.array([5, 6, 5]))).popular.any()


def test_a_slot_outside_the_budget_is_noticed():
    device = Tampered(TINY)
    driver = Driver(device)
    batch = batch_of(np.ones((3, 1)), np.array([5, 6, 5]))
    driver.learn([batch])
    assert driver.classify(batch).popular.all()

    def change(popular, nonpopular, summary):
        popular[2] += 40

    device.change = change
    with pytest.raises(DriverError, match=r"lookup 2 came back with slot 4\d, outside the 32 hot rows"):
        driver.classify(batch)


def test_cold_rows_are_told_in_order_of_lists():
    driver = Driver(ModelDevice(TINY))
    first = batch_of(np.array([[2, 1], [0, 0], [1, 1]]), np.array([7, 9, 7, 7, 3]))
    second = batch_of(np.ones((2, 2)), np.array([9, 4, 1, 3]))
    rows = []
    for batch in (first, second):
        working = driver.classify(batch).working
        assert working is not None
        names = list(zip(working.tables.tolist(), working.rows.tolist(), strict=True))
        assert [names[place] for place in working.places] == list(
            zip(batch.tables.tolist(), batch.indices.tolist(), strict=True)
        )
        assert len(set(names)) == len(working)
        rows.append(names)
    assert set(rows[0]) & set(rows[1]) == set(rows[1][-2:]) == {(0, 9), (1, 3)}
    assert working.held == 2


def test_more_cold_rows_than_can_be_listed():
    driver = Driver(ModelDevice(TINY))
    batch = batch_of(np.ones((80, 1)), np.arange(80))
    split = driver.classify(batch)
    assert split.working is None and (split.slots == -1).all()
    assert driver.rings.statistics.errors == {"WORKING": 1}
    one = driver.classify(lookup(0, 3)).working
    assert one is not None and len(one) == 1


def test_errors_are_named_and_cleared(driver):
    driver.device.write(register("COMMAND").offset, 77)  # the driver does not know of it
    with pytest.raises(DriverError, match=r"CLEAR: the accelerator reports COMMAND_CODE \(an unknown code was written"):
        driver.clear()
    assert driver.device.read(register("ERROR").offset) == 0
    driver.clear()


def test_errors_of_an_earlier_owner_are_dropped():
    device = ModelDevice(TINY)
    device.write(register("COMMAND").offset, 77)
    assert device.read(register("ERROR").offset) == Error.COMMAND_CODE
    Driver(device).clear()
