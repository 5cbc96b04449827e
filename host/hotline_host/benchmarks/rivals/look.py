"""A closer look at a rival after its rounds: how busy the GPU is, torch's profile, and a timeline of a few steps.

The timeline is for Perfetto or chrome://tracing. Its clock is the host's: a marker, which torch and the host both time,
says how torch's clock stands to it. The accelerator's cycles are turned into time at a stated clock; its work ends
where the host had its answer.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from torch.profiler import ProfilerActivity, profile, record_function

from hotline_host.spans import ACCELERATOR, CLOCK_MHZ, Span, recording

from .measure import LOOK_STEPS, Contender

__all__ = ["Look", "busy_share", "look_closer", "merge"]

STEPS = LOOK_STEPS - 1
"""The first is not looked at: it may compile, or wait for what began before."""
MARKER = "hotline clock"
HOST_PROCESS, ACCELERATOR_PROCESS = 1_000_001, 1_000_002
"""Process numbers in the timeline that are no process's."""


@dataclass(frozen=True)
class Look:
    """What was seen of a few steps.

    Attributes:
        gpu_busy: the time of a step in which a kernel ran, over the time of a step that was not profiled, as profiling
            slows the host; None without CUDA.
        table: torch's profile, the operators that took the most time first.
        events: of the timeline.
    """

    gpu_busy: float | None
    table: str
    events: list[dict[str, Any]]


def look_closer(contender: Contender) -> Look:
    """Takes a few steps more. They are not among the timed ones."""
    on_cuda = contender.pipeline.trainer.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_cuda else [])]
    contender.steps(LOOK_STEPS - STEPS)
    with recording() as spans, profile(activities=activities) as profiler:
        begin = perf_counter_ns()
        with record_function(MARKER):
            pass
        contender.steps(STEPS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "torch.json"
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    kernels = [
        (event["ts"], event["ts"] + event["dur"]) for event in events if event.get("cat") == "kernel" and "dur" in event
    ]
    order = "self_device_time_total" if on_cuda else "self_cpu_time_total"
    return Look(
        gpu_busy=busy_share(kernels, 1e6 * STEPS * contender.figures.seconds_per_step) if on_cuda else None,
        table=profiler.key_averages().table(sort_by=order, row_limit=25),
        events=merge(events, begin, spans),
    )


def busy_share(intervals: Iterable[tuple[float, float]], span: float) -> float:
    """Share of `span` that the intervals cover together, 1 at most. They may overlap, as kernels on streams do."""
    covered, until = 0.0, float("-inf")
    for start, stop in sorted(intervals):
        covered += max(0.0, stop - max(start, until))
        until = max(until, stop)
    return min(1.0, covered / span)


def merge(events: Sequence[dict[str, Any]], marker: int, spans: Sequence[Span]) -> list[dict[str, Any]]:
    """Torch's events and the host's and the accelerator's spans, all in microseconds of the host's clock.

    Args:
        events: torch's; one is named MARKER.
        marker: when that began, in nanoseconds of the host's clock.

    Raises:
        ValueError: there is no marker.
    """
    starts = [event["ts"] for event in events if (event.get("name"), event.get("cat")) == (MARKER, "user_annotation")]
    if not starts:
        raise ValueError(f"torch's profile has no event {MARKER!r}")
    offset = marker / 1000 - min(starts)
    shifted = [event | {"ts": event["ts"] + offset} if "ts" in event else event for event in events]
    simulated = f"accelerator, simulated, its cycles at {CLOCK_MHZ:g} MHz"
    theirs, ours = (
        [each for each in spans if each.track.startswith(ACCELERATOR) is is_its] for is_its in (True, False)
    )
    return shifted + _process(HOST_PROCESS, "host workers", ours) + _process(ACCELERATOR_PROCESS, simulated, theirs)


def _process(number: int, name: str, spans: Sequence[Span]) -> list[dict[str, Any]]:
    """Events of spans, a line for each track."""
    tracks = {track: line for line, track in enumerate(dict.fromkeys(each.track for each in spans))}
    names = [("process_name", 0, name)] if tracks else []
    names += [("thread_name", line, track) for track, line in tracks.items()]
    return [
        {"ph": "M", "name": kind, "pid": number, "tid": line, "args": {"name": text}} for kind, line, text in names
    ] + [
        {
            "ph": "X", "cat": "hotline", "name": each.name, "pid": number, "tid": tracks[each.track],
            "ts": each.start / 1000, "dur": (each.stop - each.start) / 1000,
        }
        for each in spans
    ]  # fmt: skip
