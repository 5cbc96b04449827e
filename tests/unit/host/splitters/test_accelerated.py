"""The accelerator as a splitter does what the driver and its follower do."""

from __future__ import annotations

import numpy as np

from hotline_device.registry import open_device
from hotline_host.driver.driver import Driver
from hotline_host.driver.follow import FollowOptions, learn
from hotline_host.splitters.accelerated import AcceleratorSplitter
from tests.support.driving import TINY, assert_equal, expected_split, random_batch


def rows_by_slot(tables: np.ndarray, rows: np.ndarray, slots: np.ndarray) -> dict[int, list[int]]:
    return dict(zip(slots.tolist(), np.array([tables, rows]).T.tolist(), strict=True))


def test_it_places_splits_and_moves_as_the_accelerator_does(rng: np.random.Generator) -> None:
    options = FollowOptions(relearn_share=1.0, select_every=2)
    with open_device("model", TINY) as device:
        driver = Driver(device)
        driver.set_hot_rows(6)
        learn(driver, [random_batch(rng) for _ in range(4)], options, lambda *_: None)
        splitter = AcceleratorSplitter(driver, options)
        assert (splitter.hot_rows, splitter.most_moves) == (6, TINY.max_moves)
        hot = rows_by_slot(*splitter.placed())
        for number in range(8):
            batch = random_batch(rng)
            followed = splitter.split(batch)
            assert (followed.moves is not None) == (number in (2, 4, 6))
            if followed.moves:
                hot |= rows_by_slot(followed.moves.tables, followed.moves.rows, followed.moves.slots)
            assert hot == rows_by_slot(*driver.hot_set(driver.dump()))
            assert_equal(followed.split, expected_split(driver, batch))
        assert splitter.counters() == driver.counters()
