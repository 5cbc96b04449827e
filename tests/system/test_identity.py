"""The same bits from every backend, through the driver: on real data, and at full size."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from hotline_device.registry import open_device
from hotline_host.data.log import Batch, ClickLog
from hotline_host.data.sources import load
from hotline_host.driver.driver import Driver
from hotline_host.driver.follow import Follower, FollowOptions
from hotline_hw.spec.params import Geometry, preset
from hotline_hw.spec.regmap import COUNTERS
from tests.support.gathering_runs import ROOMY
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


SAMPLES, SIZE = 1200, 256


@dataclass
class Size:
    """A geometry that the log fills and overflows, how many rows may be hot, and which tables the log has."""

    geometry: Geometry
    hot_rows: int
    tables: tuple[str, ...] | None = None

    def mini_batches(self) -> tuple[list[Batch], list[Batch]]:
        """To learn and to classify."""
        log = load("ml-100k", samples=2 * SAMPLES)
        if self.tables:  # bags of the others are empty
            kept = np.isin(log.tables, self.tables)
            lookups = np.repeat(np.tile(kept, log.size), log.lengths.ravel())
            log = replace(log, indices=log.indices[lookups], lengths=log.lengths * kept)
        return mini_batches(log, 0, SAMPLES, SIZE), mini_batches(log, SAMPLES, 2 * SAMPLES, SIZE)


SIZES = {
    # 64 entries. It is built for other tests anyway.
    "roomy": Size(ROOMY, 29, ("gender", "year", "weekday", "hour_of_day")),
    # 4 lanes, 8 banks and 512 entries: small enough for Icarus.
    "small": Size(preset("edge").override({"sets": 8, "ways": 8}), 250),
}


@pytest.mark.parametrize(
    ("size", "backend"),
    [
        *(pytest.param("roomy", *each.values, marks=each.marks) for each in backends("verilated")),
        *(
            pytest.param("small", *each.values, marks=each.marks)
            for each in backends(slow=("verilated", "cocotb:icarus", "cocotb:verilator"))
        ),
    ],
)
def test_movielens_is_the_same_on_every_backend(size: str, backend: str) -> None:
    geometry, hot_rows = SIZES[size].geometry, SIZES[size].hot_rows
    learned, classified = SIZES[size].mini_batches()
    expected = outcome("model", geometry, hot_rows, learned, classified)
    assert expected.popular.any() and not expected.popular.all()
    assert expected.counters["evictions"] and expected.moves.size
    check_equal(outcome(backend, geometry, hot_rows, learned, classified), expected)


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
