"""The core on cocotb: every bench of hotline_sim.bench, in every one of its geometries and in two simulators.

SEED=n chooses the stimulus, WAVES=1 records waves; a failure prints the command that replays it. All tests of a
geometry and simulator run in one simulation, when the first of them starts.
"""

from __future__ import annotations

import itertools

import pytest

from hotline_sim.bench.runner import GEOMETRIES, BenchRun, bench_tests, run_benches
from tests.support.tools import TOOL_OF, needs

RUNS = [
    pytest.param((geometry, simulator), marks=needs(TOOL_OF[simulator]), id=f"{geometry}-{simulator}")
    for geometry, simulator in itertools.product(GEOMETRIES, TOOL_OF)
]


@pytest.fixture(scope="module", params=RUNS)
def run(request) -> BenchRun:
    """The simulation of every selected test of a geometry and simulator."""
    geometry, simulator = request.param
    items = [item for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    selected = [item.callspec.params for item in items]
    tests = [params["test"] for params in selected if params.get("run") == request.param]
    return run_benches(GEOMETRIES[geometry], simulator, tests)


@pytest.mark.parametrize("test", bench_tests())
def test_core(run: BenchRun, test: str) -> None:
    run.check(test)


@pytest.mark.parametrize("test", ["tests_random.test_random"])
def test_coverage(run: BenchRun, test: str) -> None:
    """Every coverpoint was met; `pytest -rA -k coverage` shows the table."""
    print(run.coverage)
    run.check(test)
    assert "!" not in run.coverage and run.coverage
