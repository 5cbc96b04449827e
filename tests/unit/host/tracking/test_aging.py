"""AgingControl: how it reacts to what a tracker sees."""

from __future__ import annotations

from hotline_host.tracking.aging import AgingControl

FULL = {"hot": 1000, "budget": 1000}


def periods(control: AgingControl, times: int, **seen: int) -> list[int]:
    return [control.observe(**({"idle": 500, "recent": 500} | FULL | seen)) for _ in range(times)]


def test_recent_cold_rows_that_come_again_speed_aging_up() -> None:
    control = AgingControl(period=16)
    assert periods(control, 6, revivals=300, returns=300) == [8, 4, 2, 1, 1, 1]


def test_idle_hot_rows_that_come_again_slow_it_down() -> None:
    control = AgingControl(period=4)
    assert periods(control, 6, revivals=900, returns=100) == [8, 16, 32, 64, 64, 64]


def test_between_the_two_it_stays() -> None:
    assert periods(AgingControl(period=8), 3, revivals=1000, returns=450) == [8, 8, 8]


def test_rates_count_and_not_numbers() -> None:
    """Equally many of both kinds return. There are a tenth as many idle hot rows, so each is the better bet."""
    assert periods(AgingControl(period=8), 1, revivals=300, returns=300, idle=100, recent=1000) == [16]


def test_it_waits_for_enough_events() -> None:
    assert periods(AgingControl(period=16), 5, revivals=40, returns=40) == [16, 16, 16, 8, 8]


def test_no_evidence() -> None:
    """The hot table is not full, or has no idle row, or there is no recent row beside it. Nothing can be compared."""
    for seen in ({"hot": 900}, {"idle": 10}, {"recent": 0}):
        assert periods(AgingControl(period=8), 3, **({"revivals": 300, "returns": 300} | seen)) == [8, 8, 8]
