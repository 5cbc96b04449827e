"""TrackerController: what one SELECT decides for the next."""

from __future__ import annotations

import numpy as np
import pytest

from hotline_host.tracking.aging import AgingControl
from hotline_host.tracking.controller import Closing, TrackerController, read_closing
from hotline_hw.spec.policy import Policy

CLOSING = Closing(hot_count=100, threshold=3, idle=50, recent=50)


def start_after(controller: TrackerController, sets: int) -> int:
    return controller.selected(CLOSING, revivals=0, returns=0, budget=100, sets=sets).select_start


def test_the_closing_beat() -> None:
    beat = np.array([7 << 32 | 5, 9 << 32 | 2, 0, 0], np.uint64)
    assert read_closing(beat) == Closing(hot_count=5, threshold=2, idle=7, recent=9)


@pytest.mark.parametrize("sets", [1, 2, 8, 64, 2048])
def test_every_set_comes_first_in_turn(sets: int) -> None:
    controller = TrackerController(Policy())
    starts = [start_after(controller, sets) for _ in range(sets)]
    assert sorted(starts) == list(range(sets))


def test_starts_are_soon_near_to_every_set() -> None:
    """After 16 of 2,048 sets no gap is longer than three times the mean."""
    controller = TrackerController(Policy())
    starts = sorted(start_after(controller, 2048) for _ in range(16))
    gaps = np.diff([*starts, starts[0] + 2048])
    assert gaps.max() <= 3 * 128


def test_a_start_beyond_the_sets_is_taken_modulo() -> None:
    assert start_after(TrackerController(Policy(select_start=21)), 8) == (21 + 5) % 8


def test_aging_sets_the_period_and_nothing_else() -> None:
    controller = TrackerController(Policy(age_period=99, hysteresis=1, move_limit=7), AgingControl(period=8))
    assert controller.policy.age_period == 8
    policy = controller.selected(CLOSING, revivals=300, returns=300, budget=100, sets=8)
    assert policy == Policy(age_period=4, hysteresis=1, move_limit=7, select_start=5) == controller.policy
    controller.selected(CLOSING._replace(hot_count=50), revivals=300, returns=300, budget=100, sets=8)
    assert controller.policy.age_period == 4, "of a hot table that is half empty nothing follows"


def test_without_aging_the_period_stays() -> None:
    controller = TrackerController(Policy(age_period=99))
    assert controller.selected(CLOSING, revivals=900, returns=0, budget=100, sets=8).age_period == 99
