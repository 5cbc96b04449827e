"""The whole device on cocotb: every device bench of hotline_sim.bench in two simulators, one also on a wider bus.

SEED=n chooses the stimulus, WAVES=1 records waves; a failure prints the command that replays it. All tests of a
simulator run in one simulation, when the first of them starts. The coverage needs all of them.
"""

from __future__ import annotations

import pytest

from hotline_sim.bench.runner import DEVICE_GEOMETRIES, BenchRun, bench_tests, run_benches
from hotline_sim.build.verilog import DEVICE_TOP
from tests.support.tools import TOOL_OF, needs

RUNS = [
    pytest.param((geometry, simulator), marks=[needs(TOOL_OF[simulator]), *marks], id=f"{geometry}-{simulator}")
    for geometry, simulator, *marks in (
        ("tiny", "verilator"), ("tiny", "icarus"), ("wide", "verilator", pytest.mark.slow),
    )
]  # fmt: skip
TESTS = bench_tests(DEVICE_TOP)


@pytest.fixture(scope="module", params=RUNS)
def run(request) -> BenchRun:
    """The simulation of every selected test of a geometry and simulator."""
    geometry, simulator = request.param
    chosen = [
        item
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec") and item.callspec.params.get("run") == request.param
    ]
    wanted = {item.callspec.params.get("test") for item in chosen}
    tests = TESTS if None in wanted else [test for test in TESTS if test in wanted]
    return run_benches(DEVICE_GEOMETRIES[geometry], simulator, tests, DEVICE_TOP)


@pytest.mark.parametrize("test", TESTS)
def test_device(run: BenchRun, test: str) -> None:
    run.check(test)


def test_device_coverage(run: BenchRun) -> None:
    """Every coverpoint was met, by all benches together; `pytest -rA -k coverage` shows the table."""
    print(run.coverage)
    assert "!" not in run.coverage and run.coverage
