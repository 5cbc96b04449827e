"""A closer look: the timeline has all that it should, on one clock."""

from __future__ import annotations

import json
from statistics import median
from time import perf_counter_ns

import pytest
from typer.testing import CliRunner

from hotline_host.benchmarks.rivals import look
from hotline_host.commands.main import app
from hotline_host.spans import Span

MARK = {"name": look.MARKER, "cat": "user_annotation", "ph": "X", "ts": 1000.0, "dur": 1.0}


def test_busy_share_counts_overlapping_kernels_once():
    assert look.busy_share([(0, 10), (5, 15), (20, 25)], 40) == 0.5
    assert look.busy_share([], 40) == 0 and look.busy_share([(0, 90)], 40) == 1


def test_torch_and_host_are_on_one_clock():
    """The marker began at 1,000 us of torch's clock and 7,000 us of the host's."""
    kernel = {"name": "kernel", "cat": "kernel", "ph": "X", "ts": 1010.0, "dur": 2.0}
    name = {"ph": "M", "name": "process_name", "pid": 1, "args": {"name": "python"}}
    spans = [
        Span("gather", "rows", 7_010_000, 7_012_000),
        Span("500 cycles", "accelerator, split", 7_010_000, 7_012_000),
    ]
    events = look.merge([MARK, kernel, name], 7_000_000, spans)
    at = {event["name"]: (event["ts"], event["dur"]) for event in events if event["ph"] == "X"}
    assert at["kernel"] == at["gather"] == at["500 cycles"] == (7010.0, 2.0)
    assert len({event["pid"] for event in events if "cycles" in event["name"] or event["name"] == "gather"}) == 2
    assert name in events and {event["args"]["name"] for event in events if event["ph"] == "M"} >= {
        "rows",
        "host workers",
    }
    with pytest.raises(ValueError, match="no event"):
        look.merge([kernel], 0, [])


@pytest.mark.long
def test_the_command_writes_as_it_goes(tmp_path):
    begin = perf_counter_ns() / 1000
    run = CliRunner().invoke(app, [
        "bench", "--config", "kaggle", "--preset", "edge", "--rows", "0.0001", "--batch-sizes", "32",
        "--hot-rows", "500", "--steps", "2", "--rounds", "2", "--threads", "1",
        "--rivals", "ordinary,hotline", "--profile",
        "--json", str(tmp_path / "b.json"), "--report", str(tmp_path), "--trace", str(tmp_path / "t.json"),
    ])  # fmt: skip
    assert run.exit_code == 0, run.output
    assert "differs" in run.stdout and "critical path" in run.stdout and "\nordinary  " in run.stdout
    written = json.loads((tmp_path / "b.json").read_text())
    assert list(written["rivals"]) == ["ordinary", "hotline"] and written["threads"] == 1
    assert written["command"].startswith("hotline") and written["skipped"] == {}
    assert median(written["rivals"]["hotline"]["round_seconds"]) == written["rivals"]["hotline"]["seconds_per_step"]
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert "aten::" in (tmp_path / "profile.txt").read_text()
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    times = [event["ts"] for event in events if event.get("cat") == "cpu_op"]
    assert len(times) > 100 and begin <= min(times) <= max(times) <= perf_counter_ns() / 1000
    spans = [event for event in events if event.get("cat") == "hotline"]
    assert {event["name"] for event in spans} >= {"split", "plan", "pack", "gather", "wait", "launch"}
    assert all(begin <= event["ts"] and event["dur"] >= 0 for event in spans)
    threads = {}
    for event in spans:  # one thread's work ends before its next begins
        assert event["ts"] >= threads.get((event["pid"], event["tid"]), 0)
        threads[event["pid"], event["tid"]] = event["ts"] + event["dur"]
    assert sum(event["name"] == look.MARKER for event in events) == 2, "one for each rival"


def test_a_number_that_is_none_is_named():
    run = CliRunner().invoke(app, ["bench", "--batch-sizes", "many"])
    assert run.exit_code == 2 and "batch sizes is 'many'; write whole numbers with commas between" in run.output
