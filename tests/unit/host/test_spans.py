"""Spans are recorded while they are asked for, by every thread, and not otherwise."""

from __future__ import annotations

from threading import Thread
from time import sleep

import pytest

from hotline_host.spans import add_cycles, recording, span
from hotline_host.stopwatch import Parts


def test_nothing_is_recorded_until_asked():
    assert span("gather") is span("split"), "one object for all: nothing is made"
    add_cycles("gather", 7)
    with recording() as spans:
        pass
    assert spans == []


def test_spans_of_all_threads():
    def work() -> None:
        with span("gather"):
            pass

    with recording() as spans:
        worker = Thread(target=work, name="rows")
        with span("step"):
            worker.start()
            worker.join()
        add_cycles("split", 250)
        add_cycles("split", 0)  # a backend without a clock
    with span("later"):
        pass
    assert [(each.name, each.track) for each in spans] == [
        ("gather", "rows"), ("step", "MainThread"), ("split: 250 cycles", "accelerator, split"),
    ]  # fmt: skip
    gather, step, split = spans
    assert split.stop - split.start == 1000, "250 cycles at 250 MHz are a microsecond"
    assert step.start <= gather.start <= gather.stop <= step.stop


def test_a_block_that_raises_is_recorded_too():
    with recording() as spans:
        with pytest.raises(KeyError), span("step"):
            raise KeyError
        with pytest.raises(RuntimeError, match="recorded already"), recording():
            pass
    assert [each.name for each in spans] == ["step"]


def test_parts_are_timed_and_shown():
    parts = Parts("gather", "wait")
    with recording() as spans:
        for _ in range(2):
            with parts("gather"):
                sleep(0.01)
    assert [each.name for each in spans] == ["gather", "gather"]
    assert 0.02 <= parts.seconds["gather"] <= sum(each.stop - each.start for each in spans) / 1e9
    assert parts.seconds["wait"] == 0
