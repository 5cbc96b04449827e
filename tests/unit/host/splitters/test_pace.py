"""The pace of a replay."""

from __future__ import annotations

from time import perf_counter

import pytest

from hotline_host.errors import SettingsError
from hotline_host.splitters.pace import Pace


def test_it_waits_until_the_cycles_have_passed():
    pace = Pace(250)
    start = perf_counter()
    assert pace.wait(start, 1_000_000) == 0
    assert perf_counter() - start >= 4e-3
    assert (pace.waits, pace.late, pace.late_seconds) == (1, 0, 0)
    assert 0 < pace.waited_seconds <= perf_counter() - start


def test_it_counts_how_late_the_host_was():
    pace = Pace(1)
    late = pace.wait(perf_counter() - 1, 250_000)
    late_again = pace.wait(perf_counter() - 0.5, 0)
    assert 0.75 <= late < 10 and 0.5 <= late_again < 10
    assert (pace.waits, pace.late, pace.late_seconds) == (2, 2, pytest.approx(late + late_again))


@pytest.mark.parametrize("clock", [0, -1, float("inf"), float("nan")])
def test_a_clock_that_cannot_be(clock):
    with pytest.raises(SettingsError, match="clock is .* MHz; it must be a number above 0"):
        Pace(clock)
