"""Spans are recorded while they are asked for, by every thread, and not otherwise."""

from __future__ import annotations

from threading import Thread

import pytest

from hotline_host.spans import add_span, recording, span


def test_nothing_is_recorded_until_asked():
    assert span("gather") is span("split"), "one object for all: nothing is made"
    add_span("gather", "accelerator", 1, 2)
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
        add_span("split", "accelerator", 5, 9)
    with span("later"):
        pass
    assert [(each.name, each.track) for each in spans] == [
        ("gather", "rows"), ("step", "MainThread"), ("split", "accelerator"),
    ]  # fmt: skip
    gather, step, _ = spans
    assert step.start <= gather.start <= gather.stop <= step.stop


def test_a_block_that_raises_is_recorded_too():
    with recording() as spans:
        with pytest.raises(KeyError), span("step"):
            raise KeyError
        with pytest.raises(RuntimeError, match="recorded already"), recording():
            pass
    assert [each.name for each in spans] == ["step"]
