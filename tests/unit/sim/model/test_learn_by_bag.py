"""Learning by bag: every bag counts as a sample would."""

from __future__ import annotations

import numpy as np
import pytest

from hotline_device.ring_entries import Descriptor
from hotline_host.data.log import Batch
from hotline_host.driver.driver import Driver, DriverError
from hotline_host.driver.packets import pack
from hotline_hw.spec.descriptors import Opcode
from hotline_hw.spec.params import PRESETS
from hotline_hw.spec.words import LAST_FIELD
from hotline_sim.model.device import ModelDevice

TINY = PRESETS["tiny"]


def batch_of(lengths: list[list[int]], indices: list[int]) -> Batch:
    nothing = np.empty((len(lengths), 0), np.float32), np.zeros(len(lengths), np.float32)
    return Batch(np.array(indices, np.int64), np.array(lengths, np.int64), *nothing)


def some_batches(seed: int = 3) -> list[Batch]:
    rng = np.random.default_rng(seed)
    batches = []
    for _ in range(12):
        lengths = rng.integers(0, 4, (8, 3))
        batches.append(batch_of(lengths.tolist(), (9 * rng.random(lengths.sum()) ** 2).astype(int).tolist()))
    return batches


def opened() -> Driver:
    driver = Driver(ModelDevice(TINY))
    driver.set_hot_rows(8)
    return driver


def test_ends_of_bags_are_marked() -> None:
    lookups = pack(batch_of([[2, 0, 1], [0, 0, 0], [1, 3, 0]], range(7)), by_bag=True)
    assert (lookups.data >> LAST_FIELD.low).tolist() == [0, 1, 1, 1, 0, 0, 1]
    assert lookups.counts.tolist() == [2, 0, 1, 0, 0, 0, 1, 3, 0] and lookups.sent == 4
    one_each = batch_of([[1, 1], [1, 1]], range(4))
    assert pack(one_each).tables == 2 and pack(one_each, by_bag=True).tables == 0


def test_the_tracker_learns_as_from_a_log_of_bags() -> None:
    batches = some_batches()
    by_bag, of_bags, by_sample = opened(), opened(), opened()
    by_bag.learn(batches, by_bag=True)
    by_sample.learn(batches)
    for batch in batches:  # word for word what a log with these bags as samples would be
        lookups = pack(batch, by_bag=True)
        source = of_bags._buffers.sources(lookups.data.nbytes)[0]
        source.array(len(lookups), np.uint64)[:] = lookups.data
        of_bags.rings.run([Descriptor(opcode=Opcode.LEARN, source=source.address, count=len(lookups))])
        of_bags.select()
    while len(of_bags.select()):
        pass
    while len(by_bag.select()):
        pass
    dumps = [np.sort(driver.hot_set(driver.dump())[1]) for driver in (by_bag, of_bags)]
    assert by_bag.counters()["samples"] == sum(np.count_nonzero(batch.lengths) for batch in batches)
    assert len(dumps[0]) and np.array_equal(dumps[0], dumps[1])
    assert not np.array_equal(by_bag.dump(), by_sample.dump()), "samples would have taught it something else"


def test_relearning_by_bag_takes_a_second_pass() -> None:
    driver, plain = opened(), opened()
    first, *rest = some_batches()
    for each in (driver, plain):
        each.learn(rest, by_bag=True)
        each.reset_counters()
    split, expected = driver.classify(first, relearn=True, by_bag=True), plain.classify(first)
    assert np.array_equal(split.slots, expected.slots) and np.array_equal(split.popular, expected.popular)
    assert driver.counters()["batches"] == 2 and plain.counters()["batches"] == 1
    plain.learn([first], by_bag=True)
    driver.settle()
    assert np.array_equal(driver.dump(), plain.dump())


def test_more_bags_than_samples_that_a_mini_batch_may_have() -> None:
    driver = Driver(ModelDevice(TINY.override({"max_samples": 4})))
    batch = batch_of([[1, 1], [1, 1], [1, 0]], [0, 1, 2, 3, 4])
    driver.learn([batch])
    with pytest.raises(DriverError, match="mini-batch 0 has 5 bags .* max_samples = 4 .* smaller mini-batch"):
        driver.learn([batch], by_bag=True)
