"""Rows by DMA through the driver: working parameters, lists, and the windows that they need."""

from __future__ import annotations

import numpy as np
import pytest

from hotline_device.host_memory import PAGE_BYTES
from hotline_host.driver.driver import Driver
from hotline_host.errors import DriverError
from hotline_hw.spec.shell_registers import WINDOWS, window_offset
from hotline_sim.model.device import ModelDevice
from tests.support.driving import TINY, batch_of, lookup, random_batch

TABLES, ROWS, WIDTH = 3, 40, 8
STRIDE = 4 * (WIDTH + 4)  # a row, and beside it something like an optimizer's state


@pytest.fixture
def target(driver):
    return driver.device.memory.allocate("target", 4 * PAGE_BYTES)


@pytest.fixture
def tables(driver, rng) -> np.ndarray:
    """float32 [TABLES, ROWS, STRIDE / 4] in one region. The tables are set up."""
    region = driver.device.memory.allocate("tables", TABLES * ROWS * STRIDE)
    values = region.array((TABLES, ROWS, STRIDE // 4), np.float32)
    values[:] = rng.standard_normal(values.shape)
    for table in range(TABLES):
        driver.set_table(table, region.address + table * ROWS * STRIDE, ROWS, STRIDE)
    return values


def words(tables: list[int], rows: list[int], last: list[int]) -> np.ndarray:
    parts = zip((63, 32, 0), (last, tables, rows), strict=True)
    return sum((np.array(part, np.uint64) << np.uint64(low) for low, part in parts), np.uint64(0))


def test_working_parameters_are_gathered_in_two_parts(driver, rng, tables, target):
    driver.set_hot_rows(6)
    driver.learn([random_batch(rng, rows=8) for _ in range(4)])
    held = 0
    for _ in range(6):
        working = driver.classify(random_batch(rng, rows=8)).working
        free = len(working) - working.held
        held += working.held
        target.data[:] = 0
        first = driver.gather(4 * WIDTH, target, keys=True)
        at = -(-free * 4 * WIDTH // 64) * 64
        second = driver.gather(4 * WIDTH, target, at, held=True, keys=True)
        assert (first.written, second.written) == (free, working.held)
        np.testing.assert_array_equal(np.append(first.tables, second.tables), working.tables)
        np.testing.assert_array_equal(np.append(first.rows, second.rows), working.rows)
        expected = tables[working.tables, working.rows, :WIDTH]
        np.testing.assert_array_equal(target.array((free, WIDTH), np.float32), expected[:free])
        np.testing.assert_array_equal(target.array((working.held, WIDTH), np.float32, at), expected[free:])
        assert not target.data[at + working.held * 4 * WIDTH :].any()
    assert held >= 10
    done = driver.gather(16, target, held=False)
    assert (done.written, done.tables, done.rows) == (free, None, None)
    assert driver.counters()["rows_gathered"] > held


def test_a_list_of_rows(driver, tables, target):
    assert driver.gather_list(words([2, 0, 2], [5, 39, 5], [0, 0, 0]), 4 * WIDTH, target, 64) == 3
    np.testing.assert_array_equal(target.array((3, WIDTH), np.float32, 64), tables[[2, 0, 2], [5, 39, 5], :WIDTH])


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (lookup(3, 1), "GATHER: TABLE: a table was not set up; the descriptor was GATHER, "),
        (lookup(2, ROWS), "GATHER: ROW: a row is beyond its table"),
    ],
)
def test_a_row_that_there_is_not(driver, tables, target, batch, message):
    driver.classify(batch)
    with pytest.raises(DriverError, match=message):
        driver.gather(32, target)
    driver.classify(lookup(1, 1))
    assert driver.gather(32, target).written == 1, "the rings go on"


def test_a_table_that_was_taken_away(driver, tables, target):
    driver.set_table(1, 0, 0, 0)
    driver.classify(lookup(1, 1))
    with pytest.raises(DriverError, match="TABLE"):
        driver.gather(32, target)


def test_rows_longer_than_memory(driver, rng, target):
    region = driver.device.memory.allocate("short", PAGE_BYTES)
    driver.set_table(0, region.address, PAGE_BYTES // 16, 16)
    driver.classify(lookup(0, PAGE_BYTES // 16 - 1))
    with pytest.raises(DriverError, match=f"GATHER: WINDOW: .* at address {region.address + PAGE_BYTES:#x}"):
        driver.gather(32, target)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((256, 0, 1, 16), "table 256 of 1 rows: tables are 0 to 255"),
        ((0, 0, 1 << 32, 16), "table 0 of 4294967296 rows"),
        ((0, 0, 1, 24), "a row every 24 bytes: both must be multiples of 16"),
        ((0, 8, 1, 16), "table 0 at 0x8, a row"),
        ((0, 0, 1, 1 << 20), "the second less than 1048576"),
        ((0, 1 << 40, 9, 16), "table 0: no region of memory holds 9 rows from 0x10000000000 on"),
    ],
)
def test_tables_that_cannot_be(driver, arguments, message):
    with pytest.raises(DriverError, match=message):
        driver.set_table(*arguments)


def test_places_that_cannot_be(driver, tables, target):
    driver.classify(lookup(0, 1))
    for offset in (32, -64, target.size):
        with pytest.raises(
            DriverError, match=f"rows cannot begin at byte {offset} of region 'target': they begin at a"
        ):
            driver.gather(32, target, offset)


def test_lists_that_cannot_be(driver, tables, target):
    with pytest.raises(DriverError, match=r"a list is uint64 \[n\], n at least 1, and not int64 \[2\]"):
        driver.gather_list(np.zeros(2, np.int64), 32, target)
    with pytest.raises(DriverError, match="GATHER: LENGTH: .*GATHER, .*LIST"):
        driver.gather_list(words([0], [1], [1]), 8192, target)


def test_every_window_in_use(driver):
    used = sum(driver.device.read(window_offset(index) + 12) != 0 for index in range(WINDOWS))
    regions = [driver.device.memory.allocate(f"table{number}", PAGE_BYTES) for number in range(WINDOWS - used + 1)]
    for number, region in enumerate(regions[:-1]):
        driver.set_table(number, region.address, 4, 16)
        driver.set_table(number, region.address, 4, 32)
    message = f"{WINDOWS + 1} extents of memory need a window each, and the accelerator has 8: desc.*one region"
    with pytest.raises(DriverError, match=message):
        driver.set_table(7, regions[-1].address, 4, 16)
    driver.rings.windows.hide(regions[0])
    driver.set_table(7, regions[-1].address, 4, 16)
    assert not driver.classify(lookup(0, 1)).popular.any()


def test_buffers_grow_and_leave_their_window():
    driver = Driver(ModelDevice(TINY))
    driver.classify(lookup(0, 1))
    sources, targets = driver.device.memory.regions[-2:]
    assert (sources.name, targets.name) == ("sources", "targets")
    batch = batch_of(np.ones((4096, 60)), np.zeros(4096 * 60))
    assert not driver.classify(batch).popular.any()
    driver.learn([batch_of(np.full((4096, 30), 2), np.zeros(2 * 4096 * 30))])  # lookup words, twice as wide
    for name, before in (("sources", sources), ("targets", targets)):
        after = next(region for region in reversed(driver.device.memory.regions) if region.name == name)
        assert after.size > before.size
    count = len(driver.device.memory.regions)
    driver.learn([batch])
    rights = [driver.device.read(window_offset(index) + 12) for index in range(WINDOWS)]
    assert (rights.count(1), rights.count(2), rights.count(3)) == (2, 2, 0), "rings, and the buffers that are in use"
    assert len(driver.device.memory.regions) == count
