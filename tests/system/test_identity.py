"""The same bits from every backend, through the driver: on real data, and at full size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from hotline_device.registry import open_device
from hotline_host.data.log import Batch, ClickLog
from hotline_host.data.sources import load
from hotline_host.driver.driver import Driver
from hotline_host.driver.follow import Follower, FollowOptions
from hotline_hw.spec.params import Geometry, preset
from hotline_hw.spec.regmap import COUNTERS
from tests.support.tools import backends, needs


@dataclass
class Outcome:
    """Everything that an accelerator reports of a run. Every field is equal on every backend."""

    popular: np.ndarray
    slots: np.ndarray
    counters: dict[str, int | None]
    dump: np.ndarray
    moves: np.ndarray


def outcome(backend: str, geometry: Geometry, hot_rows: int, learned: list[Batch], classified: list[Batch]) -> Outcome:
    """Learns, classifies while it follows popularity, and dumps the tracker."""
    with open_device(backend, geometry) as device:
        driver = Driver(device)
        driver.set_hot_rows(hot_rows)
        driver.learn(learned)
        follower = Follower(driver, FollowOptions(relearn_share=0.5))
        followed = [follower.split(batch) for batch in classified]
        splits = [one.split for one in followed]
        moves = [one.moves for one in followed if one.moves]
        counters = driver.counters()
        return Outcome(
            popular=np.concatenate([split.popular for split in splits]),
            slots=np.concatenate([split.slots for split in splits]),
            counters={counter.name: counters[counter.name] for counter in COUNTERS if not counter.timing},
            dump=driver.dump(),
            moves=np.concatenate([[m.slots, m.tables, m.rows, m.evicted_tables, m.evicted_rows] for m in moves], axis=1)
            if moves
            else np.empty((5, 0), np.int64),
        )


def check_equal(found: Outcome, expected: Outcome) -> None:
    np.testing.assert_array_equal(found.popular, expected.popular)
    np.testing.assert_array_equal(found.slots, expected.slots)
    np.testing.assert_array_equal(found.dump, expected.dump)
    np.testing.assert_array_equal(found.moves, expected.moves)
    assert found.counters == expected.counters


def mini_batches(log: ClickLog, start: int, stop: int, size: int) -> list[Batch]:
    return [log.batch(first, min(first + size, stop)) for first in range(start, stop, size)]


# A geometry that ml-100k fills and overflows, small enough for Icarus: 4 lanes, 8 banks, 512 entries.
SMALL = preset("edge").override({"sets": 8, "ways": 8})
HOT_ROWS = 250
SAMPLES, SIZE = 1200, 256


@pytest.fixture(scope="module")
def movielens() -> tuple[tuple[list[Batch], list[Batch]], Outcome]:
    """The mini-batches to learn and to classify, and the model's results for them."""
    log = load("ml-100k", samples=2 * SAMPLES)
    parts = mini_batches(log, 0, SAMPLES, SIZE), mini_batches(log, SAMPLES, 2 * SAMPLES, SIZE)
    return parts, outcome("model", SMALL, HOT_ROWS, *parts)


@pytest.mark.parametrize("backend", backends("verilated", slow=("cocotb:icarus", "cocotb:verilator")))
def test_movielens_is_the_same_on_every_backend(backend: str, movielens) -> None:
    (learned, classified), expected = movielens
    assert expected.popular.any() and not expected.popular.all()
    assert expected.counters["evictions"] and expected.moves.size
    check_equal(outcome(backend, SMALL, HOT_ROWS, learned, classified), expected)


@pytest.mark.slow
@needs("verilator")
def test_200_000_random_lookups_are_the_same_on_kaggle() -> None:
    rng = np.random.default_rng(2024)
    samples, tables = 8000, 26
    skewed = np.minimum(rng.zipf(1.2, size=(samples, tables)), 1 << 32) - 1  # rows up to the last the key can name
    skewed[: samples // 2, :8] %= 3  # some samples have only frequent lookups
    rows = skewed.astype(np.int64)
    log = ClickLog(
        name="random", tables=tuple(map(str, range(tables))), rows=np.full(tables, 1 << 32),
        indices=rows.ravel(), lengths=np.ones((samples, tables), np.int64),
        dense=np.zeros((samples, 0), np.float32), label=np.zeros(samples, np.float32),
    )  # fmt: skip
    assert log.indices.size >= 200_000
    geometry = preset("kaggle")
    learned, classified = mini_batches(log, 0, samples // 2, 1024), mini_batches(log, samples // 2, samples, 1024)
    # With this budget some sets have one way more than others, and there are fewer entries than keys.
    expected = outcome("model", geometry, 5000, learned, classified)
    assert expected.counters["evictions"] and expected.counters["lookup_hits"]
    check_equal(outcome("verilated", geometry, 5000, learned, classified), expected)
