"""A closer look: the timeline has all that it should, on one clock."""

from __future__ import annotations

import json
from statistics import median
from time import perf_counter_ns

import pytest
from typer.testing import CliRunner

from hotline_host.benchmarks.rivals import look
from hotline_host.commands.main import app
from hotline_host.pipelines.steps import GatherCounts, SplitCounts, StepResult
from hotline_host.spans import Span

MARK = {"name": look.MARKER, "cat": "user_annotation", "ph": "X", "ts": 1000.0, "dur": 1.0}


def test_busy_share_counts_overlapping_kernels_once():
    assert look.busy_share([(0, 10), (5, 15), (20, 25)], 40) == 0.5
    assert look.busy_share([], 40) == 0 and look.busy_share([(0, 90)], 40) == 1


def test_torch_and_host_are_on_one_clock():
    """The marker began at 1,000 us of torch's clock and 7,000 us of the host's."""
    kernel = {"name": "kernel", "cat": "kernel", "ph": "X", "ts": 1010.0, "dur": 2.0}
    name = {"ph": "M", "name": "process_name", "pid": 1, "args": {"name": "python"}}
    events = look.merge([MARK, kernel, name], 7_000_000, [Span("gather", "rows", 7_010_000, 7_012_000)], [])
    at = {event["name"]: (event["ts"], event["dur"]) for event in events if event["ph"] == "X"}
    assert at["kernel"] == at["gather"] == (7010.0, 2.0)
    assert name in events and {event["args"]["name"] for event in events if event["ph"] == "M"} >= {
        "rows",
        "host workers",
    }
    with pytest.raises(ValueError, match="no event"):
        look.merge([kernel], 0, [], [])


def test_cycles_become_time_and_end_with_the_answer():
    split = SplitCounts(1, 2, 3, 4, 1, 2, 1, 0, cycles=250)
    steps = [StepResult(split, GatherCounts(1, 1, 0, cycles=500))]
    spans = [Span("gather", "rows", 0, 9), Span("split", "ahead", 1000, 9000)]
    gather, splitting = look.accelerator_spans(steps, spans)
    assert (splitting.start, splitting.stop) == (8000, 9000), "250 cycles at 250 MHz are a microsecond"
    assert (gather.start, gather.stop) == (7000, 9000) and "500 cycles" in gather.name


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
    assert sum(event["name"] == look.MARKER for event in events) == 2, "one for each rival"


def test_a_number_that_is_none_is_named():
    run = CliRunner().invoke(app, ["bench", "--batch-sizes", "many"])
    assert run.exit_code == 2 and "batch sizes is 'many'; write whole numbers with commas between" in run.output
